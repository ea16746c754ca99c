/**
 * The journal ring: a single-producer single-consumer byte ring from one ingest worker to the writer thread.
 *
 * The producer claims contiguous room, encodes finished lines into it and commits; `publish` hands all committed
 * lines over at once as *runs* (contiguous byte ranges with their line count). The consumer takes runs, writes
 * them to disk straight from this memory, and releases them; what it could not store it names in an outcome ring.
 *
 * ```
 *  Int32 words (lines of 64 bytes)
 *  line 0      PUBLISHED        runs published                     written by the producer
 *  line 1      RELEASED, TAKEN  byte cursor and runs finished      written by the consumer
 *  line 2      OUTCOMES_PUSHED  refused ranges pushed              written by the consumer
 *  line 3      OUTCOMES_POPPED  refused ranges popped              written by the producer
 *  line 4..    outcomes         16 × { from cursor, to cursor, code, - }
 *  then        runs             4096 × { offset, bytes, lines, end cursor }
 *  then        data             capacity bytes (a power of two)
 * ```
 * Cursors count bytes modulo 2^32 and are compared by wrapped difference, so full and empty stay distinct. A claim
 * that does not fit before the end of the data skips to its start; skipped bytes are released with the next run.
 */
import { assert } from '../base/errors.ts';
import { LINE_I32 } from '../base/shared-memory.ts';

const PUBLISHED = 0;
const RELEASED = LINE_I32;
const TAKEN = LINE_I32 + 1;
const OUTCOMES_PUSHED = 2 * LINE_I32;
const OUTCOMES_POPPED = 3 * LINE_I32;
const OUTCOMES = 4 * LINE_I32;
const OUTCOME_SLOTS = 16;
const ENTRY_I32 = 4;
const RUNS = OUTCOMES + OUTCOME_SLOTS * ENTRY_I32;
const RUN_SLOTS = 4096;
const HEADER_BYTES = (RUNS + RUN_SLOTS * ENTRY_I32) * Int32Array.BYTES_PER_ELEMENT;

/** A run is closed at this size, so that the writer can bound its commits. */
const RUN_MAX_BYTES = 1 << 20;
/**
 * Past this offset the producer goes back to the start as soon as the start is free: a ring that keeps up touches
 * only this much of its memory, which stays in cache and out of the resident set.
 */
const EARLY_WRAP_BYTES = 4 << 20;

/** What became of a committed line; 0 to 2 are also what `JournalProducer.outcome` answers. */
export const STORED = 0;
export const REFUSED = 1;
export const UNKNOWN = 2;
export type Outcome = typeof STORED | typeof REFUSED | typeof UNKNOWN;

/** No room: the caller answers 503. */
export const FULL = -1;

/** @param capacityBytes a power of two, at least twice the largest claim */
export function createJournalRing(capacityBytes: number): SharedArrayBuffer {
  assert(capacityBytes > 0 && capacityBytes <= 1 << 30, 'journal capacity is 1 to 2^30 bytes');
  assert((capacityBytes & (capacityBytes - 1)) === 0, 'journal capacity is a power of two');
  return new SharedArrayBuffer(HEADER_BYTES + capacityBytes);
}

