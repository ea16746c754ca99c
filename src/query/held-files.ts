/**
 * Files that a query holds open, under names that DuckDB can open as often as it likes.
 *
 * `/proc/self/fd/<n>` opens the file itself, even after its name was deleted. A rename or a deletion does not disturb a
 * running query, the data directory stays unchanged, and DuckDB may read exactly these files. A private copy has no name
 * (O_TMPFILE), so a killed process leaves none behind.
 */
import { randomBytes } from 'node:crypto';
import fs, { constants } from 'node:fs';
import { join } from 'node:path';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { codeOf } from '../storage/file-ops.ts';

const COPY_BYTES = 1 << 20;
/** Linux; Node.js does not name it. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
/** Errors of file systems without O_TMPFILE. */
const WITHOUT_TMPFILE = ['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL'];

export class HeldFiles {
  private readonly fds: number[] = [];
  private readonly closers: (() => void)[] = [];
  private readonly temporaryDirectory: string;
  private readonly chunk = Buffer.allocUnsafe(COPY_BYTES);

  /** @param temporaryDirectory for private copies */
  constructor(temporaryDirectory: string) {
    this.temporaryDirectory = temporaryDirectory;
  }

  /** @throws the file system's error */
  open(path: string): number {
    // A pipe under this name must not block.
    const fd = fs.openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.fds.push(fd);
    return fd;
  }

  /** A new private file without a name. */
  create(): PrivateFile {
    try {
      const fd = this.openNameless();
      this.fds.push(fd);
      return new PrivateFile(fd, this.chunk, (error) => this.writeError(error));
    } catch (error) {
      throw this.writeError(error);
    }
  }

  private openNameless(): number {
    try {
      return fs.openSync(this.temporaryDirectory, constants.O_RDWR | O_TMPFILE, 0o600);
    } catch (error) {
      if (!WITHOUT_TMPFILE.includes(codeOf(error))) throw error;
    }
    const path = join(this.temporaryDirectory, `metricsstream-query-${randomBytes(8).toString('hex')}`);
    const fd = fs.openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    fs.unlinkSync(path);
    return fd;
  }

  private writeError(error: unknown): MetricsStreamError {
    return new MetricsStreamError(
      'OUTPUT_FAILED',
      `cannot write a private copy in ${this.temporaryDirectory}: ${systemErrorText(error)}. Give --temp-dir another directory.`,
      { cause: error },
    );
  }

  /** Closes further files with these. */
  onClose(close: () => void): void {
    this.closers.push(close);
  }

  close(): void {
    for (const close of this.closers.splice(0)) close();
    for (const fd of this.fds.splice(0)) fs.closeSync(fd);
  }
}

/** The name under which DuckDB in this process opens the file. */
export function pathOfFd(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

export class PrivateFile {
  readonly fd: number;
  bytes = 0;
  private readonly chunk: Buffer;
  private readonly writeError: (error: unknown) => Error;

  constructor(fd: number, chunk: Buffer, writeError: (error: unknown) => Error) {
    this.fd = fd;
    this.chunk = chunk;
    this.writeError = writeError;
  }

  append(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length; ) {
        const written = fs.writeSync(this.fd, bytes, at, bytes.length - at, this.bytes);
        at += written;
        this.bytes += written;
      }
    } catch (error) {
      throw this.writeError(error);
    }
  }

  /** Appends bytes `[from, to)` of another file. @throws Error when that file is shorter */
  appendFrom(fd: number, from: number, to: number): void {
    for (let at = from; at < to; ) {
      const read = fs.readSync(fd, this.chunk, 0, Math.min(this.chunk.length, to - at), at);
      if (read === 0) throw new Error(`a file got shorter while it was read at ${at}`);
      this.append(this.chunk.subarray(0, read));
      at += read;
    }
  }
}
