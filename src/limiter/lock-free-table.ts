/**
 * A table of token buckets that any number of threads charge without a lock: find, insert, evict and charge are loops of
 * compare-and-swap with a bounded number of turns.
 *
 * ```
 *  for each set:
 *    24 bytes            VERSION    Int32    insertions << 6 | way of the pending insertion + 1, or 0
 *                        EVICTIONS  Int32    idle clients evicted for new ones
 *                        OVERFLOWED Int32    charges to the overflow bucket
 *                        -          12 bytes unused
 *    WAYS slots of 40 bytes
 *                        LOW, HIGH  Int32 each  words of the client's keyed hash; both 0: nobody
 *                        FULL_AT    Int32    half tick at which the bucket is full (token-clock.ts); lowest bit: FROZEN
 *                        FRESH      Int32    FULL_AT after the pending insertion
 *                        LAST_MS    Float64  time of the last charge
 *                        ALLOWED    2 × Int32   tokens charged, low and high word
 *                        REFUSED    2 × Int32   tokens refused, low and high word
 *    1 slot              the set's overflow bucket: the same fields, LOW and HIGH 0
 * ```
 * A set of 16 ways takes 11 cache lines; the first slot shares the line of the set's header.
 *
 * **Charge.** Load FULL_AT, check that the slot belongs to the client, compute the new FULL_AT, compare-and-swap. FULL_AT
 * only grows (modulo 2^32), so if the swap succeeds, nothing has changed since the load: neither bucket nor owner.
 *
 * **Evict.** Swap FULL_AT of an idle client (a full bucket) to the same value with the FROZEN bit. A concurrent charge of
 * that client either came first, and the swap fails, or fails itself and looks for its client again. So no active client
 * loses its bucket. A frozen slot belongs to the thread that froze it.
 *
 * **Insert.** Load VERSION, check that the client is absent, freeze a slot, write the client into it, and swap VERSION to
 * "pending, this way". That swap is the insertion. It fails if the set had another insertion since the load, perhaps of
 * the same client: then empty the slot and start again. So no client exists twice. A pending slot is still frozen; any
 * thread that meets a pending VERSION publishes FRESH as FULL_AT and ends the insertion, so nobody waits for the thread
 * that began it.
 *
 * **Full set.** If every slot is active or frozen, the newcomer charges the set's overflow bucket, which all newcomers of
 * the set share. A thread that dies between freezing and inserting leaves one slot unusable, and nobody waits for it.
 *
 * Each Atomics operation names its partner; docs/memory-ordering.md lists them. Plain accesses to a slot's other words
 * are ordered by FULL_AT and VERSION.
 */
import { difference } from '../base/wrapped.ts';
import type { LimiterGeometry } from './limiter.ts';
import { ADMITTED, BUSY, LIMITED, type Verdict } from './limiter.ts';
import type { TokenClock } from './token-clock.ts';

/** Positions in a set, in Int32 words from its start. */
const VERSION = 0;
export const EVICTIONS = 1;
export const OVERFLOWED = 2;
const SET_HEADER = 6;

/** Positions in a slot, in Int32 words from its start. */
export const LOW = 0;
export const HIGH = 1;
const FULL_AT = 2;
const FRESH = 3;
export const ALLOWED = 6;
export const REFUSED = 8;
const SLOT = 10;
/** In Float64 words from the slot's start. */
const LAST_MS_F64 = 2;

const FROZEN = 1;
const WAY_BITS = 6;
const WAY_MASK = (1 << WAY_BITS) - 1;
export const WAYS_MAX = WAY_MASK;

/** Turns of a charge on a hot client, each lost to another thread's charge, before it returns BUSY. */
const CHARGE_TURNS = 128;
/** Turns of looking for, and inserting, a client, each lost to another thread, before it charges the overflow bucket. */
const FIND_TURNS = 32;

/** Results beside the verdicts, and beside slots. */
const RETRY = -1;
const NONE = -1;
const LOST = -2;

