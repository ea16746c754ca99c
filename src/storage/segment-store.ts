/**
 * Creates segment files, opens the current one, and notices when other processes touched it; for one thread.
 *
 * A segment file appears with its first commit, so restarts leave no empty ones. Several threads may append in turn:
 * each opens the file for itself, because Node closes the descriptors that a thread opened when the thread ends.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { directoryChange, type FileId, sameFile } from './directory-identity.ts';
import { codeOf, isFileError } from './file-ops.ts';
import { type AppendContext, isUnwritable, type OpenFile, openNew, Segment } from './segment.ts';
import { segmentName } from './segment-name.ts';
import type { Spares } from './spares.ts';

/** Bytes that this process did not write follow the last commit. */
const EXTENDED = 'extended by another process';

const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;

/** The open segment as all threads know it. */
export interface OpenSegment {
  /** 0 while no segment is open. */
  readonly sequence: number;
  /** Monotonic ms. */
  readonly openedMs: number;
  /** End of the last whole commit. */
  readonly bytes: number;
  readonly inode: number;
}

/** The directory could not be synced: the new segment's name may not survive a power loss. */
export class DirectorySyncFailed extends MetricsStreamError {
  constructor(dataDir: string, cause: unknown) {
    super('WRITER_FAILED', `cannot sync the directory ${dataDir}`, { cause });
  }
}

/** The path of the data directory no longer leads to the directory that this process has locked. */
export class DirectoryLost extends MetricsStreamError {
  constructor(dataDir: string, change: string) {
    super('WRITER_FAILED', `the data directory ${dataDir} is gone: ${change}`);
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
   * How another process damaged the open segment, or null: deleted, replaced, or changed in length. Costs one fstat, so it
   * runs before and after each commit.
   */
  damage(open: OpenSegment): string | null {
    if (open.sequence === 0) return null;
    let segment: Segment | null;
    try {
      segment = this.open(open);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return 'deleted or moved away';
      throw error;
    }
    const { nlink, ino, size } = this.context.ops.fstat(segment!.fd);
    if (nlink === 0) return 'deleted';
    if (ino !== open.inode) return 'replaced by another file';
    if (size < open.bytes) return size === 0 ? 'emptied' : 'truncated';
    return size > open.bytes ? EXTENDED : null;
  }

  /** How another process took a commit that was just appended, or null. @throws the file system's error if the file is gone */
  loss(open: OpenSegment): string | null {
    try {
      const how = this.damage(open);
      // Bytes behind the commit do not touch it; the next one finds them.
      return how === EXTENDED ? null : how;
    } catch (error) {
      if (!isFileError(error) || isUnwritable(error)) throw error;
      // The commit is in the file: refused, it would be stored twice. An error that lasts refuses the next one.
      return null;
    }
  }

  /** Whether this thread has the open segment's file open. */
  isOpen({ sequence }: OpenSegment): boolean {
    return this.segment?.sequence === sequence;
  }

  /** Why the name of the open segment no longer leads to it, or null. Costs a path look-up. */
  displacement({ sequence, inode }: OpenSegment): string | null {
    if (sequence === 0) return null;
    try {
      return this.context.ops.stat(this.pathOf(sequence)).ino === inode ? null : 'replaced by another file';
    } catch (error) {
      const code = codeOf(error);
      return code === 'ENOENT' || code === 'ENOTDIR' ? 'deleted or moved away' : null;
    }
  }

  /**
   * Creates a segment whose name is durable, and releases the one before, which the caller has synced.
   * @param sequence the lowest that is allowed: names that other processes have used are skipped
   * @param directory where the path of the data directory must lead
   * @throws DirectoryLost, DirectorySyncFailed, or the file system's error with the old segment still open
   */
  create(sequence: number, directory: FileId, nowMs: number): { segment: Segment; inode: number } {
    const { context } = this;
    this.assertDirectory(directory);
    const [free, file] = this.createFile(sequence);
    this.close();
    this.segment = new Segment(context, free, file, nowMs);
    return { segment: this.segment, inode: context.ops.fstat(file.fd).ino };
  }

  private assertDirectory(directory: FileId): void {
    const change = directoryChange(this.context.ops, this.dataDir, directory);
    if (change !== null) throw new DirectoryLost(this.dataDir, change);
  }

  private createFile(sequence: number): [number, OpenFile] {
    const { ops } = this.context;
    const directoryFd = this.spares?.directoryFd ?? ops.open(this.dataDir, DIRECTORY);
    try {
      for (let free = sequence; ; free++) {
        const path = this.pathOf(free);
        if (ops.exists(path)) continue;
        const file = this.nameSpare(path) ?? openNew(ops, path);
        this.syncDirectory(directoryFd);
        return [free, file];
      }
    } finally {
      if (this.spares === null) ops.close(directoryFd);
    }
  }

  /** A spare under the name `path`, unless another process has put its own file in the spare's place. */
  private nameSpare(path: string): OpenFile | null {
    const { ops } = this.context;
    const file = this.spares?.rename(path) ?? null;
    if (file === null || sameFile(ops.fstat(file.fd), ops.stat(path))) return file;
    ops.close(file.fd);
    return null;
  }

  private syncDirectory(directoryFd: number): void {
    try {
      this.context.ops.fsync(directoryFd);
    } catch (error) {
      throw new DirectorySyncFailed(this.dataDir, error);
    }
  }

  /** Opens spares and the second descriptor of the open segment, where the system allows it. */
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
