/**
 * Recovers the write-ahead log that the last process left, before and after the segments' own recovery.
 *
 * 1. *Repair*: segments are synced behind the answers, so a power loss may leave a damaged commit with good ones after
 *    it. If the log still holds everything from the damage on, the segment is cut off there.
 * 2. *Replay*: the records that the segments lack are appended as commits of a new segment, and synced.
 * 3. *Set aside*: a file whose header is damaged is kept under another name, since nothing could be replayed from it.
 * 4. *Renew*: each lane gets a file of the right size and a new generation, so that no old record counts any more.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { CommitBuffer } from '../storage/commit-buffer.ts';
import { type FileOps, withFile, withPath } from '../storage/file-ops.ts';
import { openNew, Segment } from '../storage/segment.ts';
import { isRegularFile, listSegmentFiles, segmentName } from '../storage/segment-name.ts';
import { type GoodCommit, readSegment } from '../storage/segment-reader.ts';
import { setAside } from '../storage/set-aside.ts';
import { createCounterBlock, WRITER_SLOTS } from '../telemetry/counters.ts';
import { copiedOf, formatMark, type Mark, parseMark } from './mark.ts';
import { BLOCK_BYTES, type Generation, RECORD_HEADER_BYTES, recordBytes } from './record.ts';
import { type FoundRecord, type LaneLog, planReplay, readLaneLog } from './replay.ts';
import { createWalFile, listWalFiles, syncDirectory, walPath, writeHeader } from './wal-file.ts';

/** Replayed commits are closed at this size; one record may exceed it. */
const COMMIT_BYTES = 4 << 20;

export interface WalLog extends LaneLog {
  readonly lane: number;
  readonly path: string;
}

export interface ReplayReport {
  /** Records and lines appended to a new segment. */
  readonly records: number;
  readonly lines: number;
  /** Acknowledged records that no file holds whole any more. */
  readonly damaged: number;
  /** Records whose requests were never answered. */
  readonly dropped: number;
  readonly nextSegment: number;
  readonly nextCommit: number;
}

const UNREADABLE: LaneLog = { header: null, records: [] };

export function readWal(ops: FileOps, dataDir: string): WalLog[] {
  return listWalFiles(ops, dataDir).map((lane) => {
    const path = walPath(dataDir, lane);
    const log = isRegularFile(ops, path) ? readLaneLog(ops, path) : UNREADABLE;
    // A copy under the name of another lane would be replayed twice.
    return { lane, path, ...(log.header?.lane === lane ? log : UNREADABLE) };
  });
}

/** The mark of the last good commit of the segments given, which reads only the last one that has good commits. */
export function lastMark(ops: FileOps, dataDir: string, segments: readonly number[]): Mark | null {
  for (const sequence of segments.toReversed()) {
    let last: GoodCommit | null = null;
    for (const item of segmentItems(ops, join(dataDir, segmentName(sequence)))) {
      if (item.kind === 'good') last = item;
    }
    if (last !== null) return parseMark(last.mark);
  }
  return null;
}

function* segmentItems(ops: FileOps, path: string) {
  const fd = ops.open(path, constants.O_RDONLY);
  try {
    yield* readSegment(ops, fd);
  } catch (error) {
    throw withPath(error, path);
  } finally {
    ops.close(fd);
  }
}

interface UnsyncedDamage {
  readonly sequence: number;
  readonly path: string;
  /** End of the last commit before it. */
  readonly offset: number;
}

/**
 * The first damage in the last segment if good commits follow, no sync had covered it, and the log holds everything
 * from there on; else null.
 */
export function findUnsyncedDamage(
  ops: FileOps,
  dataDir: string,
  logs: readonly WalLog[],
): UnsyncedDamage | null {
  const segments = listSegmentFiles(ops, dataDir);
  const sequence = segments.at(-1);
  if (sequence === undefined || logs.length === 0) return null;
  const path = join(dataDir, segmentName(sequence));
  let before: Mark | null = null;
  let goodEnd = 0;
  let damageAt = -1;
  let last: Mark | null = null;
  for (const item of segmentItems(ops, path)) {
    if (item.kind === 'good') {
      if (damageAt >= 0) {
        last = parseMark(item.mark);
        continue;
      }
      before = parseMark(item.mark);
      goodEnd = item.offset + item.bytes;
    } else if (damageAt < 0) damageAt = goodEnd;
  }
  if (last === null) return null;
  // A segment whose first commit is damaged continues the one before, which was synced when it was closed.
  before ??= lastMark(ops, dataDir, segments.slice(0, -1));
  return holdsAllBetween(logs, before, last) ? { sequence, path, offset: damageAt } : null;
}

