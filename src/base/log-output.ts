/**
 * The destination of log lines. A write never blocks the event loop and never throws; lines that cannot be written are
 * counted.
 *
 * - Pipes, terminals, sockets and devices are written without blocking; lines wait in a bounded queue while the reader
 *   does not read.
 * - Regular files are written by the thread pool, one write at a time, because a slow disk blocks even writes that are
 *   asked not to block. Before each write, the output notices that the file was deleted or truncated.
 */
import {
  closeSync,
  constants,
  fstat,
  fstatSync,
  openSync,
  readlinkSync,
  type Stats,
  write as writeAsync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { systemErrorText } from './errors.ts';

const QUEUE_MAX_BYTES = 1 << 20;
/** Most bytes of one write to a file. */
const WRITE_MAX_BYTES = 64 << 10;
const RETRY_MS = 20;
const STDOUT = 1;
const NEWLINE = 0x0a;
const FILE_MODE = 0o640;

const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_NOCTTY;
const NONBLOCKING = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

interface Target {
  readonly fd: number;
  readonly isFile: boolean;
  /** Name to open again; null for pipes and terminals. */
  readonly path: string | null;
  /** Each write goes to the end of the file, wherever that is. */
  readonly appends: boolean;
}

/** @throws system errors */
function openFile(path: string): Target {
  // O_NONBLOCK: a pipe under this name must not block the start until somebody reads it.
  const fd = openSync(path, APPEND | constants.O_CREAT | constants.O_NONBLOCK, FILE_MODE);
  return { fd, isFile: fstatSync(fd).isFile(), path, appends: true };
}

function stdoutTarget(): Target {
  const stats = fstatSync(STDOUT);
  // Whoever started this process may have deleted the file to keep it private.
  const path = stats.nlink > 0 ? pathOf(STDOUT) : null;
  if (stats.isFile()) return { fd: STDOUT, isFile: true, path, appends: false };
  return { fd: openNonBlocking(STDOUT), isFile: false, path: null, appends: false };
}

/** A descriptor of the same pipe, terminal or device whose writes do not block; the same descriptor for a file. */
export function openNonBlocking(fd: number): number {
  if (fstatSync(fd).isFile()) return fd;
  try {
    // A description of its own: O_NONBLOCK set on the inherited one would affect every process that shares it.
    return openSync(linkOf(fd), NONBLOCKING);
  } catch {
    return makeNonBlocking(fd);
  }
}

const linkOf = (fd: number): string => `/proc/self/fd/${fd}`;

function pathOf(fd: number): string | null {
  try {
    return readlinkSync(linkOf(fd));
  } catch {
    return null;
  }
}

/** Sockets, and pipes of another user, cannot be opened again. libuv sets O_NONBLOCK on streams that it adopts. */
function makeNonBlocking(fd: number): number {
  try {
    new Socket({ fd, readable: false, writable: true }).unref();
  } catch {
    // Neither pipe nor socket: a device, which takes its bytes at once.
  }
  return fd;
}

const isNonBlockingRefusal = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EAGAIN';

function countLines(bytes: Uint8Array): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

export class LogOutput {
  /** Lines that were not written: the queue was full, or the write failed. */
  lostLines = 0;
  /** Called when lines were lost and writing succeeds again, with their number. */
  onRecovered: (lostLines: number) => void = () => {};
  /** Called when the file of the log was deleted and has been created again. */
  onDeleted: () => void = () => {};
  private target: Target;
  /** Length of the file when it was last seen. */
  private fileBytes = 0;
  private queue: Buffer[] = [];
  private queuedBytes = 0;
  private unreportedLines = 0;
  /** A write to a file is running. */
  private writing = false;
  private retry: NodeJS.Timeout | null = null;
  /** Descriptors to close after the running write. */
  private readonly retired: number[] = [];
  /** The last byte written is inside a line. */
  private isMidLine = false;
  /** The rest of that line was lost, so the next write begins with a newline. */
  private needsNewline = false;

  /**
   * @param path null: standard output
   * @throws system errors
   */
  constructor(path: string | null) {
    this.target = path === null ? stdoutTarget() : openFile(path);
  }

  /** Whether the log has a name under which it can be opened again. */
  get hasName(): boolean {
    return this.target.path !== null;
  }

  /** @param text one or more whole lines */
  write(text: string): void {
    const line = Buffer.from(text);
    if (this.queuedBytes + line.length > QUEUE_MAX_BYTES) {
      this.lose(countLines(line));
      return;
    }
    this.queue.push(line);
    this.queuedBytes += line.length;
    this.pump();
  }

  /**
   * Opens the file of this name again, after logrotate has renamed it. Keeps the old one if that fails.
   * @returns null, or why the old one stays
   */
  reopen(): string | null {
    const { path, fd } = this.target;
    if (path === null) return 'the log is not a file';
    try {
      this.target = openFile(path);
    } catch (error) {
      return `${path}: ${systemErrorText(error)}`;
    }
    this.fileBytes = 0;
    this.retire(fd);
    return null;
  }

  /** A write that is running keeps its descriptor; standard output stays open for its other writers. */
  private retire(fd: number): void {
    if (fd === STDOUT) return;
    if (this.writing) this.retired.push(fd);
    else closeSync(fd);
  }

  /** Writes what waits, blocking on files; for the last lines before the process ends itself. */
  flushSync(): void {
    while (this.queue.length > 0) if (!this.writeOnce()) return;
  }

  /** Resolves when everything is written, or after `timeoutMs`. */
  async end(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while ((this.queue.length > 0 || this.writing) && performance.now() < deadlineMs)
      await delay(RETRY_MS / 4);
  }

  private lose(lines: number): void {
    this.lostLines += lines;
    this.unreportedLines += lines;
  }

  private pump(): void {
    if (this.target.isFile) this.writeFile();
    else if (this.retry === null) while (this.queue.length > 0) if (!this.writeOnce()) return;
  }

  /** Writes the first lines of the queue. @returns false when nothing more can be written now */
  private writeOnce(): boolean {
    const chunk = this.nextChunk();
    try {
      this.written(chunk, writeSync(this.target.fd, chunk));
      return true;
    } catch (error) {
      if (isNonBlockingRefusal(error)) {
        this.putBack(chunk);
        this.retry ??= setTimeout(() => {
          this.retry = null;
          this.pump();
        }, RETRY_MS).unref();
        return false;
      }
      this.failed(chunk);
      return true;
    }
  }

  private writeFile(): void {
    if (this.writing || this.queue.length === 0) return;
    this.writing = true;
    const { fd } = this.target;
    fstat(fd, (error, stats) => {
      if (error === null && fd === this.target.fd) this.follow(stats);
      // `flushSync` may have emptied the queue meanwhile.
      if (this.queue.length === 0) return this.idle();
      const chunk = this.nextChunk();
      writeAsync(this.target.fd, chunk, (writeError, written) => {
        this.idle();
        if (writeError === null) this.written(chunk, written);
        else this.failed(chunk);
        this.pump();
      });
    });
  }

  private idle(): void {
    this.writing = false;
    for (const fd of this.retired.splice(0)) closeSync(fd);
  }

  /** Acts on what others did to the file. */
  private follow({ nlink, size }: Stats): void {
    const isTruncated = size < this.fileBytes;
    this.fileBytes = size;
    if (nlink === 0) {
      if (this.reopen() === null) this.onDeleted();
    } else if (isTruncated && !this.target.appends) this.append();
  }

  /**
   * Standard output that the shell opened with `>` keeps its place in a file that logrotate's `copytruncate` has emptied:
   * the next line would leave a hole of zeros before it.
   */
  private append(): void {
    const { fd } = this.target;
    try {
      this.target = { ...this.target, fd: openSync(linkOf(fd), APPEND), appends: true };
      this.retire(fd);
    } catch {
      // A file of another user: the hole stays.
    }
  }

  private nextChunk(): Buffer {
    let bytes = 0;
    let count = 0;
    while (
      count < this.queue.length &&
      (count === 0 || bytes + this.queue[count]!.length <= WRITE_MAX_BYTES)
    ) {
      bytes += this.queue[count++]!.length;
    }
    const chunk = Buffer.concat(this.queue.splice(0, count), bytes);
    this.queuedBytes -= bytes;
    if (!this.needsNewline) return chunk;
    this.needsNewline = false;
    return Buffer.concat([Buffer.of(NEWLINE), chunk]);
  }

  private putBack(chunk: Buffer): void {
    this.queue.unshift(chunk);
    this.queuedBytes += chunk.length;
  }

  private written(chunk: Buffer, bytes: number): void {
    this.fileBytes += bytes;
    if (bytes > 0) this.isMidLine = chunk[bytes - 1] !== NEWLINE;
    if (bytes < chunk.length) this.putBack(chunk.subarray(bytes));
    if (this.unreportedLines === 0) return;
    const lines = this.unreportedLines;
    this.unreportedLines = 0;
    this.onRecovered(lines);
  }

  private failed(chunk: Buffer): void {
    // A newline of our own in front ends a line that was counted when its rest failed.
    this.lose(countLines(chunk) - (chunk[0] === NEWLINE ? 1 : 0));
    this.needsNewline = this.isMidLine;
  }
}
