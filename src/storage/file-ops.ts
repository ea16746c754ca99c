/**
 * The interface between the writer and the file system: exactly the calls that the writer makes.
 *
 * All but one are synchronous: the writer thread owns no sockets, so blocking in a system call delays nobody. Only the
 * background sync of `--ack written` runs on the thread pool, while writing continues. Tests replace the methods of
 * `nodeFileOps` with ones that write short, fail at the k-th call or stall.
 */
import fs from 'node:fs';
import { dirname } from 'node:path';
import { MetricsStreamError } from '../base/errors.ts';

/** The system's page. Direct I/O needs file offsets, lengths and addresses in multiples of it. */
export const PAGE_BYTES = 4096;

export interface FileStatus {
  readonly size: number;
  readonly mtimeMs: number;
  readonly dev: number;
  readonly ino: number;
  /** Names of the file; 0 after it was deleted. */
  readonly nlink: number;
  isFile(): boolean;
}

export interface FileOps {
  /** @param flags of open(2) */
  open(path: string, flags: number, mode?: number): number;
  close(fd: number): void;
  /** Writes `buffer[offset, offset + length)` at `position`; returns the bytes written, which may be fewer. */
  write(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  /** As `write`, for several buffers that follow each other. */
  writev(fd: number, buffers: readonly Uint8Array[], position: number): number;
  read(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  fdatasync(fd: number): void;
  /** The same on the thread pool; `done` is called in a later turn of the event loop. */
  fdatasyncInBackground(fd: number, done: (error: Error | null) => void): void;
  /** For directories, and for files whose length recovery changed. */
  fsync(fd: number): void;
  truncate(fd: number, bytes: number): void;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  exists(path: string): boolean;
  readdir(path: string): string[];
  stat(path: string): FileStatus;
  fstat(fd: number): FileStatus;
  /** Copies a file, sharing its blocks where the file system can. */
  copyFile(from: string, to: string): void;
  /** Replaces a small file so that a crash leaves either its old or its new text. Durable when it returns. */
  replaceFile(path: string, text: string): void;
  /** Bytes that an unprivileged process may still write to the file system that holds `path`. */
  freeBytes(path: string): number;
}

export const nodeFileOps: FileOps = {
  open: (path, flags, mode = 0o640) => fs.openSync(path, withoutWaiting(flags), mode),
  close: (fd) => fs.closeSync(fd),
  write: (fd, buffer, offset, length, position) => fs.writeSync(fd, buffer, offset, length, position),
  writev: (fd, buffers, position) => fs.writevSync(fd, buffers, position),
  read: (fd, buffer, offset, length, position) => fs.readSync(fd, buffer, offset, length, position),
  fdatasync: (fd) => fs.fdatasyncSync(fd),
  fdatasyncInBackground: (fd, done) => fs.fdatasync(fd, done),
  fsync: (fd) => fs.fsyncSync(fd),
  truncate: (fd, bytes) => fs.ftruncateSync(fd, bytes),
  rename: (from, to) => fs.renameSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  exists: (path) => fs.existsSync(path),
  readdir: (path) => fs.readdirSync(path),
  stat: (path) => fs.statSync(path),
  fstat: (fd) => fs.fstatSync(fd),
  copyFile: (from, to) => fs.copyFileSync(from, to, fs.constants.COPYFILE_FICLONE),
  replaceFile,
  freeBytes: (path) => {
    const { bavail, bsize } = fs.statfsSync(path);
    return bavail * bsize;
  },
};

/**
 * A pipe of a file's name must not block its reader for ever. Descriptors for writing stay as they are: io_uring would
 * return EAGAIN instead of waiting for the disk.
 */
function withoutWaiting(flags: number): number {
  const { O_WRONLY, O_RDWR, O_NONBLOCK } = fs.constants;
  return (flags & (O_WRONLY | O_RDWR)) === 0 ? flags | O_NONBLOCK : flags;
}

function replaceFile(path: string, text: string): void {
  const next = `${path}.new`;
  const fd = fs.openSync(next, 'w', 0o640);
  try {
    fs.writeFileSync(fd, text);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(next, path);
  const directoryFd = fs.openSync(dirname(path), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(directoryFd);
  } finally {
    fs.closeSync(directoryFd);
  }
}

/** Opens a file for `work`, whose errors then name it. */
export function withFile<Result>(
  ops: FileOps,
  path: string,
  flags: number,
  work: (fd: number) => Result,
): Result {
  const fd = ops.open(path, flags);
  try {
    return work(fd);
  } catch (error) {
    throw withPath(error, path);
  } finally {
    ops.close(fd);
  }
}

/** Adds the path to an error of a descriptor, which does not name its file. */
export function withPath(error: unknown, path: string): Error {
  return Object.assign(error as Error, { path });
}

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? 'UNKNOWN';
}

/** True for errors of the file system, which are handled. Any other is a defect and ends the thread. */
export function isFileError(error: unknown): boolean {
  if (error instanceof MetricsStreamError) return error.code === 'WRITER_FAILED';
  return typeof (error as NodeJS.ErrnoException | null)?.errno === 'number';
}
