/**
 * Token buckets behind locks: the limiter whose decisions are exact across threads. How many locks there are is the
 * table's matter (see table.ts): one in global-lock.ts, one for each set in striped-lock.ts.
 *
 * A client's key is hashed, the hash names a set, and under that set's lock the client is found or inserted and its
 * bucket refilled and charged. Buckets hold fractional tokens, refilled by the time since the last charge and never
 * above the burst, so over any time t a client gets at most rate · t + burst.
 *
 * A bucket is one number: the moment at which it will be full again, on a clock that counts tokens (milliseconds ×
 * rate). At a time `now` on that clock `max(fullAt - now, 0)` tokens are missing; taking n moves fullAt on by n from
 * where it is, or from now when it has passed. That is the token bucket as virtual scheduling (ITU-T I.371, GCRA): refill
 * needs no writing, a zero is a full bucket, and adding whole tokens does not pile up rounding errors as adding
 * fractions at each refill would.
 *
 * Full policy. When a client is new and its set is full, the longest idle client of the set whose buckets have
 * refilled completely makes room: it would be given full buckets again, so forgetting it changes nothing (its counts
 * are lost, its limit is not). When all clients of the set are active, the newcomer shares the set's overflow bucket,
 * of the same rate and burst, with others in that place. An active client is never reset, and nobody passes unlimited.
 *
 * Time. A `nowMs` earlier than another thread's (which read its clock a moment before) finds more tokens missing, and
 * moves nothing back: clocks that differ mint no tokens.
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

/** How long a charge waits for a lock before it answers BUSY. */
const LOCK_BOUND_MS = 1;

class BucketLimiter implements Limiter {
  private readonly table: LimiterTable;
  private readonly hash = new Int32Array(2);
  private readonly requestRate: number;
  private readonly requestBurst: number;
  private readonly metricRate: number;
  private readonly metricBurst: number;
  /** Of the last charge: tokens left, tokens it asked for, and how many come back in a second. */
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

  takeRequest(key: Uint8Array, keyBytes: number, nowMs: number): Verdict {
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

  takeMetrics(metrics: number, nowMs: number): Verdict {
    const { table, hash, metricRate } = this;
    if (metricRate === 0) return ADMITTED;
    const setIndex = table.setIndexOf(hash[0]!);
    const set = table.set(setIndex);
    const lockWord = table.lockWord(setIndex);
    if (!lock(table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(metricRate);
    const { f64 } = table;
    // Found anew: between the two charges the slot may have been given to another client.
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
    let way = table.takeUnusedWay(set);
    if (way < 0) {
      way = this.idleWay(setIndex, set, nowMs);
      if (way < 0) return this.overflow(set);
      table.f64[set + EVICTIONS_F64]! += 1;
    }
    table.assign(setIndex, set, way, this.hash[0]!, this.hash[1]!);
    return way;
  }

  /** The way of the client whose buckets have been full for longest, or -1 when none has full ones. */
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

  /** The overflow bucket's way; its slot counts what is charged there. */
  private overflow(set: number): number {
    const { f64, ways } = this.table;
    if (this.requestRate === 0) f64[this.table.slot(set, ways) + REQUESTS_F64]! += 1;
    return ways;
  }
}

/** `nowMs` on the clock that counts tokens; in this order a whole number of tokens comes out whole. */
function tokenTime(nowMs: number, rate: number): number {
  return (nowMs * rate) / 1e3;
}

/** Opens a table with however many locks for one thread; the configuration is the same in all threads. */
export const openBucketLimiter = ((memory: SharedArrayBuffer, config: LimiterConfig): Limiter =>
  new BucketLimiter(memory, config)) satisfies OpenLimiter;
