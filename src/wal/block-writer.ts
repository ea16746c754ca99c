/**
 * The one call in which the back-ends of the write-ahead log differ: a direct, data-synchronous write of whole blocks.
 */

/** Called once for each accepted write. `result`: bytes written, or a negative errno. */
export type WriteCompleted = (tag: number, result: number) => void;

export interface BlockWriter {
  /** Writes that may be in flight at once. */
  readonly depth: number;
  /**
   * Writes `memory[offset, offset + bytes)` at `fileOffset`; all three are multiples of the block size.
   * The memory must not change until the completion. It may come before this call returns.
   * @param tag 0 to 2^31 - 1, passed to the completion
   * @returns 0, or a negative errno: then nothing was submitted and no completion follows
   */
  write(offset: number, bytes: number, fileOffset: number, tag: number): number;
  /** Completes what is ready, without waiting. For the end of a turn of the event loop. */
  poll(): void;
  /** Waits for the writes in flight, whose completions are dropped, and closes the file. */
  close(): void;
}

/**
 * @param path a file that exists and whose blocks were written before
 * @param memory page-aligned, the memory that offsets refer to
 * @throws the system's error when the file or the ring cannot be opened
 */
export type OpenBlockWriter = (path: string, memory: Uint8Array, completed: WriteCompleted) => BlockWriter;

/** Names of the back-ends, best first; as in options, logs and metrics. */
export const BACKENDS = ['io_uring', 'aio', 'pool', 'blocking'] as const;
export type Backend = (typeof BACKENDS)[number];
