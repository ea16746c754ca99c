/**
 * Buffers for bodies that arrive in several chunks: reused, in sizes of powers of two, within one budget.
 *
 * A body starts in the smallest buffer that holds its first bytes and moves to the next size as it grows. So a client
 * that declares much and sends little holds little. A released buffer is kept for the next body while all idle
 * buffers together stay below IDLE_MAX_BYTES.
 */
const SMALLEST_BYTES = 16 << 10;
const IDLE_MAX_BYTES = 16 << 20;

export class BodyBuffers {
  private readonly idle: Uint8Array[][] = [];
  private readonly budgetBytes: number;
  private idleBytes = 0;
  /** Bytes of buffers in use. */
  usedBytes = 0;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
  }

  private static sizeClass(bytes: number): number {
    return bytes <= SMALLEST_BYTES ? 0 : 32 - Math.clz32((bytes - 1) >>> 14);
  }

  /**
   * A buffer of at least `bytes`, or null when the budget is used up.
   * @param leavingBytes of a buffer that the caller is about to release: not counted against the budget
   */
  acquire(bytes: number, leavingBytes = 0): Uint8Array | null {
    const sizeClass = BodyBuffers.sizeClass(bytes);
    const size = SMALLEST_BYTES * 2 ** sizeClass;
    if (this.usedBytes - leavingBytes + size > this.budgetBytes) return null;
    this.usedBytes += size;
    const buffer = this.idle[sizeClass]?.pop();
    if (buffer === undefined) return new Uint8Array(size);
    this.idleBytes -= size;
    return buffer;
  }

  /** Moves the first `length` bytes of `buffer` to one of at least `bytes`; null, without a move, over the budget. */
  grow(buffer: Uint8Array, length: number, bytes: number): Uint8Array | null {
    const larger = this.acquire(bytes, buffer.length);
    if (larger === null) return null;
    larger.set(buffer.subarray(0, length));
    this.release(buffer);
    return larger;
  }

  release(buffer: Uint8Array): void {
    this.usedBytes -= buffer.length;
    if (this.idleBytes + buffer.length > IDLE_MAX_BYTES) return;
    this.idleBytes += buffer.length;
    const sizeClass = BodyBuffers.sizeClass(buffer.length);
    const list = this.idle[sizeClass];
    if (list === undefined) this.idle[sizeClass] = [buffer];
    else list.push(buffer);
  }
}
