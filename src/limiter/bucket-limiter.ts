/**
 * Token buckets behind locks: decisions are exact across threads. The table determines the number of locks (table.ts):
 * one in global-lock.ts, one for each set in striped-lock.ts.
 *
 * The hash of a client's key selects a set. Under that set's lock a charge finds or inserts the client, and refills and
 * charges its bucket. Buckets hold fractional tokens, refill with time and never exceed the burst, so a client gets at
 * most rate · t + burst over any time t.
 *
 * A bucket is one number: the moment at which it will be full again, on a clock that counts tokens (milliseconds ×
 * rate). At a time `now` on that clock `max(fullAt - now, 0)` tokens are missing; a charge of n advances fullAt by n, from
 * its value or from now if that is later. This is the token bucket as virtual scheduling (ITU-T I.371, GCRA). A refill
 * needs no write, zero is a full bucket, and sums of whole tokens accumulate no rounding errors.
 *
 * Full policy. If a client is new and its set is full, the charge evicts the client of the set that has been idle for
 * longest, provided its buckets have refilled completely. On its return it would get full buckets anyway, so eviction
 * costs it its counts but not its limit. If all clients of the set are active, the newcomer shares the set's overflow
 * bucket, of the same rate and burst. An active client is never reset, and nobody passes unlimited.
 *
 * Time. If `nowMs` is earlier than another thread's (read a moment before), more tokens are missing, and fullAt never moves
 * back: differing clocks create no tokens.
 */
import { lock, unlock } from '../base/futex-lock.ts';
import { halfSipHash } from '../base/siphash.ts';
import {
  ADMITTED,
  BUSY,
  LIMITED,
  type Limiter,
  type LimiterConfig,
  type OpenLimiter,
  type Verdict,
} from './limiter.ts';
import {
  ALLOWED_METRICS_F64,
  EVICTIONS_F64,
  FULL_AT_F64,
  LimiterTable,
  METRICS_FULL_AT_F64,
  REFUSED_F64,
  REFUSED_METRICS_F64,
  REQUESTS_F64,
} from './table.ts';

/** Longest wait of a charge for a lock, before it returns BUSY. */
const LOCK_BOUND_MS = 1;

class BucketLimiter implements Limiter {
  private readonly table: LimiterTable;
  private readonly hash = new Int32Array(2);
  private readonly requestRate: number;
  private readonly requestBurst: number;
  private readonly metricRate: number;
  private readonly metricBurst: number;
  /** Of the last charge: tokens left, tokens requested, and tokens refilled per second. */
  private tokensLeft = 0;
  private tokensAsked = 0;
  private tokensPerSecond = 1;

  constructor(memory: SharedArrayBuffer, config: LimiterConfig) {
    this.table = new LimiterTable(memory);
    this.requestRate = config.requestRate;
    this.requestBurst = config.requestBurst;
    this.metricRate = config.metricRate;
    this.metricBurst = config.metricBurst;
  }

  get clientHash(): number {
    return this.hash[1]!;
  }