/**
 * Cuts the last segment off at damage that the replay restores. Other damage is left to the segments' own recovery, which
 * deletes nothing.
 * @returns bytes cut off
 */
export function repairUnsynced(ops: FileOps, dataDir: string, logs: readonly WalLog[]): number {
  const found = findUnsyncedDamage(ops, dataDir, logs);
  if (found === null) return 0;
  const { path, offset } = found;
  const bytes = ops.stat(path).size - offset;
  withFile(ops, path, constants.O_RDWR, (fd) => {
    ops.truncate(fd, offset);
    ops.fsync(fd);
  });
  return bytes;
}

/** True when no sync covered the records behind `before`, and the lanes hold all of them up to `last`. */
function holdsAllBetween(logs: readonly WalLog[], before: Mark | null, last: Mark): boolean {
  return last.sequences.every((end, lane) => {
    const start = copiedOf(before, lane, last.generation);
    const log = logs.find((found) => found.lane === lane);
    if (end === start) return true;
    if (log?.header?.generation !== last.generation || start < log.header.checkpoint) return false;
    const held = log.records.filter(({ sequence: at }) => at > start && at <= end);
    return held.length === end - start;
  });
}

/**
 * Appends what the segments lack. Call after the segments' own recovery.
 * @throws the file system's error when a record cannot be read, or the new segment not be written and synced
 */
export function replayWal(
  ops: FileOps,
  dataDir: string,
  logs: readonly WalLog[],
  next: { readonly nextSegment: number; readonly nextCommit: number },
): ReplayReport {
  const mark = lastMark(ops, dataDir, listSegmentFiles(ops, dataDir));
  const plans = logs.flatMap((log) => {
    if (log.header === null) return [];
    const { generation, checkpoint } = log.header;
    const copied = Math.max(checkpoint, copiedOf(mark, log.lane, generation));
    return [{ log, generation, copied, ...planReplay(log.records, copied) }];
  });
  const damaged = plans.reduce((sum, plan) => sum + plan.damaged, 0);
  const dropped = plans.reduce((sum, plan) => sum + plan.dropped, 0);
  const waiting = plans.filter(({ records }) => records.length > 0);
  if (waiting.length === 0) return { records: 0, lines: 0, damaged, dropped, ...next };
  const writer = new ReplayWriter(ops, dataDir, next);
  for (const { log, generation, records } of waiting) {
    writer.appendLane(log, generation, records, writer.sequencesOf(plans, generation));
  }
  return { ...writer.finish(), damaged, dropped };
}

interface LanePlan {
  readonly log: WalLog;
  readonly generation: Generation;
  /** Sequence of the last record that the segments hold. */
  readonly copied: number;
}

/** Writes replayed records to one new segment. */
class ReplayWriter {
  /** Last sequence appended, by lane. */
  private readonly replayed = new Map<number, number>();
  private readonly ops: FileOps;
  private readonly dataDir: string;
  private readonly segment: Segment;
  private readonly sequence: number;
  private readonly buffer = new CommitBuffer();
  private nextCommit: number;
  private records = 0;
  private lines = 0;

  constructor(
    ops: FileOps,
    dataDir: string,
    next: { readonly nextSegment: number; readonly nextCommit: number },
  ) {
    this.ops = ops;
    this.dataDir = dataDir;
    this.sequence = next.nextSegment;
    this.nextCommit = next.nextCommit;
    const counters = new Float64Array(createCounterBlock(WRITER_SLOTS));
    const context = { ops, counters, directBytes: 0, staging: Buffer.alloc(0), directRefused: () => {} };
    const file = openNew(ops, join(dataDir, segmentName(this.sequence)));
    this.segment = new Segment(context, this.sequence, file, 0);
  }

