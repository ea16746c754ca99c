/**
 * Prepares the files that the last process left, before the server listens.
 *
 * The last segment is read from its first to its last seal. Then:
 *
 * - *A torn tail*: bytes after the last good seal that an interrupted write left. Nobody got an acknowledgement for them.
 *   They are cut off.
 * - *A damaged end*: bytes after the last good seal that no crash leaves, such as a commit with a flipped bit, lines
 *   without seals, changed line ends. The file is set aside whole; its good commits stay in place.
 * - *Damage with good commits after it* stays in place and is counted; readers skip it.
 *
 * File and directory are synced, since the last process may have ended between a write and its sync. Numbers continue
 * after the highest that the files or the log record know. The next segment is a new file: no old one is appended to.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { WRITER } from '../telemetry/counters.ts';
import { readArchivedSegments } from './archived-segments.ts';
import { codeOf, type FileOps, isFileError, withFile } from './file-ops.ts';
import { type LogRecord, RESERVED_COMMITS, readLogRecord, writeLogRecord } from './log-record.ts';
import { listSegmentFiles, listSegments, SEQUENCE_MAX, segmentName } from './segment-name.ts';
import { readSegment } from './segment-reader.ts';
import { setAside } from './set-aside.ts';
import { isDiskFull } from './space-guard.ts';

export interface RecoveryReport {
  /** The log's id, for ever. */
  readonly log: string;
  readonly createdAt: string;
  /** The highest segment that existed at this start. */
  readonly startSegment: number;
  readonly segments: number;
  /** The segment that was read, or null when there was none. */
  readonly lastSegment: string | null;
  readonly nextSegment: number;
  readonly nextCommit: number;
  /** Commits up to this number were deleted by retention. */
  readonly deletedCommit: number;
  /** Of the last segment: commits, lines and bytes that their seals prove. */
  readonly goodCommits: number;
  readonly goodLines: number;
  readonly recoveredBytes: number;
  /** Bytes of a torn tail, cut off. */
  readonly truncatedBytes: number;
  /** Places before the last good commit that no seal proves, and their bytes; left as they are. */
  readonly damagedCommits: number;
  readonly damagedBytes: number;
  /** The name under which a file with a damaged end was kept, or null. */
  readonly setAside: string | null;
  /** Commits that the record knows and no segment here holds: at most this many at the end of the log. */
  readonly missingCommits: number;
  /** The defect of the record, or null. */
  readonly recordProblem: string | null;
  /** False when the disk was too full to write the record: the writer tries again. */
  readonly isRecorded: boolean;
  readonly tookMs: number;
}

/** True when a person should read the report. */
export function needsAttention(report: RecoveryReport): boolean {
  const { truncatedBytes, damagedCommits, missingCommits, recordProblem } = report;
  return (
    truncatedBytes > 0 ||
    damagedCommits > 0 ||
    report.setAside !== null ||
    missingCommits > 0 ||
    recordProblem !== null ||
    !report.isRecorded
  );
}

/** The disk failed, or the server of a network file system. */
const DISK_ERRORS = ['EIO', 'ENOTCONN', 'ESTALE', 'ETIMEDOUT'];

interface Tally {
  goodCommits: number;
  goodLines: number;
  recoveredBytes: number;
  damagedCommits: number;
  damagedBytes: number;
  /** End and number of the last good commit. */
  goodEnd: number;
  lastCommit: number;
  /** The bytes after the last good commit: none, a torn tail, or damage that claims this commit number. */
  end: 'whole' | 'torn' | 'damaged';
  claimedCommit: number;
}

/** @throws MetricsStreamError DATA_DIR_UNUSABLE when a file cannot be read, cut, set aside or synced */
export function recover(ops: FileOps, dataDir: string): RecoveryReport {
  return explained(dataDir, () => recoverDirectory(ops, dataDir));
}

/**
 * Runs a part of the start. @throws MetricsStreamError DATA_DIR_UNUSABLE in place of an error of the file system
 */
export function explained<Result>(dataDir: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!isFileError(error)) throw error;
    const { path = dataDir } = error as NodeJS.ErrnoException;
    throw new MetricsStreamError(
      'DATA_DIR_UNUSABLE',
      `cannot recover the data directory: ${codeOf(error)}, ${path}. ${remedyOf(error)}`,
      { cause: error },
    );
  }
}

function remedyOf(error: unknown): string {
  if (isDiskFull(error))
    return 'The disk or its quota is full. Everything acknowledged is kept: free space there, and start again.';
  if (DISK_ERRORS.includes(codeOf(error)))
    return (
      'The disk failed there: see the log of the kernel, and start again once it works. If it never does, put a copy ' +
      'made with ddrescue in the place of the file: metrics in blocks that cannot be read are lost.'
    );
  return (
    `This process runs as user ${process.getuid?.()} and must be able to read and write every file there: ` +
    'check their type, owner and mode.'
  );
}

