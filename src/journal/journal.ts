/**
 * The journal: what a thread that serves requests puts finished lines into, and learns their fate from.
 *
 * A journal has one producer at a time. Lines are encoded into claimed room, committed, and published; they are
 * *settled* when the stored cursor has passed them, and `outcome` then says what became of them. Cursors count
 * bytes modulo 2^32 and are compared by wrapped difference.
 */

/** What became of a committed line. */
export const STORED = 0;
export const REFUSED = 1;
export const UNKNOWN = 2;
export type Outcome = typeof STORED | typeof REFUSED | typeof UNKNOWN;

/** No room: the caller answers 503. */
export const FULL = -1;

export interface Journal {
  /** Where lines are encoded; claimed offsets index it. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Bytes committed and not yet settled, as last seen. */
  readonly usedBytes: number;
  /** Offset of `maxBytes` contiguous bytes to encode into, or FULL. Commit or claim again; nothing to undo. */
  claim(maxBytes: number): number;
  /**
   * Takes the bytes from the claimed offset up to `endOffset`; at least one line.
   * @returns the cursor that `storedCursor` has to reach before these lines are settled
   */
  commit(endOffset: number, lines: number): number;
  /** Hands committed lines over. True when the writer's bell has to be rung for them. */
  publish(): boolean;
  /** The cursor up to which lines are settled: stored to the configured level, or named in an outcome. */
  storedCursor(): number;
  /** What became of the lines that end at `cursor`; ask in commit order, after `storedCursor` has passed it. */
  outcome(cursor: number): Outcome;
  /** A promise of the next change of the stored cursor, or null when it has already moved past `seen`. */
  waitForStored(seen: number): Promise<unknown> | null;
  /** Blocks this thread until the stored cursor has moved past `seen`, at most `timeoutMs`. */
  blockUntilStored(seen: number, timeoutMs: number): void;
}
