/**
 * The journal ring: a single-producer single-consumer byte ring from one ingest worker to the writer thread.
 *
 * The producer claims contiguous room, encodes finished lines into it and commits; `publish` hands all committed
 * lines over at once as *runs* (contiguous byte ranges with their line count). The consumer reads runs, writes
 * them to disk straight from this memory, and releases them. It reports runs that it could not store in an outcome ring.
 *
 * ```
 *  Int32 words (lines of 64 bytes)
 *  line 0      PUBLISHED        runs published                     written by the producer
 *  line 1      RELEASED, RELEASED_RUNS  cursor and count released  written by the consumer
 *  line 2      OUTCOMES_PUSHED  refused ranges pushed              written by the consumer
 *  line 3      OUTCOMES_POPPED  refused ranges popped              written by the producer
 *  line 4..    outcomes         16 × { from cursor, to cursor, code, - }
 *  then        runs             4096 × { offset, bytes, lines, end cursor }
 *  then        data             capacity bytes (a power of two)
 * ```
 * Cursors count bytes, and run and outcome counts count entries, all modulo 2^32 and compared by wrapped difference,
 * so full and empty stay distinct and a ring never wears out. A claim that does not fit before the end of the data
 * skips to its start; a run never spans that jump. The skipped bytes count as used until the consumer has passed them.
 * A claim alone changes nothing: only `commit` moves the head.
 */
import { assert } from '../base/errors.ts';
import { LINE_I32 } from '../base/shared-memory.ts';
import { difference } from '../base/wrapped.ts';
import { FULL, type Journal, type Outcome, STORED } from './journal.ts';

const PUBLISHED = 0;
const RELEASED = LINE_I32;
const RELEASED_RUNS = LINE_I32 + 1;
const OUTCOMES_PUSHED = 2 * LINE_I32;
const OUTCOMES_POPPED = 3 * LINE_I32;
const OUTCOMES = 4 * LINE_I32;
const OUTCOME_SLOTS = 16;
const OUTCOME_SLOT_MASK = OUTCOME_SLOTS - 1;
const ENTRY_I32 = 4;
const RUNS = OUTCOMES + OUTCOME_SLOTS * ENTRY_I32;
const RUN_SLOTS = 4096;
const RUN_SLOT_MASK = RUN_SLOTS - 1;
const HEADER_BYTES = (RUNS + RUN_SLOTS * ENTRY_I32) * Int32Array.BYTES_PER_ELEMENT;

/** A run is closed at this size, so that the writer can bound its commits. */
const RUN_MAX_BYTES = 1 << 20;
/**
 * Past this offset the producer goes back to the start as soon as the start is free: a ring that keeps up touches
 * only this much of its memory, which stays in cache and out of the resident set.
 */
const EARLY_WRAP_BYTES = 4 << 20;

/**
 * @param capacityBytes a power of two, at least twice the largest claim
 * @param origin what all cursors and counts start from; tests start just below 2^31 and 2^32
 */
export function createJournalRing(capacityBytes: number, origin = 0): SharedArrayBuffer {
  assert(capacityBytes > 0 && capacityBytes <= 1 << 30, 'journal capacity is 1 to 2^30 bytes');
  assert((capacityBytes & (capacityBytes - 1)) === 0, 'journal capacity is a power of two');
  const memory = new SharedArrayBuffer(HEADER_BYTES + capacityBytes);
  const header = words(memory);
  for (const word of [PUBLISHED, RELEASED, RELEASED_RUNS, OUTCOMES_PUSHED, OUTCOMES_POPPED])
    header[word] = origin;
  // The run before the first ended where the first begins.
  header[endOfRunBefore(origin)] = origin;
  return memory;
}

