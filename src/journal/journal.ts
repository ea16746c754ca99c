/**
 * The journal: a serving thread puts finished lines into it and learns from it whether they were stored.
 *
 * A journal has one producer at a time. Lines are encoded into claimed room, committed, and published. They are
 * *settled* when the stored cursor has passed them; `outcome` then returns their fate. Cursors count bytes modulo 2^32
 * and are compared by wrapped difference (base/wrapped.ts).
 */

/** The fate of a committed line. */
export const STORED = 0;
export const REFUSED = 1;
export const UNKNOWN = 2;
export type Outcome = typeof STORED | typeof REFUSED | typeof UNKNOWN;

/** There is no room: the caller answers 503. */
export const FULL = -1;

/** The cost of storing, read by admission control; values may lag. */
export interface StorageCost {
  /** Monotonic ms at which storage last moved the stored cursor; 0 while that is unknown. */
  readonly storedAtMs: number;
  /** Ms that a commit of no bytes would take. */
  readonly fixedMs: number;
  /** Bytes per ms that storage accepts of this journal while it works. */
  readonly bytesPerMs: number;
}

export interface Journal {
  /** Undefined where the writer's own gauges tell. */
  readonly cost?: StorageCost;
  /** The memory that lines are encoded into; claimed offsets index it. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Bytes committed and not yet settled, as last read. */
  readonly usedBytes: number;
  /** Offset of `maxBytes` contiguous bytes to encode into, or FULL. Commit, or claim again: a claim needs no undo. */
  claim(maxBytes: number): number;
  /**
   * Adds the bytes from the claimed offset up to `endOffset`; at least one line.
   * @returns the cursor that `storedCursor` has to reach before these lines are settled
   */
  commit(endOffset: number, lines: number): number;
  /** Hands committed lines over. True when the caller has to ring the writer's bell. */
  publish(): boolean;
  /** The cursor up to which lines are settled: stored to the configured level, or reported in an outcome. */
  storedCursor(): number;
  /** The fate of the lines that end at `cursor`. Call in commit order, after `storedCursor` has passed it. */
  outcome(cursor: number): Outcome;
  /** A promise of the next change of the stored cursor, or null when it has already moved past `seen`. */
  waitForStored(seen: number): Promise<unknown> | null;
  /** Blocks this thread until the stored cursor has moved past `seen`, at most `timeoutMs`. */
  blockUntilStored(seen: number, timeoutMs: number): void;
}
