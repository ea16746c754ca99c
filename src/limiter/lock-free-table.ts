/**
 * A table of token buckets that any number of threads charge without a lock: find, insert, evict and charge are loops of
 * compare-and-swap with a bounded number of turns.
 *
 * **Charge.** Load BUCKET, check that the slot belongs to the client, compute the new value, compare-and-swap. A value
 * of BUCKET does not recur for seconds: FULL_AT and COUNT only grow. So if the swap succeeds, nothing has changed since
 * the load: neither bucket nor owner.
 *
 * **Evict.** Swap BUCKET of an idle client (a full bucket) to the same value with the FROZEN bit. A concurrent charge of
 * that client either came first, and the swap fails, or fails itself and looks for its client again. So no active client
 * loses its bucket. A frozen slot belongs to the thread that froze it.
 *
 * **Insert.** Load VERSION, check that the client is absent, freeze a slot, write the client into it, and swap VERSION to
 * "pending, this way". That swap is the insertion. It fails if the set had another insertion since the load, perhaps of
 * the same client: then empty the slot and start again. So no client exists twice. A pending slot is still frozen; any
 * thread that meets a pending VERSION publishes FRESH as BUCKET and ends the insertion, so nobody waits for the thread
 * that began it.
 *
 * **Full set.** If every slot is active or frozen, the newcomer charges the set's overflow bucket, which all newcomers of
 * the set share. A thread that dies between freezing and inserting leaves one slot unusable, and nobody waits for it.
 *
 * Each Atomics operation names its partner; docs/memory-ordering.md lists them. Plain accesses to a slot's other words
 * are ordered by BUCKET and VERSION.
 */
import { ADMITTED, BUSY, LIMITED, type LimiterGeometry, type Verdict } from './limiter.ts';
import {
  ALLOWED,
  BUCKET,
  EVICTIONS,
  FRESH,
  HIGH,
  LAST_MS_F64,
  LOW,
  OVERFLOWED,
  REFUSED,
  TableIndex,
  VERSION,
  WAY_MASK,
} from './lock-free-layout.ts';
import { FROZEN, type TokenClock } from './token-clock.ts';

/**
 * Turns of a charge, each lost to another thread's charge, before it returns BUSY: some 0.4 ms. Two cores that charge one
 * client do not alternate fairly; 128 turns were lost in 30 of a million charges.
 */
const CHARGE_TURNS = 4096;
/** Turns of the usual charge, each lost to another thread, before it looks for its client again. */
const QUICK_TURNS = 16;
/** Turns of looking for, and inserting, a client, each lost to another thread, before it charges the overflow bucket. */
const FIND_TURNS = 32;

/** Results beside the verdicts, and beside slots. */
const RETRY = -1;
const NONE = -1;
const LOST = -2;

export class LockFreeTable {
  /** FULL_AT units left by the last charge. */
  private left = 0;
  /** The clock's constants, here because the clock is one load further away. */
  private readonly token: number;
  private readonly burst: number;
  private readonly horizonMs: number;
  private readonly refreshMs: number;
  private readonly ticksPerMs: number;
  private readonly tick: number;
  private readonly lowMask: number;
  private readonly countMask: number;
  private readonly countBits: number;
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly clock: TokenClock;
  private readonly index: TableIndex;