function recoverDirectory(ops: FileOps, dataDir: string): RecoveryReport {
  const startMs = performance.now();
  const found = readLogRecord(ops, dataDir);
  const sequences = listSegments(ops, dataDir);
  const highest = sequences.at(-1) ?? 0;
  if (highest > SEQUENCE_MAX) throw numbersUsedUp(dataDir, highest);
  const files = listSegmentFiles(ops, dataDir);
  const last = files.at(-1);
  let tally = emptyTally();
  let truncatedBytes = 0;
  let aside: string | null = null;
  let lastGood = 0;
  if (last !== undefined) {
    const path = join(dataDir, segmentName(last));
    tally = readFile(ops, path);
    lastGood = tally.lastCommit || lastCommitBefore(ops, dataDir, files);
    const isCrash = found.record === null || mayBeCrash(found.record, last, lastGood);
    if (tally.end === 'torn' && !isCrash) tally.end = 'damaged';
    if (tally.end === 'damaged') aside = setAside(ops, path, tally.goodEnd);
    else truncatedBytes = cutTail(ops, path, tally);
    syncDirectory(ops, dataDir);
  }
  const record = found.record ?? newLogRecord();
  // After an orderly stop the record is exact. Otherwise a damaged end may hold commits with the numbers that it claims.
  const isExact = record.clean && lastGood <= record.commit;
  const inFile = tally.end === 'damaged' && !isExact ? Math.max(lastGood, tally.claimedCommit) : lastGood;
  // The archiver may have deleted the last segments before the next one got a commit.
  const archived = readArchivedSegments(ops, dataDir);
  const lastArchived = archived.deleted.at(-1)?.[1] ?? 0;
  const known = Math.max(inFile, archived.commit);
  const lastCommit = lastCommitNumber(record, known, Math.max(last ?? 0, lastArchived));
  const lastSegment = Math.max(highest, record.segment, lastArchived);
  const reserved = lastCommit + RESERVED_COMMITS;
  const isRecorded = writeRecord(ops, dataDir, {
    ...record,
    segment: lastSegment,
    startSegment: lastSegment,
    commit: lastCommit,
    reserved,
    clean: false,
  });
  return {
    log: record.id,
    createdAt: record.createdAt,
    startSegment: lastSegment,
    segments: files.length,
    lastSegment: last === undefined ? null : segmentName(last),
    nextSegment: lastSegment + 1,
    nextCommit: lastCommit + 1,
    deletedCommit: record.deletedCommit,
    goodCommits: tally.goodCommits,
    goodLines: tally.goodLines,
    recoveredBytes: tally.recoveredBytes,
    truncatedBytes,
    damagedCommits: tally.damagedCommits,
    damagedBytes: tally.damagedBytes,
    setAside: aside,
    missingCommits: Math.max(0, record.commit - Math.max(lastGood, record.deletedCommit, archived.commit)),
    recordProblem: recordProblem(found.damaged, found.record === null && files.length > 0),
    isRecorded,
    tookMs: Math.round(performance.now() - startMs),
  };
}

function numbersUsedUp(dataDir: string, sequence: number): MetricsStreamError {
  return new MetricsStreamError(
    'DATA_DIR_UNUSABLE',
    `${join(dataDir, segmentName(sequence))}: no server gets that far, and no segment could follow it; move the file away`,
  );
}

function newLogRecord(): LogRecord {
  return {
    id: randomUUID(),
    createdAt: new Date().toISOString(),
    segment: 0,
    startSegment: 0,
    commit: 0,
    reserved: 0,
    deletedCommit: 0,
    clean: true,
  };
}

/** False when the disk is full, which must not prevent the start: the server answers 503 until there is room. */
function writeRecord(ops: FileOps, dataDir: string, record: LogRecord): boolean {
  try {
    writeLogRecord(ops, dataDir, record);
    return true;
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    return false;
  }
}

/** False when a torn end holds commits that were acknowledged: no crash takes those. */
function mayBeCrash({ clean, segment, commit }: LogRecord, last: number, lastGood: number): boolean {
  // A segment is recorded before its first commit is acknowledged.
  return !clean && (last > segment || lastGood >= commit);
}

/** The highest commit number that may be in use. */
function lastCommitNumber(record: LogRecord, known: number, lastSegment: number): number {
  if (record.clean) return Math.max(known, record.commit);
  // The last process was killed, and its last segment is gone, emptied or unreadable at its end: only the reservation
  // bounds the numbers in it.
  const hasNewSegment = record.segment > record.startSegment;
  const isLost = hasNewSegment && (record.segment > lastSegment || known < record.commit);
  // Retention deletes only closed segments, with all commits up to the number that it records.
  if (isLost && record.deletedCommit < record.commit) return Math.max(known, record.reserved);
  return Math.max(known, record.commit, record.deletedCommit);
}

