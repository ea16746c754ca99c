/**
 * Decompresses gzip bodies, one at a time per worker, so that memory is bounded by one decompressed body.
 *
 * The thread pool inflates, so the thread that owns sockets does not block on a body that expands a thousandfold.
 */
import { gunzip } from 'node:zlib';

/** Bytes on success; otherwise the body is no gzip stream, or larger than allowed when inflated. */
export type Inflated = Uint8Array | 'broken' | 'too_large';

interface Job {
  readonly compressed: Uint8Array;
  readonly done: (result: Inflated) => void;
}

export class Inflater {
  private readonly maxBytes: number;
  private readonly waiting: Job[] = [];
  private busy = false;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get pending(): number {
    return this.waiting.length + (this.busy ? 1 : 0);
  }

  /** `compressed` must not change until `done`. */
  push(compressed: Uint8Array, done: (result: Inflated) => void): void {
    this.waiting.push({ compressed, done });
    if (!this.busy) this.next();
  }

  private next(): void {
    const job = this.waiting.shift();
    this.busy = job !== undefined;
    if (job === undefined) return;
    gunzip(job.compressed, { maxOutputLength: this.maxBytes }, (error, output) => {
      if (error === null) job.done(output);
      else
        job.done((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'broken');
      this.next();
    });
  }
}
