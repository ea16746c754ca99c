/**
 * The lanes of the write-ahead log as the source of segment commits: the copier.
 *
 * The lines are acknowledged already, so the copier may wait for large commits, and a commit that the segments do not
 * accept is offered again. It records in each seal how far it has come, and after each sync of the segments it frees
 * the records they hold for reuse (the *checkpoint*).
 */
import { type Control, DISK_FAILED } from '../../base/control.ts';
import { systemErrorText } from '../../base/errors.ts';
import { type Outcome, STORED } from '../../journal/journal.ts';
import type { CommitBuffer } from '../../storage/commit-buffer.ts';
import { directoryChange } from '../../storage/directory-identity.ts';
import { isFileError } from '../../storage/file-ops.ts';
import { WRITER } from '../../telemetry/counters.ts';
import { LaneConsumer } from '../../wal/lane-consumer.ts';
import { formatMark } from '../../wal/mark.ts';
import { createWalFile, readHeader, type WalHeader, walPath, writeHeader } from '../../wal/wal-file.ts';
import type { CommitSource } from '../grouped-writer.ts';
import type { WriterParts } from '../writer.ts';
import { readWalSettings, type WalSettings } from './wal-settings.ts';

/** A commit is closed when it has this many bytes; one record may exceed it. */
const COMMIT_BYTES = 4 << 20;
/** Records gather for so long between two commits. Readers of the segments lag by about this much. */
const GATHER_MS = 20;
/** A commit that the segments did not accept is offered again after so long. */
const RETRY_MS = 100;

const REMOVED = 'a write-ahead file was removed, replaced or cut';
const EXPOSED =
  'cannot be created anew: until it is, a crash or power loss can take metrics acknowledged a moment before';

export class LaneSource implements CommitSource {
  readonly losesRefused = false;
  private readonly parts: WriterParts;
  private readonly control: Control;
  private readonly settings: WalSettings;
  private readonly lanes: readonly LaneConsumer[];
  /** Device, inode and size of each lane's file, to see that it was replaced, removed or cut. */
  private readonly identities: string[];
  /** Last sequence of each lane that is in a segment, and that is in a synced one. */
  private readonly copied: number[];
  private readonly checkpoints: number[];
  private readonly starts: readonly number[];
  /** Earliest time of the next commit. */
  private nextMs = 0;
  private isStalled = false;
  private firstLane = 0;
  private failureIsReported = false;
  /** Lanes whose file is gone and cannot be created anew, and why. */
  private readonly missing = new Map<number, string>();

  constructor(parts: WriterParts) {
    this.parts = parts;
    this.control = parts.control;
    this.settings = readWalSettings(parts.memory.common);
    this.lanes = parts.memory.journals.map((memory) => new LaneConsumer(memory));
    this.copied = this.lanes.map(() => 0);
    this.checkpoints = this.lanes.map(() => 0);
    this.starts = this.lanes.map(
      (_, lane) => readHeader(parts.ops, walPath(parts.config.dataDir, lane)).start,
    );
    this.identities = this.lanes.map((_, lane) => this.identityOf(lane));
  }

  gather(buffer: CommitBuffer, nowMs: number): void {
    this.reportFailure();
    if (!this.isDue(nowMs)) return;
    this.collect(buffer);
    if (buffer.lines > 0) {
      this.nextMs = nowMs + GATHER_MS;
      for (const lane of this.lanes) lane.wake();
      return;
    }
    for (const lane of this.lanes) lane.sleep();
    // Otherwise a record published between the two would wait for the next one.
    this.collect(buffer);
  }

  /** Records gather for a while, but never beyond one commit: that would bound the bytes that are copied a second. */
  private isDue(nowMs: number): boolean {
    if (this.control.writerShouldStop) return !this.isStalled;
    return nowMs >= this.nextMs || (!this.isStalled && this.holdsCommit());
  }

  private holdsCommit(): boolean {
    let bytes = 0;
    for (const lane of this.lanes) bytes += lane.waitingBytes;
    return bytes >= COMMIT_BYTES;
  }

  private collect(buffer: CommitBuffer): void {
    const { lanes } = this;
    for (let i = 0; i < lanes.length && buffer.bytes < COMMIT_BYTES; i++) {
      const lane = lanes[(this.firstLane + i) % lanes.length]!;
      while (buffer.bytes < COMMIT_BYTES && lane.next()) {
        buffer.add(lane.bytes, lane.runOffset, lane.runBytes, lane.runLines, lane.runCrc);
      }
    }
    this.firstLane = (this.firstLane + 1) % lanes.length;
  }

  mark(): string {
    return formatMark(
      this.settings.generation,
      this.lanes.map(({ taken }) => taken),
    );
  }

  settle(outcome: Outcome, nowMs: number): void {
    this.isStalled = outcome !== STORED;
    if (this.isStalled) this.nextMs = nowMs + RETRY_MS;
    for (const [lane, consumer] of this.lanes.entries()) {
      if (this.isStalled) consumer.rewind();
      else {
        consumer.release();
        this.copied[lane] = consumer.taken;
      }
    }
  }

  pollInMs(nowMs: number): number {
    const isGathering = this.nextMs > nowMs;
    return isGathering ? this.nextMs - nowMs : Number.POSITIVE_INFINITY;
  }

