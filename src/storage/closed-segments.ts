/**
 * The closed segments: which of them retention deletes, and what other processes did to them.
 *
 * Retention deletes the oldest first. A segment that is gone already counts as deleted; one that cannot be deleted is
 * left out of the totals, so that retention continues with the next.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { monotonicMs } from '../base/clock.ts';
import { readArchivedSegments } from './archived-segments.ts';
import { codeOf, type FileOps, isFileError } from './file-ops.ts';
import { lastSealedCommit, SEAL_MAX_BYTES } from './seal.ts';
import { listSegments, segmentName } from './segment-name.ts';
import type { SinkGateConfig } from './sink-gate.ts';

export interface RetentionConfig extends SinkGateConfig {
  /** Delete the oldest segments while all together are larger; 0 keeps everything. */
  readonly retentionBytes: number;
  /** Delete segments whose last write is older; 0 keeps everything. */
  readonly retentionAgeMs: number;
  /** An open segment is closed at this age. */
  readonly segmentAgeMs: number;
}

interface ClosedSegment {
  readonly sequence: number;
  bytes: number;
  mtimeMs: number;
  /** Monotonic time of the last write. */
  writtenMs: number;
  /** Why it could not be deleted, or ''. */
  undeletable: string;
}

/** Something that other processes did to a closed segment. */
export interface Incident {
  readonly segment: string;
  readonly what: string;
}

/** Closed segments whose size is checked in one call, so that a call stays short however many there are. */
const INSPECTED_AT_ONCE = 256;

export class ClosedSegments {
  private readonly ops: FileOps;
  private readonly config: RetentionConfig;
  /** By sequence. */
  private readonly segments = new Map<number, ClosedSegment>();
  private nextInspected = 0;
  /** The highest sequence that was ever known. */
  private newest = 0;

  /** Starts with the segments in the directory: call it before a segment is opened. */
  constructor(ops: FileOps, config: RetentionConfig) {
    this.ops = ops;
    this.config = config;
    for (const sequence of listSegments(ops, config.dataDir)) this.add(sequence, Number.POSITIVE_INFINITY);
  }

  private pathOf(sequence: number): string {
    return join(this.config.dataDir, segmentName(sequence));
  }

  /**
   * Leaves out what is not a file, and a file whose status cannot be read: the next inspection tries again.
   * @param ageMaxMs of its last write
   */
  private add(sequence: number, ageMaxMs: number): void {
    try {
      const status = this.ops.stat(this.pathOf(sequence));
      if (!status.isFile()) return;
      const { size: bytes, mtimeMs } = status;
      const writtenMs = monotonicTimeOf(mtimeMs, ageMaxMs);
      this.newest = Math.max(this.newest, sequence);
      this.segments.set(sequence, { sequence, bytes, mtimeMs, writtenMs, undeletable: '' });
    } catch (error) {
      if (!isFileError(error)) throw error;
    }
  }

  /**
   * Compares the directory with what is known: adds segments that were closed or restored since the last call, and
   * returns what other processes deleted, cut or extended.
   * @param firstOpen the sequence of the open segment, or of the next one
   * @param abandoned the last segment that was lost while open; its loss is known
   */
  inspect(firstOpen: number, abandoned: number): Incident[] {
    const present = new Set(listSegments(this.ops, this.config.dataDir));
    const gone = [...this.segments.keys()].filter((sequence) => !present.has(sequence));
    for (const sequence of gone) this.segments.delete(sequence);
    const incidents = this.notArchived(gone.filter((sequence) => sequence !== abandoned)).map(
      (sequence): Incident => ({ segment: segmentName(sequence), what: 'deleted or moved away' }),
    );
    for (const sequence of present) {
      // A higher one may have been opened since the caller read `firstOpen`.
      if (sequence >= firstOpen || this.segments.has(sequence)) continue;
      // The clock may have jumped since the last write to a segment that was open until now.
      this.add(sequence, sequence > this.newest ? this.config.segmentAgeMs : Number.POSITIVE_INFINITY);
    }
    return [...incidents, ...this.inspectSizes()];
  }