function words(memory: SharedArrayBuffer): Int32Array {
  return new Int32Array(memory, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
}

export class JournalProducer {
  /** The data region; claimed offsets index it. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly capacityBytes: number;
  private readonly header: Int32Array;
  private readonly mask: number;
  /** Byte cursor after the last commit. */
  private head = 0;
  /** Cursor where the open run starts, and what it holds so far. */
  private runStart = 0;
  private runLines = 0;
  private runsClosed = 0;
  private runsPublished = 0;
  private released = 0;
  private outcomesPushed = 0;
  private outcomesPopped = 0;

  constructor(memory: SharedArrayBuffer) {
    this.header = words(memory);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
    this.view = new DataView(memory, HEADER_BYTES);
    this.capacityBytes = this.bytes.length;
    this.mask = this.capacityBytes - 1;
  }

  /** Bytes committed and not yet released by the consumer, as last seen. */
  get usedBytes(): number {
    return (this.head - this.released) | 0;
  }

  /** Offset of `maxBytes` contiguous bytes to encode into, or FULL. Commit or claim again; nothing to undo. */
  claim(maxBytes: number): number {
    const offset = this.head & this.mask;
    if (offset + maxBytes > this.capacityBytes || offset >= EARLY_WRAP_BYTES) {
      const skip = this.capacityBytes - offset;
      if (this.hasRoom(skip + maxBytes)) {
        // The open run may not span the skip; when no run slot is free the ring counts as full.
        if (!this.closeRun()) return FULL;
        this.head = (this.head + skip) | 0;
        this.runStart = this.head;
        return 0;
      }
      if (offset + maxBytes > this.capacityBytes) return FULL;
    }
    return this.hasRoom(maxBytes) ? offset : FULL;
  }

  private hasRoom(bytes: number): boolean {
    if (((this.head - this.released) | 0) + bytes <= this.capacityBytes) return true;
    // Pairs with the store in `JournalConsumer.release`: the consumer no longer reads bytes before this cursor.
    this.released = Atomics.load(this.header, RELEASED);
    return ((this.head - this.released) | 0) + bytes <= this.capacityBytes;
  }

  /**
   * Takes the bytes from the claimed offset up to `endOffset` into the open run.
   * @returns the cursor that `storedCursor` has to reach before these lines are settled
   */
  commit(endOffset: number, lines: number): number {
    this.head = (this.head + (endOffset - (this.head & this.mask))) | 0;
    this.runLines += lines;
    if (((this.head - this.runStart) | 0) >= RUN_MAX_BYTES) this.closeRun();
    return this.head;
  }

  private closeRun(): boolean {
    const bytes = (this.head - this.runStart) | 0;
    if (bytes === 0) return true;
    // TAKEN is stored before RELEASED by the consumer, so a stale value only makes the ring look fuller.
    if (this.runsClosed - this.header[TAKEN]! >= RUN_SLOTS) return false;
    const entry = RUNS + (this.runsClosed % RUN_SLOTS) * ENTRY_I32;
    this.header[entry] = this.runStart & this.mask;
    this.header[entry + 1] = bytes;
    this.header[entry + 2] = this.runLines;
    this.header[entry + 3] = this.head;
    this.runsClosed++;
    this.runStart = this.head;
    this.runLines = 0;
    return true;
  }

  /** Hands all committed lines to the consumer; false when there were none. Ring the writer's bell after it. */
  publish(): boolean {
    this.closeRun();
    if (this.runsClosed === this.runsPublished) return false;
    this.runsPublished = this.runsClosed;
    // Publishes the run entries and the bytes they describe; pairs with the load in `JournalConsumer.next`.
    Atomics.store(this.header, PUBLISHED, this.runsPublished);
    return true;
  }

  /** The cursor up to which lines are settled: stored to the configured level, or named in an outcome. */
  storedCursor(): number {
    // Pairs with the store in `JournalConsumer.release`; outcomes of these lines were pushed before it.
    this.released = Atomics.load(this.header, RELEASED);
    this.outcomesPushed = Atomics.load(this.header, OUTCOMES_PUSHED);
    return this.released;
  }

  /** What became of the lines that end at `cursor`; ask in commit order, after `storedCursor` has passed it. */
  outcome(cursor: number): Outcome {
    while (this.outcomesPopped !== this.outcomesPushed) {
      const entry = OUTCOMES + (this.outcomesPopped % OUTCOME_SLOTS) * ENTRY_I32;
      if (((cursor - this.header[entry + 1]!) | 0) <= 0) {
        return ((cursor - this.header[entry]!) | 0) > 0 ? (this.header[entry + 2] as Outcome) : STORED;
      }
      this.outcomesPopped++;
      // Frees the slot for the consumer; pairs with the load in `JournalConsumer.hasOutcomeRoom`.
      Atomics.store(this.header, OUTCOMES_POPPED, this.outcomesPopped);
    }
    return STORED;
  }

  /** A promise of the next change of the stored cursor, or null when it has already moved past `seen`. */
  waitForStored(seen: number): Promise<unknown> | null {
    const wait = Atomics.waitAsync(this.header, RELEASED, seen);
    return wait.async ? wait.value : null;
  }
}

export class JournalConsumer {
  readonly bytes: Uint8Array;
  /** The run that `next` moved to. */
  runOffset = 0;
  runBytes = 0;
  runLines = 0;
  private readonly header: Int32Array;
  private taken = 0;
  private published = 0;
  /** Cursor after the last run taken, and after the last run released. */
  private takenCursor = 0;
  private releasedCursor = 0;
  private outcomesPushed = 0;

  constructor(memory: SharedArrayBuffer) {
    this.header = words(memory);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
  }

  /** Moves to the next published run; false when there is none. Its bytes stay valid until `release`. */
  next(): boolean {
    if (this.taken === this.published) {
      // Pairs with the store in `JournalProducer.publish`.
      this.published = Atomics.load(this.header, PUBLISHED);
      if (this.taken === this.published) return false;
    }
    const entry = RUNS + (this.taken % RUN_SLOTS) * ENTRY_I32;
    this.runOffset = this.header[entry]!;
    this.runBytes = this.header[entry + 1]!;
    this.runLines = this.header[entry + 2]!;
    this.takenCursor = this.header[entry + 3]!;
    this.taken++;
    return true;
  }

  /** True when runs were taken that are not yet released. */
  get holdsRuns(): boolean {
    return this.takenCursor !== this.releasedCursor;
  }

  hasOutcomeRoom(): boolean {
    // Pairs with the store in `JournalProducer.outcome`.
    return this.outcomesPushed - Atomics.load(this.header, OUTCOMES_POPPED) < OUTCOME_SLOTS;
  }

  /** Names all runs taken since the last release as not stored. Needs `hasOutcomeRoom`; call before `release`. */
  pushOutcome(outcome: Outcome): void {
    assert(this.hasOutcomeRoom(), 'outcome ring has room');
    const entry = OUTCOMES + (this.outcomesPushed % OUTCOME_SLOTS) * ENTRY_I32;
    this.header[entry] = this.releasedCursor;
    this.header[entry + 1] = this.takenCursor;
    this.header[entry + 2] = outcome;
    this.outcomesPushed++;
    // Publishes the entry; pairs with the load in `JournalProducer.storedCursor`.
    Atomics.store(this.header, OUTCOMES_PUSHED, this.outcomesPushed);
  }

  /** Gives the bytes of all runs taken back to the producer and settles their lines. */
  release(): void {
    if (!this.holdsRuns) return;
    this.releasedCursor = this.takenCursor;
    this.header[TAKEN] = this.taken;
    // Publishes "settled, and no longer read"; pairs with the loads in `storedCursor` and `hasRoom`.
    Atomics.store(this.header, RELEASED, this.releasedCursor);
    Atomics.notify(this.header, RELEASED);
  }
}
