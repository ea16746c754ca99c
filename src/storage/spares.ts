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
import type { FileOps } from './file-ops.ts';
import { type OpenFile, openNew } from './segment.ts';
import { isSpareName, spareName } from './segment-name.ts';

const PROBE_BYTES = 65_536;

export class Spares {
  readonly directoryFd: number;
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
    this.directoryFd = ops.open(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
    for (const name of ops.readdir(dataDir)) if (isSpareName(name)) ops.unlink(join(dataDir, name));
    this.fill();
  }

  /** Opens missing spares; false when the system refused one. */
  fill(): boolean {
    try {
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

  /** Gives a spare the name `path`, or returns null when there are no spares. */
  rename(path: string): OpenFile | null {
    const spare = this.files[0];
    if (spare === undefined) return null;
    const { ops } = this;
    // A rename would replace a file that someone else put there.
    if (ops.exists(path)) throw new MetricsStreamError('WRITER_FAILED', `${path} exists already`);
    ops.rename(spare.path, path);
    this.files.shift();
    return { ...spare, path };
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
      this.files.splice(this.files.indexOf(spare), 1);
      this.discard(spare);
    }
  }

  private discard(spare: OpenFile): void {
    this.ops.close(spare.fd);
    try {
      this.ops.unlink(spare.path);
    } catch {
      // The next start removes it.
    }
  }

  /** Removes the spares and closes the directory. */
  close(): void {
    for (const spare of this.files.splice(0)) this.discard(spare);
    this.ops.close(this.directoryFd);
  }
}
