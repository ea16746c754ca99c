/**
 * Memory for bodies that arrive in several pieces: chunks of one size, used again and again, within one budget.
 *
 * ```
 * body of 40 KiB   [16 KiB] [16 KiB] [8 KiB .....]      a client that declares much and sends little holds little
 * ```
 * A worker keeps the chunks it has allocated. So bodies of changing sizes leave nothing to the garbage collector, which
 * may run late: buffers that grew to the size of each body took 100 MiB more than their budget.
 */
export const CHUNK_BYTES = 16 << 10;

export class BodyChunks {
  private readonly idle: Uint8Array[] = [];
  private readonly chunksMax: number;
  private chunksUsed = 0;

  /** @param budgetBytes for all bodies together, rounded up to whole chunks */
  constructor(budgetBytes: number) {
    this.chunksMax = Math.ceil(budgetBytes / CHUNK_BYTES);
  }

  /** Bytes of chunks in use. */
  get usedBytes(): number {
    return this.chunksUsed * CHUNK_BYTES;
  }

  /** Adds chunks to `chunks` until they hold `bytes`. @returns false, without a change, when that is over the budget */
  extend(chunks: Uint8Array[], bytes: number): boolean {
    const missing = Math.ceil(bytes / CHUNK_BYTES) - chunks.length;
    if (this.chunksUsed + missing > this.chunksMax) return false;
    for (let k = 0; k < missing; k++) {
      chunks.push(this.idle.pop() ?? new Uint8Array(CHUNK_BYTES));
      this.chunksUsed += 1;
    }
    return true;
  }

  /** Takes all chunks back. */
  release(chunks: Uint8Array[]): void {
    this.chunksUsed -= chunks.length;
    for (const chunk of chunks) this.idle.push(chunk);
    chunks.length = 0;
  }
}

/** Writes `data` behind the first `length` bytes that `chunks` hold. */
export function append(chunks: readonly Uint8Array[], length: number, data: Uint8Array): void {
  for (let from = 0; from < data.length; ) {
    const at = length + from;
    const start = at % CHUNK_BYTES;
    const part = data.subarray(from, from + CHUNK_BYTES - start);
    chunks[Math.floor(at / CHUNK_BYTES)]!.set(part, start);
    from += part.length;
  }
}

/** A worker's place to put the chunks of one body together. */
export class BodyAssembly {
  /** The system maps a page when it is first written, so this takes as much memory as the largest body so far. */
  private readonly buffer: Uint8Array;

  constructor(maxBodyBytes: number) {
    this.buffer = new Uint8Array(maxBodyBytes);
  }

  /** The first `length` bytes of `chunks`, in one piece. The next call overwrites them. */
  contiguous(chunks: readonly Uint8Array[], length: number): Uint8Array {
    for (let from = 0; from < length; from += CHUNK_BYTES) {
      this.buffer.set(chunks[from / CHUNK_BYTES]!.subarray(0, length - from), from);
    }
    return this.buffer.subarray(0, length);
  }
}
