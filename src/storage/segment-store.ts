/**
 * The segments of one data directory: which one is open, how the next one begins, which old ones may go.
 *
 * A segment file comes to be with its first commit, so restarts leave no empty ones. What the next rotations need
 * is opened ahead, as `.spare-*.ndjson`: giving a spare its segment name takes no descriptor, so that rotation goes
 * on when connections have used up all of them. When the spares are used up too, the open segment grows past its
 * size until a descriptor is free. Spares serve as well to try whether the disk takes bytes again.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { ClosedSegments, type RetentionConfig } from './closed-segments.ts';
import type { FileOps } from './file-ops.ts';
import { type AppendContext, type OpenFile, openNew, Segment } from './segment.ts';
import { isSpareName, segmentName, spareName } from './segment-name.ts';

/** Rotations that need no descriptor. */
const SPARES = 8;
export const PROBE_BYTES = 65_536;

export interface SegmentStoreConfig extends RetentionConfig {
  /** A commit that would take a segment past this size begins the next one. */
  readonly segmentBytes: number;
  readonly segmentAgeMs: number;
}

/** The directory could not be synced: the new segment's name may not survive a power loss. */
export class DirectorySyncFailed extends MetricsStreamError {
  constructor(dataDir: string, cause: unknown) {
    super('WRITER_FAILED', `cannot sync the directory ${dataDir}`, { cause });
  }
}

export function syncDirectory(ops: FileOps, directoryFd: number, dataDir: string): void {
  try {
    ops.fsync(directoryFd);
  } catch (error) {
    throw new DirectorySyncFailed(dataDir, error);
  }
}

/** What a process that was killed left behind. */
export function removeSpares(ops: FileOps, dataDir: string): void {
  for (const name of ops.readdir(dataDir)) if (isSpareName(name)) ops.unlink(join(dataDir, name));
}

export class SegmentStore {
  /** The open segment, or null before the first commit and after an idle one has aged. */
  current: Segment | null = null;
  private readonly context: AppendContext;
  private readonly config: SegmentStoreConfig;
  private readonly directoryFd: number;
  private readonly spares: OpenFile[] = [];
  private readonly closed: ClosedSegments;
  private nextSequence: number;
  private nextSpare = 1;

  constructor(context: AppendContext, config: SegmentStoreConfig, nextSequence: number) {
    this.context = context;
    this.config = config;
    this.nextSequence = nextSequence;
    const { ops } = context;
    const { dataDir } = config;
    this.directoryFd = ops.open(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
    removeSpares(ops, dataDir);
    this.closed = new ClosedSegments(ops, config);
    this.openSpares();
  }

  /** True when a commit of `bytes` belongs into a new segment. */
  isFullFor(bytes: number, nowMs: number): boolean {
    const { current } = this;
    if (current === null || current.bytes === 0) return false;
    return current.bytes + bytes > this.config.segmentBytes || this.isAged(nowMs);
  }

  isAged(nowMs: number): boolean {
    const { current } = this;
    return current !== null && current.bytes > 0 && nowMs - current.openedMs >= this.config.segmentAgeMs;
  }

  /**
   * Makes a new segment the open one and returns the one before, which the caller has synced and closes.
   * Throws the file system's error, and leaves the old one open, when no file can be made.
   */
  begin(nowMs: number, wallMs: number): Segment | null {
    const { context, config } = this;
    const previous = this.current;
    const sequence = this.nextSequence;
    const path = join(config.dataDir, segmentName(sequence));
    const file = this.nameSpare(path) ?? openNew(context.ops, path);
    this.nextSequence++;
    this.current = new Segment(context, sequence, file, nowMs);
    syncDirectory(context.ops, this.directoryFd, config.dataDir);
    if (previous !== null) this.remember(previous, wallMs);
    return previous;
  }

  private nameSpare(path: string): OpenFile | null {
    const spare = this.spares[0];
    if (spare === undefined) return null;
    const { ops } = this.context;
    // The directory has one owner and the sequence is above all others, but a rename would not spare a stranger.
    if (ops.exists(path)) throw new MetricsStreamError('WRITER_FAILED', `${path} exists already`);
    ops.rename(spare.path, path);
    this.spares.shift();
    return { ...spare, path };
  }

  /** Leaves no segment open; returns the one that was, which the caller has synced and closes. */
  end(wallMs: number): Segment | null {
    const previous = this.current;
    if (previous !== null) this.remember(previous, wallMs);
    this.current = null;
    return previous;
  }

  private remember({ path, bytes }: Segment, wallMs: number): void {
    this.closed.add(path, bytes, wallMs);
  }

  /** Opens what is missing of spares and of the open segment's second descriptor, as far as the system allows. */
  openSpares(): void {
    try {
      while (this.spares.length < SPARES) {
        this.spares.push(openNew(this.context.ops, join(this.config.dataDir, spareName(this.nextSpare))));
        this.nextSpare++;
      }
    } catch {
      // Tried again within a second.
      return;
    }
    this.current?.openDirect();
  }

  /** Tries whether the directory takes bytes, on a spare: open segments are left alone. Throws when it does not. */
  probe(zeros: Uint8Array): void {
    const { ops } = this.context;
    this.openSpares();
    const spare = this.spares[0];
    if (spare === undefined) throw new MetricsStreamError('WRITER_FAILED', 'no file can be created');
    try {
      const length = Math.min(PROBE_BYTES, zeros.length);
      const written = ops.write(spare.fd, zeros, 0, length, 0);
      if (written < length) throw new MetricsStreamError('WRITER_FAILED', 'the disk takes only a few bytes');
    } finally {
      this.emptySpare(spare);
    }
  }

  private emptySpare(spare: OpenFile): void {
    const { ops } = this.context;
    try {
      ops.truncate(spare.fd, 0);
    } catch {
      // A spare that is not empty can never be a segment.
      this.spares.splice(this.spares.indexOf(spare), 1);
      this.discard(spare);
    }
  }

  private discard(spare: OpenFile): void {
    this.context.ops.close(spare.fd);
    try {
      this.context.ops.unlink(spare.path);
    } catch {
      // The next start removes it.
    }
  }

  /** Deletes whole segments, oldest first, as the retention settings ask; returns how many. Never the open one. */
  retain(wallMs: number): number {
    return this.closed.retain(this.current?.bytes ?? 0, wallMs);
  }

  /** Removes the spares and closes the directory. */
  close(): void {
    for (const spare of this.spares.splice(0)) this.discard(spare);
    this.context.ops.close(this.directoryFd);
  }
}
