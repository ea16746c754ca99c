/**
 * Token buckets behind striped locks: the limiter whose decisions are exact across threads.
 *
 * A client's key is hashed, the hash names a stripe, and under that stripe's lock the client is found or inserted and
 * its bucket refilled and charged. Buckets hold fractional tokens, refilled by the time since the last charge and
 * never above the burst, so over any time t a client gets at most rate · t + burst.
 *
 * Full policy. When a client is new and its set is full, the longest idle client of the set whose buckets have
 * refilled completely makes room: it would be given full buckets again, so forgetting it changes nothing (its counts
 * are lost, its limit is not). When all clients of the set are active, the newcomer shares the set's overflow bucket,
 * of the same rate and burst, with others in that place. An active client is never reset, and nobody passes unlimited.
 *
 * Time. Each slot keeps the latest time it has seen; an earlier `nowMs` (another thread read its clock a moment
 * before) refills nothing and moves nothing back.
 */
import { lock, unlock } from './futex-lock.ts';
import {
  ADMITTED,
  BUSY,
  LIMITED,
  type Limiter,
  type LimiterConfig,
  type OpenLimiter,
  type Verdict,
} from './limiter.ts';
import { halfSipHash } from './siphash.ts';
import {
  ALLOWED_METRICS_F64,
  EVICTIONS_F64,
  LimiterTable,
  METRIC_TOKENS_F64,
  METRICS_REFILLED_MS_F64,
  OVERFLOWED_F64,
  REFILLED_MS_F64,
  REFUSED_F64,
  REFUSED_METRICS_F64,
  REQUESTS_F64,
  TOKENS_F64,
} from './table.ts';

// A limiter brings its memory layout along, as every implementation of the interface does.
export { createLimiterMemory } from './table.ts';

/** How long a charge waits for a lock before it answers BUSY. */
const LOCK_BOUND_MS = 1;

class StripedLockLimiter implements Limiter {
  private readonly table: LimiterTable;
  private readonly hash = new Int32Array(2);
  private readonly requestsPerMs: number;
  private readonly requestBurst: number;
  private readonly metricsPerMs: number;
  private readonly metricBurst: number;
  /** Of the last charge: tokens left, tokens it asked for, and how fast they come back. */
  private tokensLeft = 0;
  private tokensAsked = 0;
  private tokensPerMs = 1;

  constructor(memory: SharedArrayBuffer, config: LimiterConfig) {
    this.table = new LimiterTable(memory);
    this.requestsPerMs = config.requestRate / 1e3;
    this.requestBurst = config.requestBurst;
    this.metricsPerMs = config.metricRate / 1e3;
    this.metricBurst = config.metricBurst;
  }

  get clientHash(): number {
    return this.hash[1]!;
  }

  get remaining(): number {
    return Math.floor(this.tokensLeft);
  }

  get retryAfterSeconds(): number {
    const waitMs = (this.tokensAsked - this.tokensLeft) / this.tokensPerMs;
    return Math.max(1, Math.ceil(waitMs / 1e3));
  }

