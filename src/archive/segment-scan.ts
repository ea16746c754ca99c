/** Closed segments, as the archive reads them. */
import fs from 'node:fs';
import { join } from 'node:path';
import { segmentsOf } from '../storage/data-dir.ts';
import { codeOf, nodeFileOps as ops } from '../storage/file-ops.ts';
import { lastSealedCommit, SEAL_MAX_BYTES } from '../storage/seal.ts';
import { segmentName } from '../storage/segment-name.ts';
import { type GoodCommit, openLinesReader, readSegment } from '../storage/segment-reader.ts';
import type { CommitRange } from './commit-ranges.ts';
import type { ArchivedSegment } from './manifest.ts';

/**
 * Segments that get no more commits, oldest first: all but the last. A server appends to the last one, and a start may cut
 * it back.
 */
export function closedSegments(dataDir: string): number[] {
  return segmentsOf(dataDir).slice(0, -1);
}

/** Whether a segment is still as it was read. False when it is gone. */
export function isUnchanged(dataDir: string, { sequence, bytes, mtimeMs }: ArchivedSegment): boolean {
  const stats = fs.statSync(join(dataDir, segmentName(sequence)), { throwIfNoEntry: false });
  return stats !== undefined && stats.size === bytes && stats.mtimeMs === mtimeMs;
}

/**
 * Hands every commit of a segment that its seal proves to `visit`, with its lines.
 * @param wanted chooses the commits
 * @param visit false: the commit counts as damaged
 * @returns what was read, or null when the segment is gone
 */
export async function scanSegment(
  dataDir: string,
  sequence: number,
  wanted: (commit: number) => boolean,
  visit: (item: GoodCommit, lines: Buffer) => Promise<boolean>,
): Promise<ArchivedSegment | null> {
  let fd: number;
  try {
    fd = ops.open(join(dataDir, segmentName(sequence)), fs.constants.O_RDONLY);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const { size: bytes, mtimeMs } = ops.fstat(fd);
    let [first, last, damagedBytes] = [0, 0, 0];
    const reader = openLinesReader(ops, fd);
    for (const item of reader.items()) {
      if (item.kind !== 'good') {
        damagedBytes += item.bytes;
        continue;
      }
      if (wanted(item.commit)) {
        const lines = reader.lines(item);
        if (lines === null || !(await visit(item, lines))) damagedBytes += item.bytes;
      }
      first ||= item.commit;
      last = item.commit;
    }
    return { sequence, bytes, mtimeMs, first, last, damagedBytes };
  } finally {
    ops.close(fd);
  }
}

/** The commits of all segments, from the first and the last seal of each: damaged ones in between are included. */
export function commitsInSegments(dataDir: string): CommitRange[] {
  const ranges: CommitRange[] = [];
  for (const sequence of segmentsOf(dataDir)) {
    const fd = ops.open(join(dataDir, segmentName(sequence)), fs.constants.O_RDONLY);
    try {
      const first = firstCommit(fd);
      const last = lastCommit(fd);
      if (first > 0 && last >= first) ranges.push([first, last]);
    } finally {
      ops.close(fd);
    }
  }
  return ranges;
}

function firstCommit(fd: number): number {
  for (const item of readSegment(ops, fd)) if (item.kind === 'good') return item.commit;
  return 0;
}

function lastCommit(fd: number): number {
  const { size } = ops.fstat(fd);
  const tail = Buffer.alloc(Math.min(size, SEAL_MAX_BYTES));
  const read = ops.read(fd, tail, 0, tail.length, size - tail.length);
  return lastSealedCommit(tail.subarray(0, read));
}