function words(memory: SharedArrayBuffer): Int32Array {
  return new Int32Array(memory, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
}

/** The word that holds the end cursor of the run before run `count`. */
function endOfRunBefore(count: number): number {
  return RUNS + ((count - 1) & RUN_SLOT_MASK) * ENTRY_I32 + 3;
}

export class JournalProducer implements Journal {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly capacityBytes: number;
  private readonly header: Int32Array;
  private readonly mask: number;
  /** Byte cursor after the last commit. */
  private head: number;
  /** Cursor where the open run starts, and how many lines it has. */
  private runStart: number;
  private runLines = 0;
  private runsClosed: number;
  private runsPublished: number;
  /** RELEASED as last read, and the cursor before which memory may be overwritten: past a skip if one is next. */
  private released: number;
  private tail: number;
  /** Bytes that the last claim skips if it is committed. */
  private claimSkipsBytes = 0;
  /** The last skip, until the consumer has passed it. */
  private skipIsAhead = false;
  private skippedFrom = 0;
  private skippedTo = 0;
  private largestClaimBytes = 0;
  private outcomesPushed: number;
  private outcomesPopped: number;

  constructor(memory: SharedArrayBuffer) {
    this.header = words(memory);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
    this.view = new DataView(memory, HEADER_BYTES);
    this.capacityBytes = this.bytes.length;
    this.mask = this.capacityBytes - 1;
    this.runsClosed = this.runsPublished = this.header[PUBLISHED]!;
    this.head = this.runStart = this.released = this.tail = this.header[RELEASED]!;
    this.outcomesPushed = this.outcomesPopped = this.header[OUTCOMES_POPPED]!;
  }

  get usedBytes(): number {
    const skipIsHeld = this.skipIsAhead && difference(this.tail, this.skippedFrom) < 0;
    return this.heldBytes - (skipIsHeld ? difference(this.skippedTo, this.skippedFrom) : 0);
  }

  /** Bytes committed, or skipped between commits, and not yet released by the consumer, as last seen. */
  private get heldBytes(): number {
    return difference(this.head, this.tail);
  }

  claim(maxBytes: number): number {
    const offset = this.head & this.mask;
    this.claimSkipsBytes = 0;
    // The last commit ended exactly at the end of the data: its run ends there too.
    if (offset === 0 && !this.closeRun()) return FULL;
    if (maxBytes > this.largestClaimBytes) this.largestClaimBytes = maxBytes;
    const fits = offset + maxBytes <= this.capacityBytes;
    if (fits && !this.mayWrapEarly(offset)) return this.hasRoom(maxBytes) ? offset : FULL;
    const skip = this.capacityBytes - offset;
    // An early wrap gives up the rest of the data until the consumer has passed it, so it leaves room for one more of
    // the largest claims.
    const spare = fits && this.heldBytes > 0 ? this.largestClaimBytes : 0;
    if (this.hasRoom(skip + maxBytes + spare) && this.closeRun()) {
      this.claimSkipsBytes = skip;
      return 0;
    }
    return fits && this.hasRoom(maxBytes) ? offset : FULL;
  }

  /**
   * While anything is outstanding, an early wrap leaves only the bytes before the tail until the consumer has passed
   * the skip. They must be half the ring: with less, a short pause of the consumer would cause refusals.
   */
  private mayWrapEarly(offset: number): boolean {
    if (offset < EARLY_WRAP_BYTES) return false;
    // Pairs with the store in `JournalConsumer.release`, as in `hasRoom`.
    this.sawReleased(Atomics.load(this.header, RELEASED));
    return this.heldBytes === 0 || offset - this.heldBytes >= this.capacityBytes / 2;
  }

  private hasRoom(bytes: number): boolean {
    if (this.heldBytes + bytes <= this.capacityBytes) return true;
    // Pairs with the store in `JournalConsumer.release`: the consumer no longer reads bytes before this cursor.
    this.sawReleased(Atomics.load(this.header, RELEASED));
    return this.heldBytes + bytes <= this.capacityBytes;
  }

  private sawReleased(released: number): void {
    this.released = this.tail = released;
    if (!this.skipIsAhead) return;
    const passedBytes = difference(released, this.skippedFrom);
    if (passedBytes === 0) this.tail = this.skippedTo;
    // The skip is behind: the cursor may come to the same value again after 2^32 bytes.
    if (passedBytes > 0) this.skipIsAhead = false;
  }

  /** Adds the bytes from the claimed offset up to `endOffset` to the open run. */
  commit(endOffset: number, lines: number): number {
    assert(lines > 0, 'a commit holds at least one line');
    if (this.claimSkipsBytes > 0) this.skipToStart();
    this.head = (this.head + (endOffset - (this.head & this.mask))) | 0;
    this.runLines += lines;
    // When no run slot is free, the run stays open and grows.
    if (difference(this.head, this.runStart) >= RUN_MAX_BYTES) this.closeRun();
    return this.head;
  }

  private skipToStart(): void {
    // One skip at a time: room for a second means that the consumer has passed the first.
    this.skippedFrom = this.head;
    this.head = (this.head + this.claimSkipsBytes) | 0;
    this.skippedTo = this.runStart = this.head;
    this.skipIsAhead = true;
    this.claimSkipsBytes = 0;
  }

  /** False when an open run has no free slot. */
  private closeRun(): boolean {
    const bytes = difference(this.head, this.runStart);
    if (bytes === 0) return true;
    // Pairs with the store in `JournalConsumer.release`: the consumer has read all entries before this count.
    if (difference(this.runsClosed, Atomics.load(this.header, RELEASED_RUNS)) >= RUN_SLOTS) return false;
    const entry = RUNS + (this.runsClosed & RUN_SLOT_MASK) * ENTRY_I32;
    this.header[entry] = this.runStart & this.mask;
    this.header[entry + 1] = bytes;
    this.header[entry + 2] = this.runLines;
    this.header[entry + 3] = this.head;
    this.runsClosed = (this.runsClosed + 1) | 0;
    this.runStart = this.head;
    this.runLines = 0;
    return true;
  }

  /**
   * Hands committed lines to the consumer; false when there are none. Ring the writer's bell after a true. While all
   * run slots are in use, the last lines stay here: call again whenever the stored cursor moves.
   */
  publish(): boolean {
    this.closeRun();
    if (this.runsClosed === this.runsPublished) return false;
    this.runsPublished = this.runsClosed;
    // Publishes the run entries and the bytes they describe; pairs with the load in `JournalConsumer.next`.
    Atomics.store(this.header, PUBLISHED, this.runsPublished);
    return true;
  }

  storedCursor(): number {
    // Pairs with the store in `JournalConsumer.release`; outcomes of these lines were pushed before it.
    this.sawReleased(Atomics.load(this.header, RELEASED));
    // Pairs with the store in `JournalConsumer.pushOutcome`.
    this.outcomesPushed = Atomics.load(this.header, OUTCOMES_PUSHED);
    return this.released;
  }

  outcome(cursor: number): Outcome {
    while (this.outcomesPopped !== this.outcomesPushed) {
      const entry = OUTCOMES + (this.outcomesPopped & OUTCOME_SLOT_MASK) * ENTRY_I32;
      if (difference(cursor, this.header[entry + 1]!) <= 0) {
        return difference(cursor, this.header[entry]!) > 0 ? (this.header[entry + 2] as Outcome) : STORED;
      }
      this.outcomesPopped = (this.outcomesPopped + 1) | 0;
      // Frees the slot for the consumer; pairs with the load in `JournalConsumer.hasOutcomeRoom`.
      Atomics.store(this.header, OUTCOMES_POPPED, this.outcomesPopped);
    }
    return STORED;
  }

  waitForStored(seen: number): Promise<unknown> | null {
    // Pairs with the store and notify in `JournalConsumer.release`.
    const wait = Atomics.waitAsync(this.header, RELEASED, seen);
    return wait.async ? wait.value : null;
  }

  blockUntilStored(seen: number, timeoutMs: number): void {
    // Pairs with the store and notify in `JournalConsumer.release`.
    Atomics.wait(this.header, RELEASED, seen, timeoutMs);
  }
}

/**
 * True when everything published is released, so that the next producer may begin where the last one ended. RELEASED is
 * the last of the consumer's stores, so it is compared too, with the end of the last run.
 */
export function isReleased(memory: SharedArrayBuffer): boolean {
  const header = words(memory);
  // Pairs with the store in `JournalProducer.publish`, of a producer that has ended.
  const published = Atomics.load(header, PUBLISHED);
  // Pairs with the stores in `JournalConsumer.release`.
  if (published !== Atomics.load(header, RELEASED_RUNS)) return false;
  return Atomics.load(header, RELEASED) === header[endOfRunBefore(published)];
}

export class JournalConsumer {
  readonly bytes: Uint8Array;
  /** The run that `next` moved to. */
  runOffset = 0;
  runBytes = 0;
  runLines = 0;
  private readonly header: Int32Array;
  private runsRead: number;
  private published: number;
  /** Cursor after the last run read, and after the last run released. */
  private readCursor: number;
  private releasedCursor: number;
  private outcomesPushed: number;

  constructor(memory: SharedArrayBuffer) {
    this.header = words(memory);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
    this.runsRead = this.published = this.header[RELEASED_RUNS]!;
    this.readCursor = this.releasedCursor = this.header[RELEASED]!;
    this.outcomesPushed = this.header[OUTCOMES_PUSHED]!;
  }

  /** Moves to the next published run; false when there is none. Its bytes stay valid until `release`. */
  next(): boolean {
    if (this.runsRead === this.published) {
      // Pairs with the store in `JournalProducer.publish`.
      this.published = Atomics.load(this.header, PUBLISHED);
      if (this.runsRead === this.published) return false;
    }
    const entry = RUNS + (this.runsRead & RUN_SLOT_MASK) * ENTRY_I32;
    this.runOffset = this.header[entry]!;
    this.runBytes = this.header[entry + 1]!;
    this.runLines = this.header[entry + 2]!;
    this.readCursor = this.header[entry + 3]!;
    this.runsRead = (this.runsRead + 1) | 0;
    return true;
  }

  /** True when runs were read that are not yet released. */
  get holdsRuns(): boolean {
    return this.readCursor !== this.releasedCursor;
  }

  /** Call before reading runs: they may have to be refused. */
  hasOutcomeRoom(): boolean {
    // Pairs with the store in `JournalProducer.outcome`.
    return difference(this.outcomesPushed, Atomics.load(this.header, OUTCOMES_POPPED)) < OUTCOME_SLOTS;
  }

  /** Reports all runs read since the last release as not stored. Needs `hasOutcomeRoom`; call before `release`. */
  pushOutcome(outcome: Outcome): void {
    assert(this.hasOutcomeRoom(), 'outcome ring has room');
    const entry = OUTCOMES + (this.outcomesPushed & OUTCOME_SLOT_MASK) * ENTRY_I32;
    this.header[entry] = this.releasedCursor;
    this.header[entry + 1] = this.readCursor;
    this.header[entry + 2] = outcome;
    this.outcomesPushed = (this.outcomesPushed + 1) | 0;
    // Publishes the entry; pairs with the load in `JournalProducer.storedCursor`.
    Atomics.store(this.header, OUTCOMES_PUSHED, this.outcomesPushed);
  }

  /** Returns the bytes of all runs read to the producer and settles their lines. */
  release(): void {
    if (!this.holdsRuns) return;
    this.releasedCursor = this.readCursor;
    // Publishes "these entries were read"; pairs with the load in `JournalProducer.closeRun`.
    Atomics.store(this.header, RELEASED_RUNS, this.runsRead);
    // Publishes "settled, and no longer read"; pairs with the loads in `storedCursor` and `hasRoom`, and with the
    // wait in `waitForStored`.
    Atomics.store(this.header, RELEASED, this.releasedCursor);
    Atomics.notify(this.header, RELEASED);
  }
}