  get remaining(): number {
    return Math.floor(this.tokensLeft);
  }

  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil((this.tokensAsked - this.tokensLeft) / this.tokensPerSecond));
  }

  chargeRequest(key: Uint8Array, keyBytes: number, nowMs: number): Verdict {
    const { table, hash, requestRate } = this;
    halfSipHash(table.seed0, table.seed1, key, keyBytes, hash);
    if (requestRate === 0) return this.unlimited();
    const setIndex = table.setIndexOf(hash[0]!);
    const set = table.set(setIndex);
    const lockWord = table.lockWord(setIndex);
    if (!lock(table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(requestRate);
    const { f64 } = table;
    let way = table.find(set, hash[0]!, hash[1]!);
    if (way < 0) way = this.insert(setIndex, set, nowMs);
    const slot = table.slot(set, way);
    const now = tokenTime(nowMs, requestRate);
    const fullAt = Math.max(f64[slot + FULL_AT_F64]!, now);
    const tokens = this.requestBurst - (fullAt - now);
    const admitted = tokens >= 1;
    f64[slot + REQUESTS_F64]! += 1;
    if (admitted) f64[slot + FULL_AT_F64] = fullAt + 1;
    else f64[table.record(setIndex, way) + REFUSED_F64]! += 1;
    unlock(table.i32, lockWord);
    return this.charged(admitted, tokens, 1, requestRate);
  }

  identify(key: Uint8Array, keyBytes: number): void {
    const { table, hash } = this;
    halfSipHash(table.seed0, table.seed1, key, keyBytes, hash);
  }

  chargeMetrics(metrics: number, nowMs: number): Verdict {
    const { table, hash, metricRate } = this;
    if (metricRate === 0) return ADMITTED;
    const setIndex = table.setIndexOf(hash[0]!);
    const set = table.set(setIndex);
    const lockWord = table.lockWord(setIndex);
    if (!lock(table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(metricRate);
    const { f64 } = table;
    // Search again: another client may have got the slot between the two charges.
    let way = table.find(set, hash[0]!, hash[1]!);
    if (way < 0) way = this.insert(setIndex, set, nowMs);
    const record = table.record(setIndex, way);
    const now = tokenTime(nowMs, metricRate);
    const fullAt = Math.max(f64[record + METRICS_FULL_AT_F64]!, now);
    const tokens = this.metricBurst - (fullAt - now);
    const admitted = tokens >= metrics;
    f64[record + (admitted ? ALLOWED_METRICS_F64 : REFUSED_METRICS_F64)]! += metrics;
    if (admitted) f64[record + METRICS_FULL_AT_F64] = fullAt + metrics;
    unlock(table.i32, lockWord);
    return this.charged(admitted, tokens, metrics, metricRate);
  }

  private charged(admitted: boolean, tokens: number, asked: number, rate: number): Verdict {
    this.tokensLeft = admitted ? tokens - asked : tokens;
    this.tokensAsked = asked;
    this.tokensPerSecond = rate;
    return admitted ? ADMITTED : LIMITED;
  }

  private unlimited(): Verdict {
    this.tokensLeft = Number.POSITIVE_INFINITY;
    this.tokensAsked = 0;
    return ADMITTED;
  }

  private busy(rate: number): Verdict {
    this.tokensLeft = 0;
    this.tokensAsked = 0;
    this.tokensPerSecond = rate;
    return BUSY;
  }

  /** The way to charge for a client that the set does not hold. Needs the set's lock. */
  private insert(setIndex: number, set: number, nowMs: number): number {
    const { table } = this;
    let way = table.claimUnusedWay(set);
    if (way < 0) {
      way = this.idleWay(setIndex, set, nowMs);
      if (way < 0) return this.overflow(set);
      table.f64[set + EVICTIONS_F64]! += 1;
    }
    table.assign(setIndex, set, way, this.hash[0]!, this.hash[1]!);
    return way;
  }

  /** The way of the client whose buckets have been full for longest, or -1 if none are full. */
  private idleWay(setIndex: number, set: number, nowMs: number): number {
    const { table } = this;
    let idle = -1;
    let idleSinceMs = nowMs;
    for (let way = 0; way < table.ways; way++) {
      const fullAtMs = this.fullAtMs(setIndex, set, way);
      if (fullAtMs >= idleSinceMs) continue;
      idle = way;
      idleSinceMs = fullAtMs;
    }
    return idle;
  }

  private fullAtMs(setIndex: number, set: number, way: number): number {
    const { table, requestRate, metricRate } = this;
    const requests = requestRate === 0 ? 0 : table.f64[table.slot(set, way) + FULL_AT_F64]! / requestRate;
    const metrics =
      metricRate === 0 ? 0 : table.f64[table.record(setIndex, way) + METRICS_FULL_AT_F64]! / metricRate;
    return Math.max(requests, metrics) * 1e3;
  }

  /** The overflow bucket's way. Its slot counts the charges. */
  private overflow(set: number): number {
    const { f64, ways } = this.table;
    if (this.requestRate === 0) f64[this.table.slot(set, ways) + REQUESTS_F64]! += 1;
    return ways;
  }
}

/** `nowMs` on the clock that counts tokens. This order of operations keeps whole numbers of tokens whole. */
function tokenTime(nowMs: number, rate: number): number {
  return (nowMs * rate) / 1e3;
}

/** Opens a table with any number of locks, for one thread. All threads pass the same configuration. */
export const openBucketLimiter = ((memory: SharedArrayBuffer, config: LimiterConfig): Limiter =>
  new BucketLimiter(memory, config)) satisfies OpenLimiter;
