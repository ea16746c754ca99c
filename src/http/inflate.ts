/**
 * Decompresses one gzip body on the thread pool, into memory that the next body uses again.
 *
 * `zlib.gunzip` would leave every body twice to the garbage collector, in pieces and put together: three workers took
 * 150 MiB more than for the same bodies uncompressed. Here a piece is copied into `output`, and its memory freed, as
 * soon as zlib has gone on to the next one.
 */
import { createGunzip } from 'node:zlib';
import { freeMemory } from '../base/free-memory.ts';

/** Bytes on success. Otherwise the body is not a gzip stream, or is too large when decompressed. */
export type Inflated = Uint8Array | 'broken' | 'too_large';

/** Large enough that the trips to the thread pool cost little. */
const PIECE_BYTES = 64 << 10;

/**
 * @param compressed has to stay as it is until `done`
 * @param output as large as the largest body; the result is a part of it
 * @param done is called later, once
 */
export function inflate(compressed: Uint8Array, output: Uint8Array, done: (result: Inflated) => void): void {
  let length = 0;
  let result: Inflated = 'broken';
  let lastPiece: ArrayBuffer | null = null;
  const stream = createGunzip({ chunkSize: PIECE_BYTES });
  stream.on('data', (part: Buffer<ArrayBuffer>) => {
    // zlib fills a piece in several parts, and touches none of the pieces before it.
    if (lastPiece !== null && lastPiece !== part.buffer) freeMemory(lastPiece);
    lastPiece = part.buffer;
    if (length + part.length > output.length) {
      result = 'too_large';
      stream.destroy();
      return;
    }
    output.set(part, length);
    length += part.length;
  });
  stream.on('end', () => {
    result = output.subarray(0, length);
  });
  // The result says so.
  stream.on('error', () => {});
  // Follows an end, an error and `destroy`; the thread pool is done with the last piece then.
  stream.on('close', () => {
    if (lastPiece !== null) freeMemory(lastPiece);
    done(result);
  });
  stream.end(compressed);
}