  /** Those of some missing segments that `metricsstream archive` did not delete. */
  private notArchived(gone: readonly number[]): readonly number[] {
    if (gone.length === 0) return gone;
    const { deleted } = readArchivedSegments(this.ops, this.config.dataDir);
    return gone.filter((sequence) => !deleted.some(([first, last]) => sequence >= first && sequence <= last));
  }

  private inspectSizes(): Incident[] {
    const all = [...this.segments.values()];
    const incidents: Incident[] = [];
    for (let k = 0; k < Math.min(INSPECTED_AT_ONCE, all.length); k++) {
      const segment = all[this.nextInspected++ % all.length]!;
      const change = this.sizeChange(segment);
      if (change !== null) incidents.push({ segment: segmentName(segment.sequence), what: change });
    }
    return incidents;
  }

  private sizeChange(segment: ClosedSegment): string | null {
    let size: number;
    let mtimeMs: number;
    try {
      ({ size, mtimeMs } = this.ops.stat(this.pathOf(segment.sequence)));
    } catch {
      // The next call finds that it is gone.
      return null;
    }
    const before = segment.bytes;
    segment.bytes = size;
    if (mtimeMs !== segment.mtimeMs) segment.writtenMs = monotonicTimeOf(mtimeMs);
    segment.mtimeMs = mtimeMs;
    if (size === before) return null;
    if (size > before) return 'extended by another process';
    return size === 0 ? 'emptied' : 'truncated';
  }

  /** The segments that retention deletes now, oldest first. */
  due(openBytes: number): number[] {
    const { retentionBytes, retentionAgeMs } = this.config;
    if (retentionBytes === 0 && retentionAgeMs === 0) return [];
    const segments = [...this.segments.values()].sort((a, b) => a.sequence - b.sequence);
    const nowMs = monotonicMs();
    let total = openBytes;
    for (const { bytes, undeletable } of segments) if (undeletable === '') total += bytes;
    const due: number[] = [];
    for (const { sequence, bytes, writtenMs, undeletable } of segments) {
      const isTooMuch = retentionBytes > 0 && total > retentionBytes;
      const isTooOld = retentionAgeMs > 0 && nowMs - writtenMs > retentionAgeMs;
      // Tried again each time: its owner or attributes may have changed.
      const isOverdue = undeletable !== '';
      if (!isTooMuch && !isTooOld && !isOverdue) break;
      due.push(sequence);
      if (!isOverdue) total -= bytes;
    }
    return due;
  }

  /** The number of the last commit in a segment, or 0 when its end has no readable seal. */
  lastCommit(sequence: number): number {
    const { ops } = this;
    try {
      const fd = ops.open(this.pathOf(sequence), constants.O_RDONLY);
      try {
        return lastSeal(ops, fd);
      } finally {
        ops.close(fd);
      }
    } catch {
      return 0;
    }
  }

  /** Deletes a segment. True when it existed; an incident when it cannot be deleted, reported once. */
  delete(sequence: number): boolean | Incident {
    const segment = this.segments.get(sequence);
    if (segment === undefined) return false;
    try {
      this.ops.unlink(this.pathOf(sequence));
    } catch (error) {
      const code = codeOf(error);
      if (code !== 'ENOENT') {
        const isKnown = segment.undeletable === code;
        segment.undeletable = code;
        return isKnown ? false : { segment: segmentName(sequence), what: `not deletable: ${code}` };
      }
    }
    this.segments.delete(sequence);
    return true;
  }
}

/** Computed once for each write, so that a wall clock that jumps later makes no file older. */
function monotonicTimeOf(wallMs: number, ageMaxMs = Number.POSITIVE_INFINITY): number {
  return monotonicMs() - Math.max(0, Math.min(Date.now() - wallMs, ageMaxMs));
}

function lastSeal(ops: FileOps, fd: number): number {
  const { size } = ops.fstat(fd);
  const tail = Buffer.alloc(Math.min(size, SEAL_MAX_BYTES));
  const read = ops.read(fd, tail, 0, tail.length, size - tail.length);
  return lastSealedCommit(tail.subarray(0, read));
}
