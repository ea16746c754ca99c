/**
 * Empty files opened ahead, and the directory's own descriptor.
 *
 * Renaming a spare to a segment name needs no descriptor, so rotation continues when connections use all of them.
 * When the spares run out too, the open segment grows past its size until a descriptor is free. A spare also serves
 * to probe whether the disk accepts bytes again.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';
import { sameFile } from './directory-identity.ts';
import { codeOf, type FileOps } from './file-ops.ts';
import { type OpenFile, openNew } from './segment.ts';
import { isSpareName, spareName } from './segment-name.ts';

const PROBE_BYTES = 65_536;

export class Spares {
  directoryFd: number;
  private readonly ops: FileOps;
  private readonly dataDir: string;
  private readonly count: number;
  private readonly files: OpenFile[] = [];
  private readonly zeros = Buffer.alloc(PROBE_BYTES);
  private nextNumber = 1;

  /** Removes the spares of a process that was killed, then opens `count` new ones. */
  constructor(ops: FileOps, dataDir: string, count: number) {
    this.ops = ops;
    this.dataDir = dataDir;
    this.count = count;
    this.directoryFd = this.openDirectory();
    this.fill();
  }

  private openDirectory(): number {
    const { ops, dataDir } = this;
    for (const name of ops.readdir(dataDir)) if (isSpareName(name)) this.unlink(join(dataDir, name));
    return ops.open(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** The path leads to another directory now: starts over there. */
  reopen(): void {
    const directoryFd = this.openDirectory();
    for (const spare of this.files.splice(0)) this.ops.close(spare.fd);
    this.ops.close(this.directoryFd);
    this.directoryFd = directoryFd;
    this.fill();
  }

  /** Opens missing spares, also for those that other processes deleted or wrote to. False when the system refused one. */
  fill(): boolean {
    try {
      for (const spare of [...this.files]) if (!this.isUsable(spare)) this.drop(spare);
      while (this.files.length < this.count) {
        this.files.push(openNew(this.ops, join(this.dataDir, spareName(this.nextNumber))));
        this.nextNumber++;
      }
      return true;
    } catch {
      // The writer thread calls again within a second.
      return false;
    }
  }

  private isUsable({ fd }: OpenFile): boolean {
    const { nlink, size } = this.ops.fstat(fd);
    return nlink > 0 && size === 0;
  }

  /** Gives a spare the name `path`, which must be free, or returns null when there are no spares. */
  rename(path: string): OpenFile | null {
    for (let spare = this.files[0]; spare !== undefined; spare = this.files[0]) {
      try {
        if (this.isUsable(spare)) {
          this.ops.rename(spare.path, path);
          this.files.shift();
          return { ...spare, path };
        }
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error;
      }
      // Another process deleted, moved or filled it.
      this.drop(spare);
    }
    return null;
  }

  /** Writes zeros to a spare and removes them again. Throws when the disk does not accept them. */
  probe(): void {
    this.fill();
    const spare = this.files[0];
    if (spare === undefined) throw new MetricsStreamError('WRITER_FAILED', 'no file can be created');
    try {
      const written = this.ops.write(spare.fd, this.zeros, 0, PROBE_BYTES, 0);
      if (written < PROBE_BYTES)
        throw new MetricsStreamError('WRITER_FAILED', 'the disk accepts only a few bytes');
    } finally {
      this.empty(spare);
    }
  }

  private empty(spare: OpenFile): void {
    try {
      this.ops.truncate(spare.fd, 0);
    } catch {
      // A spare that is not empty must never become a segment.
      this.drop(spare);
    }
  }

  private drop(spare: OpenFile): void {
    this.files.splice(this.files.indexOf(spare), 1);
    this.discard(spare);
  }

  private discard(spare: OpenFile): void {
    const isOurs = this.isNamed(spare);
    this.ops.close(spare.fd);
    if (isOurs) this.unlink(spare.path);
  }

  /** False if the path leads elsewhere, such as to the spare of another server in a directory that replaced this one. */
  private isNamed({ fd, path }: OpenFile): boolean {
    try {
      return sameFile(this.ops.fstat(fd), this.ops.stat(path));
    } catch {
      return false;
    }
  }

  private unlink(path: string): void {
    try {
      this.ops.unlink(path);
    } catch {
      // It is gone, or it is not ours: an empty file harms nobody.
    }
  }

  /** Removes the spares and closes the directory. */
  close(): void {
    for (const spare of this.files.splice(0)) this.discard(spare);
    this.ops.close(this.directoryFd);
  }
}
