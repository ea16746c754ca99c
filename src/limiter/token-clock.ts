/**
 * The word of a lock-free bucket, and time as it counts it.
 *
 * A bucket is the tick at which it will be full again (virtual scheduling, ITU-T I.371: GCRA), in one Int32 word that a
 * compare-and-swap can change:
 *
 * ```
 *  bits 9–31   FULL_AT   ticks, modulo 2^23
 *  bits 1–8    COUNT     tokens charged, modulo 256
 *  bit 0       FROZEN    the slot is being evicted or inserted
 * ```
 * COUNT is in the word because a second atomic operation per charge would cost as much as the swap. For large bursts
 * COUNT has 4 bits or none, and FULL_AT gets the rest.
 *
 * Each token has a whole number of ticks, so every rate is exact. With ticks of a fixed length, 62.5 µs say, a token of a
 * limit of 10,000 a second would take 1.6 ticks, rounded to 2. Ticks are about 62.5 µs long, or 1/64 of a token.
 *
 * FULL_AT wraps, so it tells the state of a bucket only if the bucket was charged less than `horizonMs` ago. An older
 * bucket is full. The slot keeps the time of a charge at most `refreshMs` before its last one.
 */

const TICKS_PER_SECOND = 16_000;
/** Wanted, and least, ticks per token: a bucket that is charged when full loses half a tick. */
const TICKS_PER_TOKEN = 64;
const TICKS_PER_TOKEN_MIN = 16;
const COUNT_BITS = [8, 4, 0] as const;
/**
 * Part of the range of FULL_AT that a burst may take. The rest is for threads that are preempted between their clock and
 * their charge: beyond the range, an empty bucket would look full.
 */
const BURST_SHARE = 1 / 2;
/** Part of the range of FULL_AT that clocks of different threads may differ by. */
const SKEW_SHARE = 2 ** -10;
/** Part of the horizon by which the recorded time may be older than the last charge. */
const REFRESH_SHARE = 1 / 16;

export const FROZEN = 1;

export class TokenClock {
  /** Words are compared, and differ, in units of a tick: this much of a word. */
  readonly tick: number;
  /** Of a word: the bits below FULL_AT, and the bits of COUNT shifted to bit 0. */
  readonly lowMask: number;
  readonly countMask: number;
  readonly countBits: number;
  /** FULL_AT units of one token, and of the whole burst. */
  readonly token: number;
  readonly burst: number;
  readonly horizonMs: number;
  readonly refreshMs: number;
  readonly ticksPerMs: number;

  /** @param rate tokens per second, above 0  @param burst whole tokens, at least 1 */
  constructor(rate: number, burst: number) {
    const wanted = Math.max(TICKS_PER_SECOND / rate, TICKS_PER_TOKEN);
    const ticksFor = (bits: number) => Math.floor(Math.min(wanted, (2 ** (30 - bits) * BURST_SHARE) / burst));
    const countBits = COUNT_BITS.find((bits) => ticksFor(bits) >= TICKS_PER_TOKEN_MIN) ?? 0;
    const ticks = Math.max(1, ticksFor(countBits));
    this.countBits = countBits;
    this.tick = 2 << countBits;
    this.lowMask = this.tick - 1;
    this.countMask = (1 << countBits) - 1;
    this.token = ticks * this.tick;
    this.burst = burst * this.token;
    this.ticksPerMs = (rate * ticks) / 1e3;
    this.horizonMs = (2 ** (30 - countBits) * (1 - SKEW_SHARE)) / this.ticksPerMs;
    this.refreshMs = this.horizonMs * REFRESH_SHARE;
  }

  /** FULL_AT of the last tick at or before `nowMs`, with a COUNT of 0. */
  floor(nowMs: number): number {
    return (Math.floor(nowMs * this.ticksPerMs) * this.tick) | 0;
  }

  /** FULL_AT of the first tick at or after `nowMs`, with a COUNT of 0. */
  ceil(nowMs: number): number {
    return (Math.ceil(nowMs * this.ticksPerMs) * this.tick) | 0;
  }

  /** Milliseconds from `now` to the time at which the bucket of `word` is full; negative if it is. */
  missingMs(word: number, now: number): number {
    return this.missing(word, now) / this.tick / this.ticksPerMs;
  }

  /** FULL_AT units from `now` to the time at which the bucket of `word` is full; negative or 0 if it is. */
  missing(word: number, now: number): number {
    //> 7.1.1 times that wrap
    //: return (word & ~this.lowMask) - now;
    return ((word & ~this.lowMask) - now) | 0;
    //<
  }
}
