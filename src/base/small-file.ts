/** Reads files that operators name: bounded in size and time, whatever the name turns out to be. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { systemErrorText } from './errors.ts';

/** A pipe such as `<(command)` gets this long to deliver all its bytes. */
const READ_TIMEOUT_MS = 1_000;
const PAUSE_MS = 5;
const CHUNK_BYTES = 64 << 10;

export interface SmallFile {
  readonly bytes: Buffer;
  /** Of the file that was read, even if another one has the name now. */
  readonly stats: Stats;
}

/**
 * Devices that never end, and pipes without a writer, fail instead of blocking the start.
 * @throws Error with a text for people, without the path
 */
export function readSmallFile(path: string, maxBytes: number): SmallFile {
  let fd: number;
  try {
    // Opening a pipe without a writer blocks unless asked not to.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    throw new Error(`cannot be read: ${systemErrorText(error)}`, { cause: error });
  }
  try {
    const stats = fstatSync(fd);
    if (stats.isDirectory()) throw new Error('is a directory; name a file');
    return { bytes: readAll(fd, maxBytes), stats };
  } finally {
    closeSync(fd);
  }
}

function readAll(fd: number, maxBytes: number): Buffer {
  const chunks: Buffer[] = [];
  const deadlineMs = performance.now() + READ_TIMEOUT_MS;
  for (let total = 0; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = readChunk(fd, chunk, deadlineMs);
    if (length === 0) return Buffer.concat(chunks, total);
    chunks.push(chunk.subarray(0, length));
    total += length;
    if (total > maxBytes) throw new Error(`has more than ${maxBytes} bytes`);
  }
}

function readChunk(fd: number, chunk: Buffer, deadlineMs: number): number {
  for (;;) {
    try {
      return readSync(fd, chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') {
        throw new Error(`cannot be read: ${systemErrorText(error)}`, { cause: error });
      }
      if (performance.now() > deadlineMs) {
        throw new Error(`did not end within ${READ_TIMEOUT_MS} ms; name a regular file`);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}
