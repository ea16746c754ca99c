/**
 * The write-ahead writer: each serving thread makes its own commits durable in a file of its own, and answers. The
 * writer thread copies them into the segments behind that, and syncs those in the background.
 *
 * ```
 *  worker 0 ─► lane 0 ─► .wal-0.bin direct, data-synchronous ─► answered
 *  worker 1 ─► lane 1 ─► .wal-1.bin direct, data-synchronous ─► answered
 *                 └─────────┴──────► copier (writer thread) ─► metrics-*.ndjson ─► background sync ─► checkpoint
 * ```
 * Only for `--ack synced`: the weaker levels wait for no sync, and gain nothing from a second file.
 */
import { monotonicMs } from '../../base/clock.ts';
import { DISK_FAILED } from '../../base/control.ts';
import { laneSync } from '../../breaker/breaker.ts';
import type { OpenBlockWriter } from '../../wal/block-writer.ts';
import { openBlockingWriter } from '../../wal/blocking-writer.ts';
import { openAioWriter, openUringWriter } from '../../wal/kernel-writer.ts';
import { Lane } from '../../wal/lane.ts';
import { createLaneMemory, laneIsSettled } from '../../wal/lane-memory.ts';
import { openPoolWriter } from '../../wal/pool-writer.ts';
import { readHeader, walPath } from '../../wal/wal-file.ts';
import { GroupedWriter } from '../grouped-writer.ts';
import type { JournalParts, WriterModule } from '../writer.ts';
import { LaneCost } from './lane-cost.ts';
import { LaneSource } from './lane-source.ts';
import { createWalSettings, readWalSettings } from './wal-settings.ts';

const OPEN: Readonly<Record<string, OpenBlockWriter>> = {
  io_uring: openUringWriter,
  aio: openAioWriter,
  pool: openPoolWriter,
  blocking: openBlockingWriter,
};

export const createMemory = ((lanes, journalBytes) => ({
  journals: Array.from({ length: lanes }, () => createLaneMemory(journalBytes)),
  common: createWalSettings(),
})) satisfies WriterModule['createMemory'];

export const openJournal = ((parts: JournalParts) => {
  const { memory, lane, config, breaker, control, bell } = parts;
  const { backend, generation, fileBytes } = readWalSettings(memory.common);
  const cost = new LaneCost();
  const path = walPath(config.dataDir, lane);
  return new Lane({
    memory: memory.journals[lane]!,
    lane,
    generation,
    path,
    fileBytes,
    start: readHeader(parts.ops, path).start,
    open: OPEN[backend]!,
    writing: (sinceMs) => {
      if (sinceMs > 0) breaker.syncBegins(laneSync(lane), sinceMs);
      else breaker.syncEnded(laneSync(lane));
    },
    cost,
    stored: (bytes, submittedMs) => {
      const nowMs = monotonicMs();
      cost.stored(bytes, submittedMs, nowMs);
      breaker.succeeded(breaker.episode, nowMs);
    },
    failed: () => {
      control.disk = DISK_FAILED;
    },
    ring: () => bell.ring(),
    now: monotonicMs,
  });
}) satisfies WriterModule['openJournal'];

export const isSettled = ((memory, lane) =>
  laneIsSettled(memory.journals[lane]!)) satisfies WriterModule['isSettled'];

/** Answers wait for the lanes: the segments behind them are synced in the background. */
export const createWriter = ((parts) => {
  const config = { ...parts.config, ack: 'written' as const };
  return new GroupedWriter({ ...parts, config }, new LaneSource(parts));
}) satisfies WriterModule['createWriter'];
