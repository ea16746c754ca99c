/** The closed segments, oldest first, and which of them retention deletes. */
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
  /** The first sequence that is not yet in `segments`. */
  private nextSequence: number;

  /** Starts with the segments below `nextSequence` in the directory. */
  constructor(ops: FileOps, config: RetentionConfig, nextSequence: number) {
    this.ops = ops;
    this.config = config;
    this.nextSequence = nextSequence;
    for (const sequence of listSegments(ops, config.dataDir)) this.add(sequence);
  }

  private add(sequence: number): void {
    const path = join(this.config.dataDir, segmentName(sequence));
    const { size, mtimeMs } = this.ops.stat(path);
    this.segments.push({ path, bytes: size, writtenMs: mtimeMs });
  }

  /**
   * Deletes whole segments, oldest first, as the settings ask; returns how many.
   * @param firstOpen the sequence of the open segment, or of the next one; segments below it are closed
   */
  retain(firstOpen: number, openBytes: number, wallMs: number): number {
    const { ops, segments } = this;
    const { retentionBytes, retentionAgeMs } = this.config;
    for (; this.nextSequence < firstOpen; this.nextSequence++) this.add(this.nextSequence);
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