  /** How far each lane of a generation is: a start that is interrupted here continues behind that. */
  sequencesOf(plans: readonly LanePlan[], generation: Generation): number[] {
    const lanes = 1 + Math.max(...plans.map(({ log }) => log.lane));
    const sequences = new Array<number>(lanes).fill(0);
    for (const plan of plans) {
      if (plan.generation !== generation) continue;
      sequences[plan.log.lane] = this.replayed.get(plan.log.lane) ?? plan.copied;
    }
    return sequences;
  }

  appendLane(
    log: WalLog,
    generation: Generation,
    records: readonly FoundRecord[],
    sequences: number[],
  ): void {
    const { buffer } = this;
    const fd = this.ops.open(log.path, constants.O_RDONLY);
    try {
      buffer.clear();
      for (const record of records) {
        buffer.add(readLines(this.ops, fd, log.path, record), 0, record.bytes, record.lines);
        sequences[log.lane] = record.sequence;
        if (buffer.bytes >= COMMIT_BYTES) this.commit(formatMark(generation, sequences));
      }
      if (buffer.lines > 0) this.commit(formatMark(generation, sequences));
    } finally {
      this.ops.close(fd);
    }
    this.records += records.length;
    this.replayed.set(log.lane, sequences[log.lane]!);
  }

  private commit(mark: string): void {
    this.lines += this.buffer.lines;
    this.buffer.seal(this.nextCommit++, mark);
    this.segment.append(this.buffer);
    this.buffer.clear();
  }

  finish() {
    this.segment.sync();
    this.segment.close();
    syncDirectory(this.ops, this.dataDir);
    const { records, lines, nextCommit, sequence } = this;
    return { records, lines, nextCommit, nextSegment: sequence + 1 };
  }
}

function readLines(ops: FileOps, fd: number, path: string, { offset, bytes }: FoundRecord): Buffer {
  const lines = Buffer.allocUnsafe(bytes);
  try {
    for (let at = 0; at < bytes; ) {
      const read = ops.read(fd, lines, at, bytes - at, offset + RECORD_HEADER_BYTES + at);
      if (read === 0) throw new Error(`the write-ahead file got shorter while it was read at ${offset + at}`);
      at += read;
    }
  } catch (error) {
    throw withPath(error, path);
  }
  return lines;
}

/**
 * Keeps the files whose headers are damaged, byte for byte. Call before `renewWal`, which would write over them.
 * @returns the names that they have now
 */
export function setAsideUnreadable(ops: FileOps, dataDir: string, logs: readonly WalLog[]): string[] {
  const names = logs.filter(({ header }) => header === null).map(({ path }) => setAside(ops, path, 0));
  if (names.length > 0) syncDirectory(ops, dataDir);
  return names;
}

/**
 * Gives each lane a file of `fileBytes` and a new generation, and removes the files of lanes that no longer exist.
 * Everything in them is in synced segments.
 */
export function renewWal(
  ops: FileOps,
  dataDir: string,
  logs: readonly WalLog[],
  lanes: number,
  { generation, fileBytes }: { readonly generation: Generation; readonly fileBytes: number },
): void {
  for (let lane = 0; lane < lanes; lane++) {
    const path = walPath(dataDir, lane);
    const log = logs.find((one) => one.lane === lane);
    const start = log === undefined ? 0 : farFromLastWrite(log, fileBytes);
    const header = { lane, generation, checkpoint: 0, start };
    const isReusable = ops.exists(path) && ops.stat(path).size === fileBytes;
    if (isReusable) writeHeader(ops, path, header, true);
    else createWalFile(ops, dataDir, fileBytes, header);
  }
  for (const lane of listWalFiles(ops, dataDir)) if (lane >= lanes) ops.unlink(walPath(dataDir, lane));
}

/**
 * Half the file behind the last record, or behind the start of a run that left none. The kernel may complete a killed
 * process's io_uring writes after its lock is released: such a write must not land on a record of this run.
 */
function farFromLastWrite({ header, records }: WalLog, fileBytes: number): number {
  const usableBytes = fileBytes - BLOCK_BYTES;
  if (header === null || usableBytes <= 0) return 0;
  const last = records.at(-1);
  const end = last === undefined ? header.start : last.offset - BLOCK_BYTES + recordBytes(last.bytes);
  const half = Math.floor(usableBytes / 2 / BLOCK_BYTES) * BLOCK_BYTES;
  return (end + half) % usableBytes;
}
