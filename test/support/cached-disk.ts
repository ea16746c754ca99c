/** A disk behind the page cache of a kernel that calls pages clean after it failed to write them, as ext4 and XFS do. */
import fs from 'node:fs';
import { join } from 'node:path';
import { FaultFileOps } from '../../load-test/faults/fault-file-ops.ts';
import { nodeFileOps } from '../../src/storage/file-ops.ts';

/** From, to. */
type Range = readonly [number, number];

/** The bytes of a file that the disk holds, and which bytes of the cache still have to get there. */
interface Inode {
  disk: Buffer;
  dirty: Range[];
}

/** Also of a descriptor that is only for writing. */
const contentOf = (fd: number): Buffer => fs.readFileSync(`/proc/self/fd/${fd}`);

/**
 * The real files are the cache. `diskOf` shows what a power loss leaves: of each file that was written through this
 * object, what a sync has covered. A sync that fails forgets which bytes it did not write, so that a later one succeeds
 * without them. Lengths, names, and files that others write are durable at once.
 */
export class CachedDisk extends FaultFileOps {
  private readonly inodes = new Map<number, Inode>();
  /** Files that other code writes past the cache. */
  private readonly direct = new Set<number>();

  override open(path: string, flags: number, mode?: number): number {
    const fd = super.open(path, flags, mode);
    if (path.includes('.wal-')) this.direct.add(nodeFileOps.fstat(fd).ino);
    return fd;
  }

  override write(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number {
    const inode = this.inodeOf(fd);
    const written = super.write(fd, buffer, offset, length, position);
    inode.dirty.push([position, position + written]);
    return written;
  }

  override writev(fd: number, buffers: readonly Uint8Array[], position: number): number {
    const inode = this.inodeOf(fd);
    const written = super.writev(fd, buffers, position);
    inode.dirty.push([position, position + written]);
    return written;
  }

  override truncate(fd: number, bytes: number): void {
    const inode = this.inodeOf(fd);
    super.truncate(fd, bytes);
    inode.disk = inode.disk.subarray(0, bytes);
  }

  override fdatasync(fd: number): void {
    this.sync(fd, () => super.fdatasync(fd));
  }

  override fsync(fd: number): void {
    this.sync(fd, () => super.fsync(fd));
  }

  /** The kernel is done at once; the caller learns the result in a later turn, as from the thread pool. */
  override fdatasyncInBackground(fd: number, done: (error: Error | null) => void): void {
    let failure: Error | null = null;
    try {
      this.fdatasync(fd);
    } catch (error) {
      failure = error as Error;
    }
    setImmediate(() => done(failure));
  }

  private sync(fd: number, call: () => void): void {
    if (!nodeFileOps.fstat(fd).isFile()) return call();
    const inode = this.inodeOf(fd);
    const dirty = inode.dirty.splice(0);
    call();
    const cache = contentOf(fd);
    const disk = Buffer.alloc(cache.length);
    inode.disk.copy(disk);
    for (const [from, to] of dirty) cache.copy(disk, from, from, to);
    inode.disk = disk;
  }

  private inodeOf(fd: number): Inode {
    const { ino } = nodeFileOps.fstat(fd);
    let inode = this.inodes.get(ino);
    // Whatever was there before counts as durable.
    inode ??= { disk: contentOf(fd), dirty: [] };
    this.inodes.set(ino, inode);
    return inode;
  }

  /** A new directory with what a power loss now leaves of the files in `dataDir`. */
  diskOf(dataDir: string): string {
    const copy = fs.mkdtempSync(`${dataDir}-disk-`);
    for (const name of fs.readdirSync(dataDir)) {
      const path = join(dataDir, name);
      const { ino } = fs.statSync(path);
      const inode = this.direct.has(ino) ? undefined : this.inodes.get(ino);
      fs.writeFileSync(join(copy, name), inode?.disk ?? fs.readFileSync(path));
    }
    return copy;
  }
}
