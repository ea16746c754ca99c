/** Reads the server's files forward while they grow: sound commits only, by the server's own reader. */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { codeOf, nodeFileOps as ops } from '../../src/storage/file-ops.ts';
import { listSegments, segmentName } from '../../src/storage/segment-name.ts';
import { readLines, readSegment } from '../../src/storage/segment-reader.ts';
import { LoadError } from '../errors.ts';

/** Everything before it has been read. */
export interface FilePlace {
  readonly sequence: number;
  readonly offset: number;
}

function segmentsOf(dataDir: string): number[] {
  try {
    return listSegments(ops, dataDir);
  } catch (error) {
    throw new LoadError(`cannot read the data directory ${dataDir}: ${codeOf(error)}`);
  }
}

/** The end of the last sound commit. */
export function endOfFiles(dataDir: string): FilePlace {
  const sequence = segmentsOf(dataDir).at(-1);
  if (sequence === undefined) return { sequence: 0, offset: 0 };
  const fd = ops.open(join(dataDir, segmentName(sequence)), constants.O_RDONLY);
  let offset = 0;
  try {
    for (const item of readSegment(ops, fd)) if (item.kind === 'good') offset = item.offset + item.bytes;
  } finally {
    ops.close(fd);
  }
  return { sequence, offset };
}

export class SegmentFollower {
  /** Segments that were gone before they were read to the end: retention removed them. */
  vanished = 0;
  private readonly dataDir: string;
  private place: FilePlace;

  constructor(dataDir: string, from: FilePlace) {
    this.dataDir = dataDir;
    this.place = from;
  }

  /** Gives the lines of each commit that is new, in order; their seals are taken off. */
  readNew(take: (lines: Buffer) => void): void {
    for (;;) {
      // Listed before reading: what a segment with a successor holds is all it will ever hold.
      const next = segmentsOf(this.dataDir).find((sequence) => sequence > this.place.sequence);
      this.readSegment(take);
      if (next === undefined) return;
      this.place = { sequence: next, offset: 0 };
    }
  }

  /** Bytes of the current segment that were not read yet. */
  backlogBytes(): number {
    try {
      return ops.stat(this.path()).size - this.place.offset;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return 0;
      throw error;
    }
  }

  /** Leaves out what was not read; reading goes on with the next commit that begins behind the end of the file. */
  skipToEnd(): void {
    const sequence = segmentsOf(this.dataDir).at(-1) ?? this.place.sequence;
    this.place = { sequence, offset: sequence === this.place.sequence ? this.place.offset : 0 };
    this.place = { sequence, offset: this.place.offset + Math.max(0, this.backlogBytes()) };
  }

  private path(): string {
    return join(this.dataDir, segmentName(this.place.sequence));
  }

  private readSegment(take: (lines: Buffer) => void): void {
    const { sequence } = this.place;
    let { offset } = this.place;
    let fd: number;
    try {
      if (ops.stat(this.path()).size === offset) return;
      fd = ops.open(this.path(), constants.O_RDONLY);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      if (sequence > 0) this.vanished++;
      return;
    }
    try {
      for (const item of readSegment(ops, fd, offset)) {
        if (item.kind !== 'good') continue;
        const lines = readLines(ops, fd, item);
        if (lines === null) break;
        take(lines);
        offset = item.offset + item.bytes;
      }
    } finally {
      ops.close(fd);
      this.place = { sequence, offset };
    }
  }
}