function recordProblem(damaged: readonly string[], isMissing: boolean): string | null {
  if (damaged.length > 0) return `${damaged.join(' and ')} was damaged and has been replaced`;
  return isMissing ? 'there was no log.json: numbers continue from the segments, under a new log id' : null;
}

function emptyTally(): Tally {
  return {
    goodCommits: 0,
    goodLines: 0,
    recoveredBytes: 0,
    damagedCommits: 0,
    damagedBytes: 0,
    goodEnd: 0,
    lastCommit: 0,
    end: 'whole',
    claimedCommit: 0,
  };
}

/** Cuts a torn tail off, syncs, and removes a file without a good commit; returns how many bytes were cut. */
function cutTail(ops: FileOps, path: string, tally: Tally): number {
  const truncatedBytes = ops.stat(path).size - tally.goodEnd;
  // A sync needs no permission to write: operators protect closed segments with `chattr +i` or `chmod a-w`.
  withFile(ops, path, truncatedBytes > 0 ? constants.O_RDWR : constants.O_RDONLY, (fd) => {
    if (truncatedBytes > 0) ops.truncate(fd, tally.goodEnd);
    ops.fsync(fd);
  });
  // The process ended while it wrote the first commit.
  if (tally.goodCommits === 0 && tally.damagedBytes === 0) ops.unlink(path);
  return truncatedBytes;
}

function readFile(ops: FileOps, path: string): Tally {
  return withFile(ops, path, constants.O_RDONLY, (fd) => readAll(ops, fd));
}

function readAll(ops: FileOps, fd: number): Tally {
  const tally = emptyTally();
  let pendingDamage = 0;
  for (const item of readSegment(ops, fd)) {
    if (item.kind === 'good') {
      tally.goodCommits++;
      tally.goodLines += item.lines;
      tally.recoveredBytes += item.bytes;
      // Damage counts as such when a good commit follows it.
      if (pendingDamage > 0) {
        // The gap in the numbers shows how many commits the damage destroyed.
        const missing = item.commit - tally.lastCommit - 1;
        tally.damagedCommits += tally.lastCommit > 0 && missing > 0 ? missing : 1;
        tally.damagedBytes += pendingDamage;
        pendingDamage = 0;
      }
      tally.goodEnd = item.offset + item.bytes;
      tally.lastCommit = item.commit;
      tally.end = 'whole';
    } else {
      pendingDamage += item.bytes;
      tally.end = item.kind;
      tally.claimedCommit = item.kind === 'damaged' ? item.claimedCommit : 0;
    }
  }
  if (tally.end === 'damaged') boundClaim(ops, fd, tally);
  return tally;
}

/** A flipped digit must not make numbers jump: lines bound the commits in the damaged end, one line or more each. */
function boundClaim(ops: FileOps, fd: number, tally: Tally): void {
  const most = tally.lastCommit + countLines(ops, fd, tally.goodEnd);
  const { claimedCommit, lastCommit } = tally;
  if (claimedCommit <= lastCommit || (lastCommit > 0 && claimedCommit > most)) tally.claimedCommit = most;
}

function countLines(ops: FileOps, fd: number, from: number): number {
  const chunk = Buffer.alloc(1 << 20);
  let lines = 0;
  for (let at = from; ; ) {
    const read = ops.read(fd, chunk, 0, chunk.length, at);
    if (read === 0) return Math.max(1, lines);
    for (let k = chunk.indexOf('\n'); k >= 0 && k < read; k = chunk.indexOf('\n', k + 1)) lines++;
    at += read;
  }
}

/** The number of the last good commit of the segments before the last, or 0. */
function lastCommitBefore(ops: FileOps, dataDir: string, sequences: readonly number[]): number {
  for (let k = sequences.length - 2; k >= 0; k--) {
    const { lastCommit } = readFile(ops, join(dataDir, segmentName(sequences[k]!)));
    if (lastCommit > 0) return lastCommit;
  }
  return 0;
}

function syncDirectory(ops: FileOps, dataDir: string): void {
  const fd = ops.open(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    ops.fsync(fd);
  } finally {
    ops.close(fd);
  }
}

/** Sets the writer's counters to the findings of recovery, before the writer starts. */
export function countRecovery(memory: SharedArrayBuffer, report: RecoveryReport): void {
  const counters = new Float64Array(memory);
  counters[WRITER.recovered_bytes] = report.recoveredBytes;
  counters[WRITER.truncated_bytes] = report.truncatedBytes;
  counters[WRITER.damaged_commits] = report.damagedCommits;
  counters[WRITER.set_aside_files] = report.setAside === null ? 0 : 1;
  counters[WRITER.missing_commits] = report.missingCommits;
}
