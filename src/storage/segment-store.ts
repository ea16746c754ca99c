/**
 * Creates segment files and opens the current one, for one thread.
 *
 * A segment file appears with its first commit, so restarts leave no empty ones. Several threads may append in turn:
 * each opens the file for itself, because Node closes the descriptors that a thread opened when the thread ends.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import type { FileOps } from './file-ops.ts';
import { type AppendContext, type OpenFile, openNew, Segment } from './segment.ts';
import { segmentName } from './segment-name.ts';
import type { Spares } from './spares.ts';

/** The open segment as all threads know it. */
export interface OpenSegment {
  /** 0 while no segment is open. */
  readonly sequence: number;
  /** Monotonic ms. */
  readonly openedMs: number;
  /** End of the last whole commit. */
  readonly bytes: number;
}

/** The directory could not be synced: the new segment's name may not survive a power loss. */
export class DirectorySyncFailed extends MetricsStreamError {
  constructor(dataDir: string, cause: unknown) {
    super('WRITER_FAILED', `cannot sync the directory ${dataDir}`, { cause });
  }
}

export class SegmentStore {
  private readonly context: AppendContext;
  private readonly dataDir: string;
  private readonly spares: Spares | null;
  private readonly release: (segment: Segment) => void;
  /** The segment that was open when this thread last asked. */
  private segment: Segment | null = null;

  /**
   * @param spares files opened ahead; null creates each segment when it is needed
   * @param release closes a segment that this thread no longer needs
   */
  constructor(
    context: AppendContext,
    dataDir: string,
    spares: Spares | null,
    release = (segment: Segment): void => segment.close(),
  ) {
    this.context = context;
    this.dataDir = dataDir;
    this.spares = spares;
    this.release = release;
  }

  pathOf(sequence: number): string {
    return join(this.dataDir, segmentName(sequence));
  }

  /** The open segment, which another thread may have created or extended. Throws when it cannot be opened. */
  open({ sequence, openedMs, bytes }: OpenSegment): Segment | null {
    if (this.segment?.sequence !== sequence) this.close();
    if (sequence === 0) return null;
    if (this.segment === null) {
      const path = this.pathOf(sequence);
      const file = { path, fd: this.context.ops.open(path, constants.O_WRONLY) };
      this.segment = new Segment(this.context, sequence, file, openedMs);
    }
    this.segment.bytes = bytes;
    return this.segment;
  }

  /**
   * Creates a segment whose name is durable, and releases the one before, which the caller has synced.
   * @throws DirectorySyncFailed, or the file system's error with the old segment still open
   */
  create(sequence: number, nowMs: number): Segment {
    const { context, spares } = this;
    const path = this.pathOf(sequence);
    const file =
      spares === null ? this.createInDirectory(path) : this.createFromSpare(path, spares, context.ops);
    this.close();
    this.segment = new Segment(context, sequence, file, nowMs);
    return this.segment;
  }

  private createFromSpare(path: string, spares: Spares, ops: FileOps): OpenFile {
    const file = spares.rename(path) ?? openNew(ops, path);
    this.syncDirectory(spares.directoryFd);
    return file;
  }

  private createInDirectory(path: string): OpenFile {
    const { ops } = this.context;
    // Opened first, so that a file is created only where its name can be synced too.
    const directoryFd = ops.open(this.dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const file = openNew(ops, path);
      this.syncDirectory(directoryFd);
      return file;
    } finally {
      ops.close(directoryFd);
    }
  }

  private syncDirectory(directoryFd: number): void {
    try {
      this.context.ops.fsync(directoryFd);
    } catch (error) {
      throw new DirectorySyncFailed(this.dataDir, error);
    }
  }

  /** Opens spares and the second descriptor of the open segment, as far as the system allows. */
  prepareNext(): void {
    if (this.spares?.fill() === true) this.segment?.openDirect();
  }

  /** Releases this thread's descriptor of the segment. */
  close(): void {
    const { segment } = this;
    this.segment = null;
    if (segment !== null) this.release(segment);
  }
}