  stored(): void {
    // Workers measure their own writes: the copy delays no answer.
  }

  syncStarts(): readonly number[] {
    return [...this.copied];
  }

  synced(token: unknown = this.copied): void {
    const sequences = token as readonly number[];
    for (const [lane, sequence] of sequences.entries()) {
      if (sequence === this.checkpoints[lane]) continue;
      this.checkpoints[lane] = sequence;
      this.lanes[lane]!.checkpoint(sequence);
      this.recordCheckpoint(lane, false);
    }
  }

  /** True when a producer's file runs full, or is gone: then only synced segments are durable. */
  syncIsWanted(): boolean {
    let isWanted = this.missing.size > 0;
    for (const lane of this.lanes) if (lane.checkpointIsWanted()) isWanted = true;
    return isWanted;
  }

  /** Without a sync a power loss may take it back; then the next start replays what the seals do not record. */
  private recordCheckpoint(lane: number, sync: boolean): void {
    const { ops, config } = this.parts;
    const header = this.headerOf(lane);
    // `maintain` creates a file that is gone, and another server may own the one that is there instead.
    if (this.identityOf(lane) !== this.identities[lane]) return;
    try {
      writeHeader(ops, walPath(config.dataDir, lane), header, sync);
    } catch (error) {
      // It was removed meanwhile.
      if (!isFileError(error)) throw error;
    }
  }

  private headerOf(lane: number): WalHeader {
    const { generation } = this.settings;
    return { lane, generation, checkpoint: this.checkpoints[lane]!, start: this.starts[lane]! };
  }

  maintain(): void {
    this.updateMetrics();
    for (const lane of this.lanes.keys()) this.replaceIfGone(lane);
  }

  private updateMetrics(): void {
    const { counters } = this.parts;
    let bytes = 0;
    let records = 0;
    let fill = 0;
    for (const { figures } of this.lanes) {
      bytes += figures.bytes;
      records += figures.records;
      fill = Math.max(fill, figures.fill);
    }
    counters[WRITER.wal_bytes] = bytes;
    counters[WRITER.wal_records] = records;
    counters[WRITER.wal_fill_now] = fill;
  }

  private identityOf(lane: number): string {
    try {
      const { dev, ino, size } = this.parts.ops.stat(walPath(this.parts.config.dataDir, lane));
      return `${dev}:${ino}:${size}`;
    } catch {
      return '';
    }
  }

  /** A file that others removed, replaced or cut is created anew; the producer opens it before its next write. */
  private replaceIfGone(lane: number): void {
    const { ops, config, directory } = this.parts;
    if (this.failureIsReported) return;
    if (this.identityOf(lane) === this.identities[lane]) {
      this.missing.delete(lane);
      return;
    }
    if (directoryChange(ops, config.dataDir, directory.get()) !== null) return;
    const reason = this.createAnew(lane);
    if (reason !== null) {
      if (this.missing.get(lane) !== reason) this.reportFile(lane, { reason }, `${REMOVED}, and ${EXPOSED}`);
      this.missing.set(lane, reason);
      return;
    }
    this.missing.delete(lane);
    this.identities[lane] = this.identityOf(lane);
    this.lanes[lane]!.replaceFile();
    this.reportFile(lane, {}, `${REMOVED}; created it anew`);
  }

  /** Why the lane's file cannot be created, or null. */
  private createAnew(lane: number): string | null {
    const { ops, config } = this.parts;
    const { fileBytes } = this.settings;
    try {
      // The reserve of --min-free-bytes may be used: the former file gives its space back once the lane has closed it.
      if (ops.freeBytes(config.dataDir) < fileBytes)
        return `fewer than ${fileBytes} bytes are free, which the file needs; make room`;
      createWalFile(ops, config.dataDir, fileBytes, this.headerOf(lane));
      return null;
    } catch (error) {
      if (!isFileError(error)) throw error;
      return systemErrorText(error);
    }
  }

  private reportFile(lane: number, fields: Readonly<Record<string, unknown>>, text: string): void {
    const { config, report } = this.parts;
    const file = walPath(config.dataDir, lane);
    report({ kind: 'log', level: 'error', fields: { file, ...fields }, text });
  }

  /** A write to a lane's file failed: nothing more is acknowledged, and the process has to end. */
  private reportFailure(): void {
    const { control, config, counters, report } = this.parts;
    if (this.failureIsReported || control.disk !== DISK_FAILED) return;
    for (const [lane, consumer] of this.lanes.entries()) {
      if (consumer.failure === 0) continue;
      this.failureIsReported = true;
      const { from, to, lines } = consumer.doubt;
      const segment = walPath(config.dataDir, lane);
      counters[WRITER.sync_errors]! += 1;
      counters[WRITER.unknown_lines]! += lines;
      const reason = `a write to the write-ahead log failed (errno ${consumer.failure})`;
      report({ kind: 'fatal', reason, doubtful: { segment, from, to, lines } });
    }
  }

  close(failed: boolean): void {
    this.updateMetrics();
    if (failed) return;
    for (const lane of this.lanes.keys()) {
      this.checkpoints[lane] = this.copied[lane]!;
      this.recordCheckpoint(lane, true);
    }
  }
}
