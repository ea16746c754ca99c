/** Where the log ends, without reading it: for lag in bytes, commits and seconds. */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { segmentsOf } from './data-dir.ts';
import { isFileError, nodeFileOps as ops } from './file-ops.ts';
import { lastSeal, lastSealedCommit, SEAL_MAX_BYTES, type SealReader } from './seal.ts';
import { segmentName } from './segment-name.ts';

export interface LogEnd {
  /** The last segment and its length; 0 while there is none. */
  readonly segment: number;
  readonly bytes: number;
  /** Its last sealed commit, or 0 if its last bytes hold no seal. */
  readonly commit: number;
  /** Unix ms of its last write. */
  readonly writtenMs: number;
}

export function logEnd(dataDir: string): LogEnd {
  const sequences = segmentsOf(dataDir);
  for (const segment of sequences.toReversed()) {
    const end = endOf(dataDir, segment);
    if (end !== null) return end;
  }
  return { segment: 0, bytes: 0, commit: 0, writtenMs: 0 };
}

/** Null when the segment was deleted meanwhile or cannot be read. */
function endOf(dataDir: string, segment: number): LogEnd | null {
  try {
    const fd = ops.open(join(dataDir, segmentName(segment)), constants.O_RDONLY);
    try {
      const { size: bytes, mtimeMs: writtenMs } = ops.fstat(fd);
      // A write in progress may have put a part of the next commit behind the last seal.
      const tail = Buffer.alloc(Math.min(bytes, 4 * SEAL_MAX_BYTES));
      const read = ops.read(fd, tail, 0, tail.length, bytes - tail.length);
      return { segment, bytes, commit: lastSealedCommit(tail.subarray(0, read)), writtenMs };
    } finally {
      ops.close(fd);
    }
  } catch (error) {
    if (!isFileError(error)) throw error;
    return null;
  }
}

/** The seal that ends at an offset of a segment; null if none ends there any more. It reads nothing else. */
export function sealBefore(dataDir: string, segment: number, end: number): SealReader | null {
  try {
    const fd = ops.open(join(dataDir, segmentName(segment)), constants.O_RDONLY);
    try {
      const tail = Buffer.alloc(Math.min(end, SEAL_MAX_BYTES));
      const read = ops.read(fd, tail, 0, tail.length, end - tail.length);
      return read < tail.length ? null : lastSeal(tail);
    } finally {
      ops.close(fd);
    }
  } catch (error) {
    if (!isFileError(error)) throw error;
    return null;
  }
}

/** Bytes of the log behind an offset of a segment. */
export function bytesBehind(dataDir: string, segment: number, offset: number): number {
  let bytes = -offset;
  for (const sequence of segmentsOf(dataDir)) {
    if (sequence < segment) continue;
    try {
      bytes += ops.stat(join(dataDir, segmentName(sequence))).size;
    } catch (error) {
      if (!isFileError(error)) throw error;
    }
  }
  return Math.max(0, bytes);
}
