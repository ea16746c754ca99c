/** The segments that are closed for good, oldest first, and when they may go. */
import { join } from 'node:path';
import type { FileOps } from './file-ops.ts';
import { listSegments, segmentName } from './segment-name.ts';

export interface RetentionConfig {
  readonly dataDir: string;
  /** Delete the oldest segments while all together are larger; 0 keeps everything. */
  readonly retentionBytes: number;
  /** Delete segments whose last write is older; 0 keeps everything. */
  readonly retentionAgeMs: number;
}

interface ClosedSegment {
  readonly path: string;
  readonly bytes: number;
  readonly writtenMs: number;
}

export class ClosedSegments {
  private readonly ops: FileOps;
  private readonly config: RetentionConfig;
  private readonly segments: ClosedSegment[] = [];

  /** Begins with all that the directory holds: to be called before a segment is opened. */
  constructor(ops: FileOps, config: RetentionConfig) {
    this.ops = ops;
    this.config = config;
    for (const sequence of listSegments(ops, config.dataDir)) this.find(sequence);
  }

  /** Adds a segment that someone else closed, by what the file system knows of it. */
  find(sequence: number): void {
    const path = join(this.config.dataDir, segmentName(sequence));
    const { size, mtimeMs } = this.ops.stat(path);
    this.add(path, size, mtimeMs);
  }

  add(path: string, bytes: number, writtenMs: number): void {
    this.segments.push({ path, bytes, writtenMs });
  }

  /** Deletes whole segments, oldest first, as the settings ask; returns how many. */
  retain(openBytes: number, wallMs: number): number {
    const { ops, segments } = this;
    const { retentionBytes, retentionAgeMs } = this.config;
    let deleted = 0;
    let total = segments.reduce((sum, { bytes }) => sum + bytes, openBytes);
    for (let oldest = segments[0]; oldest !== undefined; oldest = segments[0]) {
      const tooMuch = retentionBytes > 0 && total > retentionBytes;
      const tooOld = retentionAgeMs > 0 && wallMs - oldest.writtenMs > retentionAgeMs;
      if (!tooMuch && !tooOld) break;
      ops.unlink(oldest.path);
      segments.shift();
      total -= oldest.bytes;
      deleted++;
    }
    return deleted;
  }
}
