/**
 * Acknowledged lines that only the write-ahead log holds yet: the server copies them to a segment some milliseconds
 * later, or at its next start if it was killed.
 *
 * A query reads the log *before* the segments. A record that is overwritten meanwhile is in a synced segment by then, so
 * every line that was acknowledged before the query is found in one of the two. The mark in the last seal says which
 * records the segments hold, so no line is found in both.
 */
import fs from 'node:fs';
import { codeOf, nodeFileOps as ops } from '../storage/file-ops.ts';
import { copiedOf, type Mark } from '../wal/mark.ts';
import { type Generation, RECORD_HEADER_BYTES, readRecordHeader, recordIsWhole } from '../wal/record.ts';
import { readWal, type WalLog } from '../wal/recovery.ts';
import { type FoundRecord, planReplay } from '../wal/replay.ts';
import { listWalFiles, readHeader, walPath } from '../wal/wal-file.ts';
import type { HeldFiles, PrivateFile } from './held-files.ts';

/** The log changed in a way that a reader cannot follow: take the snapshot again. */
export class LogMoved extends Error {}

interface Lane {
  readonly lane: number;
  readonly generation: Generation;
  readonly checkpoint: number;
  /** Records whose segments were not yet known to be synced; `offset` is a place in the spool. */
  readonly records: readonly FoundRecord[];
}

export interface Waiting {
  /** The file with the lines, or null when there are none. */
  readonly fd: number | null;
  readonly lines: number;
  /** Acknowledged records that are missing or damaged. */
  readonly damaged: number;
}

export class WaitingLines {
  private readonly dataDir: string;
  private readonly files: HeldFiles;
  private readonly spool: PrivateFile | null;
  private readonly lanes: readonly Lane[];

  /** @throws LogMoved */
  constructor(dataDir: string, files: HeldFiles) {
    this.dataDir = dataDir;
    this.files = files;
    const logs = movedIfGone(() => readWal(ops, dataDir));
    const hasRecords = logs.some((log) => log.records.length > 0);
    this.spool = hasRecords ? files.create() : null;
    this.lanes = logs.flatMap((log) => (log.header === null ? [] : [this.capture(log)]));
  }

  private capture(log: WalLog): Lane {
    const { lane, generation, checkpoint } = log.header!;
    const fresh = log.records.filter(({ sequence }) => sequence > checkpoint);
    if (fresh.length === 0) return { lane, generation, checkpoint, records: [] };
    const fd = movedIfGone(() => fs.openSync(log.path, 'r'));
    try {
      const records = fresh.map((record) => ({ ...record, offset: this.spoolRecord(fd, record) }));
      return { lane, generation, checkpoint, records };
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Keeps the lines of a record, unless it was overwritten since it was found. */
  private spoolRecord(fd: number, { offset, bytes, sequence }: FoundRecord): number {
    const record = Buffer.alloc(RECORD_HEADER_BYTES + bytes);
    const read = fs.readSync(fd, record, 0, record.length, offset);
    const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
    const isSame = read === record.length && readRecordHeader(view, 0)?.sequence === sequence;
    if (!isSame || !recordIsWhole(record, view, 0, bytes)) throw new LogMoved('a record was overwritten');
    const at = this.spool!.bytes;
    this.spool!.append(record.subarray(RECORD_HEADER_BYTES));
    return at;
  }

  /**
   * The lines that the segments read since then do not hold.
   * @param mark of the last good commit in them
   * @throws LogMoved when the server began a new log in between
   */
  select(mark: Mark | null): Waiting {
    this.checkUnmoved(mark);
    const plans = this.lanes.map(({ lane, generation, checkpoint, records }) =>
      planReplay(records, Math.max(checkpoint, copiedOf(mark, lane, generation))),
    );
    const damaged = plans.reduce((sum, plan) => sum + plan.damaged, 0);
    const chosen = plans.flatMap(({ records }) => records);
    if (chosen.length === 0) return { fd: null, lines: 0, damaged };
    const target = this.files.create();
    let lines = 0;
    for (const record of chosen) {
      target.appendFrom(this.spool!.fd, record.offset, record.offset + record.bytes);
      lines += record.lines;
    }
    return { fd: target.fd, lines, damaged };
  }

  /** A start of the server replays the log and begins another generation: then the old records are in segments. */
  private checkUnmoved(mark: Mark | null): void {
    const found = listWalFiles(ops, this.dataDir);
    if (found.length < this.lanes.length) throw new LogMoved('a write-ahead file is gone');
    for (const { lane, generation, checkpoint } of this.lanes) {
      const now = headerOf(this.dataDir, lane);
      if (now === null || now.generation !== generation) throw new LogMoved('the server was started again');
      // Without a mark the checkpoint alone says what was copied.
      const isMarked = mark?.generation === generation;
      if (!isMarked && now.checkpoint !== checkpoint) throw new LogMoved('segments were deleted');
    }
  }
}

/** A start of the server with fewer lanes deletes files. */
function movedIfGone<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw new LogMoved('a write-ahead file is gone');
    throw error;
  }
}

function headerOf(dataDir: string, lane: number) {
  try {
    return readHeader(ops, walPath(dataDir, lane));
  } catch {
    return null;
  }
}