  takeRequest(key: Uint8Array, keyBytes: number, nowMs: number): Verdict {
    const { table, hash } = this;
    halfSipHash(table.seed0, table.seed1, key, keyBytes, hash);
    if (this.requestsPerMs === 0) return this.unlimited();
    const stripe = table.stripeOf(hash[0]!);
    const set = table.set(stripe);
    const lockWord = table.lockWord(set);
    if (!lock(table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(this.requestsPerMs);
    const { f64 } = table;
    let way = table.find(set, hash[0]!, hash[1]!);
    if (way < 0) way = this.insert(stripe, set, nowMs);
    const slot = table.slot(set, way);
    const tokens = this.requestTokens(slot, nowMs);
    const admitted = tokens >= 1;
    f64[slot + TOKENS_F64] = admitted ? tokens - 1 : tokens;
    if (nowMs > f64[slot + REFILLED_MS_F64]!) f64[slot + REFILLED_MS_F64] = nowMs;
    f64[slot + REQUESTS_F64]! += 1;
    if (!admitted) f64[table.record(stripe, way) + REFUSED_F64]! += 1;
    unlock(table.i32, lockWord);
    this.tokensLeft = admitted ? tokens - 1 : tokens;
    this.tokensAsked = 1;
    this.tokensPerMs = this.requestsPerMs;
    return admitted ? ADMITTED : LIMITED;
  }

  takeMetrics(metrics: number, nowMs: number): Verdict {
    if (this.metricsPerMs === 0) return ADMITTED;
    const { table, hash } = this;
    const stripe = table.stripeOf(hash[0]!);
    const set = table.set(stripe);
    const lockWord = table.lockWord(set);
    if (!lock(table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(this.metricsPerMs);
    const { f64 } = table;
    // Found anew: between the two charges the slot may have been given to another client.
    let way = table.find(set, hash[0]!, hash[1]!);
    if (way < 0) way = this.insert(stripe, set, nowMs);
    const record = table.record(stripe, way);
    const tokens = this.metricTokens(record, nowMs);
    const admitted = tokens >= metrics;
    f64[record + METRIC_TOKENS_F64] = admitted ? tokens - metrics : tokens;
    if (nowMs > f64[record + METRICS_REFILLED_MS_F64]!) f64[record + METRICS_REFILLED_MS_F64] = nowMs;
    f64[record + (admitted ? ALLOWED_METRICS_F64 : REFUSED_METRICS_F64)]! += metrics;
    unlock(table.i32, lockWord);
    this.tokensLeft = admitted ? tokens - metrics : tokens;
    this.tokensAsked = metrics;
    this.tokensPerMs = this.metricsPerMs;
    return admitted ? ADMITTED : LIMITED;
  }

  private unlimited(): Verdict {
    this.tokensLeft = Number.POSITIVE_INFINITY;
    this.tokensAsked = 0;
    return ADMITTED;
  }

  private busy(tokensPerMs: number): Verdict {
    this.tokensLeft = 0;
    this.tokensAsked = 0;
    this.tokensPerMs = tokensPerMs;
    return BUSY;
  }

  /** Request tokens of a slot by `nowMs`; a time before the last refill adds nothing. */
  private requestTokens(slot: number, nowMs: number): number {
    const { f64 } = this.table;
    const elapsedMs = Math.max(nowMs - f64[slot + REFILLED_MS_F64]!, 0);
    return Math.min(f64[slot + TOKENS_F64]! + elapsedMs * this.requestsPerMs, this.requestBurst);
  }

  private metricTokens(record: number, nowMs: number): number {
    const { f64 } = this.table;
    const elapsedMs = Math.max(nowMs - f64[record + METRICS_REFILLED_MS_F64]!, 0);
    return Math.min(f64[record + METRIC_TOKENS_F64]! + elapsedMs * this.metricsPerMs, this.metricBurst);
  }

  /** The way to charge for a client that the set does not hold. Needs the set's lock. */
  private insert(stripe: number, set: number, nowMs: number): number {
    const { table } = this;
    let way = table.takeUnusedWay(set);
    if (way < 0) {
      way = this.idleWay(stripe, set, nowMs);
      if (way < 0) return this.overflow(stripe, set, nowMs);
      table.clearRecord(table.record(stripe, way));
      table.f64[set + EVICTIONS_F64]! += 1;
    }
    table.assign(table.slot(set, way), this.hash[0]!, this.hash[1]!);
    this.fill(stripe, set, way, nowMs);
    return way;
  }

  private fill(stripe: number, set: number, way: number, nowMs: number): void {
    const { table } = this;
    const { f64 } = table;
    const slot = table.slot(set, way);
    f64[slot + TOKENS_F64] = this.requestBurst;
    f64[slot + REFILLED_MS_F64] = nowMs;
    if (this.metricsPerMs === 0) return;
    const record = table.record(stripe, way);
    f64[record + METRIC_TOKENS_F64] = this.metricBurst;
    f64[record + METRICS_REFILLED_MS_F64] = nowMs;
  }

  /** The way of the longest idle client whose buckets are full by now, or -1. */
  private idleWay(stripe: number, set: number, nowMs: number): number {
    const { table } = this;
    let idle = -1;
    let idleSinceMs = nowMs;
    for (let way = 0; way < table.ways; way++) {
      const lastMs = this.lastChargedMs(stripe, set, way);
      if (lastMs >= idleSinceMs || !this.isFull(stripe, set, way, nowMs)) continue;
      idle = way;
      idleSinceMs = lastMs;
    }
    return idle;
  }

  private lastChargedMs(stripe: number, set: number, way: number): number {
    const { table } = this;
    const requestsMs = table.f64[table.slot(set, way) + REFILLED_MS_F64]!;
    if (this.metricsPerMs === 0) return requestsMs;
    return Math.max(requestsMs, table.f64[table.record(stripe, way) + METRICS_REFILLED_MS_F64]!);
  }

  private isFull(stripe: number, set: number, way: number, nowMs: number): boolean {
    const { table } = this;
    const requestsFull =
      this.requestsPerMs === 0 || this.requestTokens(table.slot(set, way), nowMs) >= this.requestBurst;
    const metricsFull =
      this.metricsPerMs === 0 || this.metricTokens(table.record(stripe, way), nowMs) >= this.metricBurst;
    return requestsFull && metricsFull;
  }

  /** The overflow bucket's way. */
  private overflow(stripe: number, set: number, nowMs: number): number {
    const { f64, ways } = this.table;
    // The first use finds zeroed memory; it starts with full buckets, as any client does.
    if (f64[set + OVERFLOWED_F64] === 0) this.fill(stripe, set, ways, nowMs);
    f64[set + OVERFLOWED_F64]! += 1;
    return ways;
  }
}

/** Opens the table for one thread; the configuration is the same in all threads. */
export const openLimiter = ((memory: SharedArrayBuffer, config: LimiterConfig): Limiter =>
  new StripedLockLimiter(memory, config)) satisfies OpenLimiter;
