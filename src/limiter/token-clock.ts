/**
 * Time as the lock-free buckets count it: in ticks that are a whole fraction of a token.
 *
 * A bucket is the tick at which it will be full again (virtual scheduling, ITU-T I.371: GCRA), in one Int32 word that a
 * compare-and-swap can change. With ticks of a fixed length, 62.5 µs say, a limit of 10,000 a second would cost 1.6 ticks
 * per token and be wrong by a quarter. With whole ticks per token every rate is exact. Ticks are about 1 µs long, shorter
 * for rates above 60,000 a second. The word counts half ticks, so its lowest bit is free for a flag.
 *
 * The word wraps after 2^31 ticks (36 minutes at 1 µs), so it tells the state of a bucket only if its last charge was
 * less than `horizonMs` ago. An older bucket is full, and its owner keeps the time of the last charge to know.
 */

/** Half ticks in one tick. */
const TICK = 2;
/** Ticks in a second, unless the rate needs more. */
const TICKS_PER_SECOND = 1e6;
/** Least ticks per token, so that a bucket of one token loses little by rounding. */
const TICKS_PER_TOKEN_MIN = 16;
/** A burst has at most this many ticks if its tokens can be divided at all. */
const BURST_TICKS_MAX = 2 ** 28;
/** Ticks for which a word stays unambiguous, minus a margin for clocks that differ. */
const HORIZON_TICKS = 2 ** 30 - 2 ** 20;

export class TokenClock {
  /** Half ticks of one token, and of the whole burst. */
  readonly token: number;
  readonly burst: number;
  /** After this time without a charge a bucket is full, whatever its word says. */
  readonly horizonMs: number;
  private readonly ticksPerMs: number;

  /** @param rate tokens per second, above 0  @param burst whole tokens, at least 1 */
  constructor(rate: number, burst: number) {
    const wanted = Math.max(TICKS_PER_SECOND / rate, TICKS_PER_TOKEN_MIN);
    const ticks = Math.max(1, Math.floor(Math.min(wanted, BURST_TICKS_MAX / burst)));
    this.token = ticks * TICK;
    this.burst = burst * ticks * TICK;
    this.ticksPerMs = (rate * ticks) / 1e3;
    this.horizonMs = HORIZON_TICKS / this.ticksPerMs;
  }

  /** The last whole tick at or before `nowMs`, modulo 2^32 half ticks. */
  floor(nowMs: number): number {
    return (Math.floor(nowMs * this.ticksPerMs) * TICK) | 0;
  }

  /** The first whole tick at or after `nowMs`, modulo 2^32 half ticks. */
  ceil(nowMs: number): number {
    return (Math.ceil(nowMs * this.ticksPerMs) * TICK) | 0;
  }

  /** Milliseconds of `halfTicks`. */
  toMs(halfTicks: number): number {
    return halfTicks / TICK / this.ticksPerMs;
  }
}
