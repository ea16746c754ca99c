/**
 * What a start does with the files that the last process left, before anything listens.
 *
 * The last segment is read from its first to its last seal. Bytes behind the last good seal belong to a commit that
 * was never whole, so nobody was told that it was stored: they are cut off. Damage that has good commits behind it
 * stays where it is, counted; readers leave it aside. File and directory are synced, since the process before may
 * have ended between a write and its sync. The next commit number follows the last good one; the next segment is a
 * new file, and none of the old ones is ever appended to.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { WRITER } from '../telemetry/counters.ts';
import type { FileOps } from './file-ops.ts';
import { listSegments, segmentName } from './segment-name.ts';
import { readSegment } from './segment-reader.ts';

export interface RecoveryReport {
  readonly segments: number;
  /** The segment that was read, or null when there was none. */
  readonly lastSegment: string | null;
  readonly nextSegment: number;
  readonly nextCommit: number;
  /** Of the last segment: commits, lines and bytes that their seals prove. */
  readonly goodCommits: number;
  readonly goodLines: number;
  readonly recoveredBytes: number;
  /** Bytes behind the last good seal, cut off. */
  readonly truncatedBytes: number;
  /** Places in the middle that no seal proves, and their bytes; left as they are. */
  readonly damagedCommits: number;
  readonly damagedBytes: number;
  readonly tookMs: number;
}

interface Tally {
  goodCommits: number;
  goodLines: number;
  recoveredBytes: number;
  damagedCommits: number;
  damagedBytes: number;
  /** End and number of the last good commit. */
  goodEnd: number;
  lastCommit: number;
}

/** @throws the file system's error when the last segment cannot be read, cut or synced */
export function recover(ops: FileOps, dataDir: string): RecoveryReport {
  const startMs = performance.now();
  const sequences = listSegments(ops, dataDir);
  const last = sequences.at(-1);
  let tally = emptyTally();
  let truncatedBytes = 0;
  if (last !== undefined) {
    const path = join(dataDir, segmentName(last));
    [tally, truncatedBytes] = recoverSegment(ops, path);
    // No good commit in it: the process ended while it wrote its first.
    if (tally.goodCommits === 0 && tally.damagedBytes === 0) ops.unlink(path);
    syncDirectory(ops, dataDir);
  }
  const lastCommit = tally.lastCommit || lastCommitBefore(ops, dataDir, sequences);
  return {
    segments: sequences.length,
    lastSegment: last === undefined ? null : segmentName(last),
    nextSegment: (last ?? 0) + 1,
    nextCommit: lastCommit + 1,
    goodCommits: tally.goodCommits,
    goodLines: tally.goodLines,
    recoveredBytes: tally.recoveredBytes,
    truncatedBytes,
    damagedCommits: tally.damagedCommits,
    damagedBytes: tally.damagedBytes,
    tookMs: Math.round(performance.now() - startMs),
  };
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
  };
}

function recoverSegment(ops: FileOps, path: string): [Tally, number] {
  const fd = ops.open(path, constants.O_RDWR);
  try {
    const tally = readAll(ops, fd);
    const truncatedBytes = ops.stat(path).size - tally.goodEnd;
    if (truncatedBytes > 0) ops.truncate(fd, tally.goodEnd);
    ops.fsync(fd);
    return [tally, truncatedBytes];
  } finally {
    ops.close(fd);
  }
}

function readAll(ops: FileOps, fd: number): Tally {
  const tally = emptyTally();
  let pendingDamage = 0;
  for (const item of readSegment(ops, fd)) {
    if (item.kind === 'good') {
      tally.goodCommits++;
      tally.goodLines += item.lines;
      tally.recoveredBytes += item.bytes;
      // Damage counts only when a good commit follows; the rest is cut off.
      if (pendingDamage > 0) {
        // How many commits the damage took shows in the gap of the numbers.
        const missing = item.commit - tally.lastCommit - 1;
        tally.damagedCommits += tally.lastCommit > 0 && missing > 0 ? missing : 1;
        tally.damagedBytes += pendingDamage;
        pendingDamage = 0;
      }
      tally.goodEnd = item.offset + item.bytes;
      tally.lastCommit = item.commit;
    } else {
      pendingDamage += item.bytes;
    }
  }
  return tally;
}

/** The number of the last good commit of the segments before the last, or 0. */
function lastCommitBefore(ops: FileOps, dataDir: string, sequences: readonly number[]): number {
  for (let k = sequences.length - 2; k >= 0; k--) {
    const fd = ops.open(join(dataDir, segmentName(sequences[k]!)), constants.O_RDONLY);
    try {
      const { lastCommit } = readAll(ops, fd);
      if (lastCommit > 0) return lastCommit;
    } finally {
      ops.close(fd);
    }
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

/** Seeds the writer's counters with what recovery found; before the writer starts. */
export function countRecovery(memory: SharedArrayBuffer, report: RecoveryReport): void {
  const counters = new Float64Array(memory);
  counters[WRITER.recovered_bytes] = report.recoveredBytes;
  counters[WRITER.truncated_bytes] = report.truncatedBytes;
  counters[WRITER.damaged_commits] = report.damagedCommits;
}