/** Int32 words of a set. */
export function setWords(ways: number): number {
  return SET_HEADER + (ways + 1) * SLOT;
}

export function tableBytes({ sets, ways }: LimiterGeometry): number {
  return sets * setWords(ways) * Int32Array.BYTES_PER_ELEMENT;
}

export class LockFreeTable {
  readonly ways: number;
  readonly sets: number;
  /** Tokens left by the last charge. */
  tokensLeft = 0;
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly clock: TokenClock;
  private readonly start: number;
  private readonly setWords: number;
  private readonly setsPerHash: number;

  /** @param offset bytes before the table in `memory`, a multiple of 8 */
  constructor(memory: SharedArrayBuffer, offset: number, { sets, ways }: LimiterGeometry, clock: TokenClock) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.clock = clock;
    this.ways = ways;
    this.sets = sets;
    this.start = offset / Int32Array.BYTES_PER_ELEMENT;
    this.setWords = setWords(ways);
    this.setsPerHash = sets / 2 ** 32;
  }

  /** Charges `tokens` to the client with this hash, all or nothing. Sets `tokensLeft`. */
  charge(low: number, high: number, tokens: number, nowMs: number): Verdict {
    const set = this.setOf(low);
    const known = this.findSlot(set, low, high);
    if (known !== NONE) {
      const verdict = this.chargeSlot(known, low, high, tokens, nowMs);
      if (verdict !== RETRY) return verdict;
    }
    return this.chargeSlowly(set, low, high, tokens, nowMs);
  }

  /** Charges a client that has no slot, or whose slot is changing. */
  private chargeSlowly(set: number, low: number, high: number, tokens: number, nowMs: number): Verdict {
    for (let turn = 0; turn < FIND_TURNS; turn++) {
      const slot = this.findLive(set, low, high);
      const result =
        slot === NONE
          ? this.insert(set, low, high, tokens, nowMs)
          : this.chargeSlot(slot, low, high, tokens, nowMs);
      if (result !== RETRY) return result;
    }
    return this.chargeOverflow(set, tokens, nowMs);
  }

  /** The index of the first word of the set, from the hash's low word scaled to 0..sets (D. Lemire, 2019). */
  setOf(low: number): number {
    return this.start + (((low >>> 0) * this.setsPerHash) | 0) * this.setWords;
  }

  /** The first slot with the client's hash, or NONE; it may be frozen. */
  private findSlot(set: number, low: number, high: number): number {
    let slot = set + SET_HEADER;
    for (let way = 0; way < this.ways; way++, slot += SLOT) {
      if (this.peek(slot + LOW) === low && this.peek(slot + HIGH) === high) return slot;
    }
    return NONE;
  }

  /** The client's slot, or NONE. A frozen slot does not count: it is being evicted or inserted. */
  private findLive(set: number, low: number, high: number): number {
    let slot = set + SET_HEADER;
    for (let way = 0; way < this.ways; way++, slot += SLOT) {
      if (this.peek(slot + LOW) !== low || this.peek(slot + HIGH) !== high) continue;
      // Pairs with the swap in `publish`.
      if ((Atomics.load(this.i32, slot + FULL_AT) & FROZEN) === 0) return slot;
    }
    return NONE;
  }

  /** Charges a slot. RETRY if it no longer belongs to the client. */
  private chargeSlot(
    slot: number,
    low: number,
    high: number,
    tokens: number,
    nowMs: number,
  ): Verdict | typeof RETRY {
    const { clock, i32 } = this;
    const cost = tokens * clock.token;
    const now = clock.floor(nowMs);
    for (let turn = 0; turn < CHARGE_TURNS; turn++) {
      // Pairs with the swaps of FULL_AT: the words read below are at least as new as this value.
      const fullAt = Atomics.load(i32, slot + FULL_AT);
      if ((fullAt & FROZEN) !== 0) return RETRY;
      if (this.peek(slot + LOW) !== low || this.peek(slot + HIGH) !== high) return RETRY;
      const lastMs = this.peekLast(slot);
      const missing = nowMs - lastMs > clock.horizonMs ? 0 : difference(fullAt, now);
      const left = clock.burst - Math.max(missing, 0) - cost;
      if (left < 0) {
        this.tokensLeft = (left + cost) / clock.token;
        this.count(slot + REFUSED, tokens);
        return LIMITED;
      }
      // Before the swap, so that whoever sees the new FULL_AT also sees a recent time.
      if (lastMs < nowMs) this.pokeLast(slot, nowMs);
      const next = advance(missing > 0 ? fullAt : clock.ceil(nowMs), cost);
      // Publishes the charge to the loads of FULL_AT here and in `freeze`.
      if (Atomics.compareExchange(i32, slot + FULL_AT, fullAt, next) === fullAt) {
        this.tokensLeft = left / clock.token;
        this.count(slot + ALLOWED, tokens);
        return ADMITTED;
      }
    }
    this.tokensLeft = 0;
    return BUSY;
  }

  private chargeOverflow(set: number, tokens: number, nowMs: number): Verdict {
    // For the census only.
    Atomics.add(this.i32, set + OVERFLOWED, 1);
    return this.chargeSlot(slotOf(set, this.ways), 0, 0, tokens, nowMs) as Verdict;
  }

  /** Inserts a client that has no live slot, with its first charge. RETRY if another thread changed the set. */
  private insert(
    set: number,
    low: number,
    high: number,
    tokens: number,
    nowMs: number,
  ): Verdict | typeof RETRY {
    const { clock, i32 } = this;
    // Pairs with the swaps of VERSION here and in `publish`: `findLive` sees every earlier insertion.
    const version = Atomics.load(i32, set + VERSION);
    if ((version & WAY_MASK) !== 0) {
      this.publish(set, version);
      return RETRY;
    }
    if (this.findLive(set, low, high) !== NONE) return RETRY;
    const slot = this.freeze(set, nowMs);
    if (slot === LOST) return RETRY;
    if (slot === NONE) return this.chargeOverflow(set, tokens, nowMs);
    const cost = tokens * clock.token;
    const fits = cost <= clock.burst;
    this.assign(slot, low, high, advance(clock.ceil(nowMs), fits ? cost : 0), nowMs);
    const pending = version | ((slot - set - SET_HEADER) / SLOT + 1);
    // The insertion. Publishes the slot's words to the load of VERSION above and in `publish`.
    if (Atomics.compareExchange(i32, set + VERSION, version, pending) !== version) {
      this.release(slot);
      return RETRY;
    }
    this.publish(set, pending);
    this.tokensLeft = (fits ? clock.burst - cost : clock.burst) / clock.token;
    this.count(slot + (fits ? ALLOWED : REFUSED), tokens);
    return fits ? ADMITTED : LIMITED;
  }

  /** Ends the pending insertion of `version`, whichever thread began it. */
  private publish(set: number, version: number): void {
    const { i32 } = this;
    const slot = set + SET_HEADER + ((version & WAY_MASK) - 1) * SLOT;
    // Pairs with the swap in `freeze`.
    const frozen = Atomics.load(i32, slot + FULL_AT);
    const fresh = this.peek(slot + FRESH);
    // Pairs with the swaps of VERSION. If it is unchanged, `frozen` and `fresh` belong to this insertion.
    if ((frozen & FROZEN) !== 0 && Atomics.load(i32, set + VERSION) === version) {
      // Publishes the slot to the loads of FULL_AT. Fails if another thread has done so: a frozen value never recurs.
      Atomics.compareExchange(i32, slot + FULL_AT, frozen, fresh);
    }
    // Ends the insertion for the load in `insert`. Fails if another thread has done so.
    Atomics.compareExchange(i32, set + VERSION, version, (version & ~WAY_MASK) + (WAY_MASK + 1));
  }

  /** Freezes the slot of nobody, or else of the client whose bucket has been full for longest. NONE: all are active. */
  private freeze(set: number, nowMs: number): number {
    const { clock, i32 } = this;
    const now = clock.floor(nowMs);
    let victim = NONE;
    let victimFullAt = 0;
    let longestMs = 0;
    let slot = set + SET_HEADER;
    for (let way = 0; way < this.ways; way++, slot += SLOT) {
      // Pairs with the swaps of FULL_AT, as in `chargeSlot`.
      const fullAt = Atomics.load(i32, slot + FULL_AT);
      if ((fullAt & FROZEN) !== 0) continue;
      const idleMs = this.idleMs(slot, fullAt, now, nowMs);
      if (idleMs <= longestMs) continue;
      victim = slot;
      victimFullAt = fullAt;
      longestMs = idleMs;
    }
    if (victim === NONE) return NONE;
    // Evicts the slot's client. Fails if the client was charged since the load. Pairs with the loads of FULL_AT.
    const seen = Atomics.compareExchange(i32, victim + FULL_AT, victimFullAt, victimFullAt | FROZEN);
    if (seen !== victimFullAt) return LOST;
    // For the census only.
    if (longestMs < Number.POSITIVE_INFINITY) Atomics.add(i32, set + EVICTIONS, 1);
    return victim;
  }

  /** Time for which the slot's bucket has been full; Infinity: nobody's, at most 0: active. */
  private idleMs(slot: number, fullAt: number, now: number, nowMs: number): number {
    if (this.peek(slot + LOW) === 0 && this.peek(slot + HIGH) === 0) return Number.POSITIVE_INFINITY;
    const sinceChargeMs = nowMs - this.peekLast(slot);
    // Since when the bucket has been full is unknown; at least since half of that time.
    if (sinceChargeMs > this.clock.horizonMs) return sinceChargeMs;
    return this.clock.toMs(-difference(fullAt, now));
  }

  /** Writes a client into a slot that this thread froze. */
  private assign(slot: number, low: number, high: number, fresh: number, nowMs: number): void {
    this.poke(slot + LOW, low);
    this.poke(slot + HIGH, high);
    this.poke(slot + FRESH, fresh);
    this.pokeLast(slot, nowMs);
    this.poke(slot + ALLOWED, 0);
    this.poke(slot + ALLOWED + 1, 0);
    this.poke(slot + REFUSED, 0);
    this.poke(slot + REFUSED + 1, 0);
  }

  /** Empties a slot that this thread froze. */
  private release(slot: number): void {
    const { i32 } = this;
    this.poke(slot + LOW, 0);
    this.poke(slot + HIGH, 0);
    // Only this thread changes a frozen FULL_AT. Publishes the empty slot to the loads of FULL_AT.
    Atomics.store(i32, slot + FULL_AT, (Atomics.load(i32, slot + FULL_AT) + 1) | 0);
  }

  /** Adds to a count of two words. The census may see the low word without its carry. */
  private count(word: number, tokens: number): void {
    // For the census only: pairs with nothing, and is atomic because several threads count one client.
    const before = Atomics.add(this.i32, word, tokens) >>> 0;
    if (before + tokens >= 2 ** 32) Atomics.add(this.i32, word + 1, 1);
  }

  private peek(word: number): number {
    return this.i32[word]!;
  }

  private poke(word: number, value: number): void {
    this.i32[word] = value;
  }

  private peekLast(slot: number): number {
    return this.f64[(slot >> 1) + LAST_MS_F64]!;
  }

  private pokeLast(slot: number, nowMs: number): void {
    this.f64[(slot >> 1) + LAST_MS_F64] = nowMs;
  }
}

/** `from` plus `cost` half ticks, modulo 2^32. */
function advance(from: number, cost: number): number {
  return (from + cost) | 0;
}

/** The index of a slot's first word; way WAYS is the overflow bucket. */
export function slotOf(set: number, way: number): number {
  return set + SET_HEADER + way * SLOT;
}