  /** @param offset bytes before the table in `memory`, whole lines */
  constructor(memory: SharedArrayBuffer, offset: number, geometry: LimiterGeometry, clock: TokenClock) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.clock = clock;
    this.token = clock.token;
    this.burst = clock.burst;
    this.horizonMs = clock.horizonMs;
    this.refreshMs = clock.refreshMs;
    this.ticksPerMs = clock.ticksPerMs;
    this.tick = clock.tick;
    this.lowMask = clock.lowMask;
    this.countMask = clock.countMask;
    this.countBits = clock.countBits;
    this.index = new TableIndex(offset, geometry);
  }

  /** Tokens left by the last charge. */
  get tokensLeft(): number {
    return this.left / this.token;
  }

  /** Charges `tokens` to the client with this hash, all or nothing. */
  charge(low: number, high: number, tokens: number, nowMs: number): Verdict {
    const { i32, f64, token, index } = this;
    const { ways } = index;
    const set = index.setOf(low);
    let slot = index.slot(set, 0);
    let way = 0;
    for (; way < ways; way++) {
      if (i32[slot + LOW] === low && i32[slot + HIGH] === high) break;
      slot = index.next(slot, way);
    }
    if (way === ways) return this.chargeSlowly(set, low, high, tokens, nowMs);
    // The usual case without a call: the slot is the client's, and the bucket has enough tokens. The loads are plain, so
    // nothing orders them. The swap shows that BUCKET is current, and the owner is checked again behind it. If the slot
    // has a new owner after all, that one has paid for this charge; charge the client properly.
    let bucket = i32[slot + BUCKET]!;
    const ticks = nowMs * this.ticksPerMs;
    const floor = Math.floor(ticks);
    const now = (floor * this.tick) | 0;
    for (let turn = 0; turn < QUICK_TURNS; turn++) {
      const sinceMs = nowMs - f64[(slot >> 1) + LAST_MS_F64]!;
      if ((bucket & FROZEN) !== 0 || sinceMs > this.horizonMs) break;
      const fullAt = bucket & ~this.lowMask;
      const missing = (fullAt - now) | 0;
      const left = this.burst - (missing > 0 ? missing : 0) - tokens * token;
      if (left < 0) {
        if (i32[slot + LOW] !== low || i32[slot + HIGH] !== high) break;
        this.left = left + tokens * token;
        this.count(slot + REFUSED, tokens);
        return LIMITED;
      }
      if (sinceMs > this.refreshMs) f64[(slot >> 1) + LAST_MS_F64] = nowMs;
      const from = missing > 0 ? fullAt : floor < ticks ? now + this.tick : now;
      const count = ((bucket >> 1) & this.countMask) + tokens;
      const next = (from + tokens * token + ((count & this.countMask) << 1)) | 0;
      // Publishes the charge to the loads of BUCKET in this file.
      const seen = Atomics.compareExchange(i32, slot + BUCKET, bucket, next);
      if (seen !== bucket) {
        // Another thread charged this client. Its line is in this core's cache now, so try again at once.
        bucket = seen;
        continue;
      }
      if (i32[slot + LOW] !== low || i32[slot + HIGH] !== high) break;
      this.left = left;
      if (count > this.countMask) this.count(slot + ALLOWED, count >>> this.countBits);
      return ADMITTED;
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

  /** The client's slot, or NONE. A frozen slot does not count: it is being evicted or inserted. */
  private findLive(set: number, low: number, high: number): number {
    for (let way = 0; way < this.index.ways; way++) {
      const slot = this.index.slot(set, way);
      if (this.peek(slot + LOW) !== low || this.peek(slot + HIGH) !== high) continue;
      // Pairs with the swap in `publish`.
      if ((Atomics.load(this.i32, slot + BUCKET) & FROZEN) === 0) return slot;
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
      // Pairs with the swaps of BUCKET: the words read below are at least as new as this value.
      const bucket = Atomics.load(i32, slot + BUCKET);
      if ((bucket & FROZEN) !== 0) return RETRY;
      if (this.peek(slot + LOW) !== low || this.peek(slot + HIGH) !== high) return RETRY;
      const sinceMs = nowMs - this.peekLast(slot);
      if (sinceMs > clock.horizonMs) {
        this.refill(slot, bucket, now, nowMs);
        continue;
      }
      const missing = clock.missing(bucket, now);
      const left = clock.burst - Math.max(missing, 0) - cost;
      if (left < 0) {
        this.left = left + cost;
        this.count(slot + REFUSED, tokens);
        return LIMITED;
      }
      // Before the swap, so that whoever sees the new BUCKET also sees a recent time.
      if (sinceMs > clock.refreshMs) this.pokeLast(slot, nowMs);
      const from = missing > 0 ? bucket & ~clock.lowMask : clock.ceil(nowMs);
      const count = ((bucket >> 1) & clock.countMask) + tokens;
      const next = this.word(from + cost, count);
      //> 7.1.2 charge if nothing has changed
      //: Atomics.store(i32, slot + BUCKET, next);
      // Publishes the charge to the loads of BUCKET in this file.
      if (Atomics.compareExchange(i32, slot + BUCKET, bucket, next) !== bucket) continue;
      //<
      this.left = left;
      if (count > clock.countMask) this.count(slot + ALLOWED, count >>> clock.countBits);
      return ADMITTED;
    }
    this.left = 0;
    return BUSY;
  }

  /**
   * Writes "full now" into a bucket that is full, but whose word is too old to tell. The word comes first: with a recent
   * time beside it, others would misread the old one.
   */
  private refill(slot: number, bucket: number, now: number, nowMs: number): void {
    const full = this.word(now, bucket >> 1);
    // Publishes the full bucket to the loads of BUCKET. Fails if another thread has done so, or charged.
    if (Atomics.compareExchange(this.i32, slot + BUCKET, bucket, full) !== bucket) return;
    if (this.peekLast(slot) < nowMs) this.pokeLast(slot, nowMs);
  }

  private chargeOverflow(set: number, tokens: number, nowMs: number): Verdict {
    // For the census only.
    Atomics.add(this.i32, set + OVERFLOWED, 1);
    return this.chargeSlot(this.index.overflowSlot(set), 0, 0, tokens, nowMs) as Verdict;
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
      //> 7.1.5 end what another thread began
      this.publish(set, version);
      //<
      return RETRY;
    }
    if (this.findLive(set, low, high) !== NONE) return RETRY;
    const way = this.freeze(set, nowMs);
    if (way === LOST) return RETRY;
    if (way === NONE) return this.chargeOverflow(set, tokens, nowMs);
    const slot = this.index.slot(set, way);
    const cost = tokens * clock.token;
    const fits = cost <= clock.burst;
    const charged = fits ? tokens : 0;
    this.assign(slot, low, high, this.word(clock.ceil(nowMs) + charged * clock.token, charged), nowMs);
    this.poke(slot + ALLOWED, charged >>> clock.countBits);
    const pending = version | (way + 1);
    //> 7.1.4 insert a client once
    //: Atomics.store(i32, set + VERSION, pending);
    // The insertion. Publishes the slot's words to the load of VERSION above and in `publish`.
    if (Atomics.compareExchange(i32, set + VERSION, version, pending) !== version) {
      this.release(slot);
      return RETRY;
    }
    //<
    this.publish(set, pending);
    this.left = fits ? clock.burst - cost : clock.burst;
    if (!fits) this.count(slot + REFUSED, tokens);
    return fits ? ADMITTED : LIMITED;
  }

  /** Ends the pending insertion of `version`, whichever thread began it. */
  private publish(set: number, version: number): void {
    const { i32 } = this;
    const slot = this.index.slot(set, (version & WAY_MASK) - 1);
    // Pairs with the swap in `freeze`.
    const frozen = Atomics.load(i32, slot + BUCKET);
    const fresh = this.peek(slot + FRESH);
    // Pairs with the swaps of VERSION. If it is unchanged, `frozen` and `fresh` belong to this insertion.
    if ((frozen & FROZEN) !== 0 && Atomics.load(i32, set + VERSION) === version) {
      // Publishes the slot to the loads of BUCKET. Fails if another thread has done so: a frozen value never recurs.
      Atomics.compareExchange(i32, slot + BUCKET, frozen, fresh);
    }
    // Ends the insertion for the load in `insert`. Fails if another thread has done so.
    Atomics.compareExchange(i32, set + VERSION, version, (version & ~WAY_MASK) + (WAY_MASK + 1));
  }

  /** Freezes the slot of nobody, or else of the client whose bucket has been full for longest. Returns its way; NONE: all are active. */
  private freeze(set: number, nowMs: number): number {
    const { clock, i32 } = this;
    const now = clock.floor(nowMs);
    let victim = NONE;
    let victimBucket = 0;
    let longestMs = 0;
    for (let way = 0; way < this.index.ways; way++) {
      const slot = this.index.slot(set, way);
      // Pairs with the swaps of BUCKET, as in `chargeSlot`.
      const bucket = Atomics.load(i32, slot + BUCKET);
      if ((bucket & FROZEN) !== 0) continue;
      const idleMs = this.idleMs(slot, bucket, now, nowMs);
      if (idleMs <= longestMs) continue;
      victim = way;
      victimBucket = bucket;
      longestMs = idleMs;
    }
    if (victim === NONE) return NONE;
    const slot = this.index.slot(set, victim);
    //> 7.1.3 evict a client that is still idle
    //: Atomics.store(i32, slot + BUCKET, victimBucket | FROZEN);
    // Evicts the slot's client. Fails if the client was charged since the load. Pairs with the loads of BUCKET.
    const seen = Atomics.compareExchange(i32, slot + BUCKET, victimBucket, victimBucket | FROZEN);
    if (seen !== victimBucket) return LOST;
    //<
    // For the census only.
    if (longestMs < Number.POSITIVE_INFINITY) Atomics.add(i32, set + EVICTIONS, 1);
    return victim;
  }

  /** Time for which the slot's bucket has been full; Infinity: nobody's, at most 0: active. */
  private idleMs(slot: number, bucket: number, now: number, nowMs: number): number {
    if (this.peek(slot + LOW) === 0 && this.peek(slot + HIGH) === 0) return Number.POSITIVE_INFINITY;
    const sinceChargeMs = nowMs - this.peekLast(slot);
    // The moment at which this bucket was full is lost.
    if (sinceChargeMs > this.clock.horizonMs) return sinceChargeMs;
    return -this.clock.missingMs(bucket, now);
  }

  /** Writes a client into a slot that this thread froze. */
  private assign(slot: number, low: number, high: number, fresh: number, nowMs: number): void {
    this.poke(slot + LOW, low);
    this.poke(slot + HIGH, high);
    this.poke(slot + FRESH, fresh);
    this.pokeLast(slot, nowMs);
    this.poke(slot + ALLOWED, 0);
    this.poke(slot + REFUSED, 0);
  }

  /** Empties a slot that this thread froze. */
  private release(slot: number): void {
    const { i32 } = this;
    this.poke(slot + LOW, 0);
    this.poke(slot + HIGH, 0);
    // Only this thread changes a frozen BUCKET. Publishes the empty slot to the loads of BUCKET.
    Atomics.store(i32, slot + BUCKET, (Atomics.load(i32, slot + BUCKET) + 1) | 0);
  }

  /** Adds to a count. */
  private count(word: number, tokens: number): void {
    // For the census only: pairs with nothing, and is atomic because several threads count one client.
    Atomics.add(this.i32, word, tokens);
  }

  /** A BUCKET that is not frozen. */
  private word(fullAt: number, count: number): number {
    return (fullAt + ((count & this.clock.countMask) << 1)) | 0;
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
