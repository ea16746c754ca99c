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
  ALLOWED_REQUESTS_F64,
  EVICTIONS_F64,
  LimiterTable,
  METRIC_TOKENS_F64,
  OVERFLOWED_F64,
  REFILLED_MS_F64,
  REFUSED_METRICS_F64,
  REFUSED_REQUESTS_F64,
  REQUEST_TOKENS_F64,
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
    halfSipHash(this.table.seed0, this.table.seed1, key, keyBytes, this.hash);
    if (this.requestsPerMs === 0) return this.unlimited();
    const set = this.table.setOf(this.hash[0]!);
    const lockWord = this.table.lockWord(set);
    if (!lock(this.table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(this.requestsPerMs);
    const f64 = this.table.f64;
    const slot = this.refilledSlot(set, nowMs);
    const tokens = f64[slot + REQUEST_TOKENS_F64]!;
    const admitted = tokens >= 1;
    if (admitted) {
      f64[slot + REQUEST_TOKENS_F64] = tokens - 1;
      f64[slot + ALLOWED_REQUESTS_F64]! += 1;
    } else {
      f64[slot + REFUSED_REQUESTS_F64]! += 1;
    }
    unlock(this.table.i32, lockWord);
    this.tokensLeft = admitted ? tokens - 1 : tokens;
    this.tokensAsked = 1;
    this.tokensPerMs = this.requestsPerMs;
    return admitted ? ADMITTED : LIMITED;
  }

  takeMetrics(metrics: number, nowMs: number): Verdict {
    if (this.metricsPerMs === 0) return ADMITTED;
    const set = this.table.setOf(this.hash[0]!);
    const lockWord = this.table.lockWord(set);
    if (!lock(this.table.i32, lockWord, LOCK_BOUND_MS)) return this.busy(this.metricsPerMs);
    const f64 = this.table.f64;
    // Found anew: between the two charges the slot may have been given to another client.
    const slot = this.refilledSlot(set, nowMs);
    const tokens = f64[slot + METRIC_TOKENS_F64]!;
    const admitted = tokens >= metrics;
    if (admitted) {
      f64[slot + METRIC_TOKENS_F64] = tokens - metrics;
      f64[slot + ALLOWED_METRICS_F64]! += metrics;
    } else {
      f64[slot + REFUSED_METRICS_F64]! += metrics;
    }
    unlock(this.table.i32, lockWord);
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

  /** The slot to charge, its buckets refilled up to `nowMs`. Needs the set's lock. */
  private refilledSlot(set: number, nowMs: number): number {
    const slot = this.table.find(set, this.hash[0]!, this.hash[1]!);
    return slot < 0 ? this.insert(set, nowMs) : this.refill(slot, nowMs);
  }

  private refill(slot: number, nowMs: number): number {
    const f64 = this.table.f64;
    const elapsedMs = nowMs - f64[slot + REFILLED_MS_F64]!;
    if (elapsedMs <= 0) return slot;
    f64[slot + REFILLED_MS_F64] = nowMs;
    f64[slot + REQUEST_TOKENS_F64] = this.requestTokens(slot, elapsedMs);
    f64[slot + METRIC_TOKENS_F64] = this.metricTokens(slot, elapsedMs);
    return slot;
  }

  private requestTokens(slot: number, elapsedMs: number): number {
    const tokens = this.table.f64[slot + REQUEST_TOKENS_F64]! + elapsedMs * this.requestsPerMs;
    return Math.min(tokens, this.requestBurst);
  }

  private metricTokens(slot: number, elapsedMs: number): number {
    const tokens = this.table.f64[slot + METRIC_TOKENS_F64]! + elapsedMs * this.metricsPerMs;
    return Math.min(tokens, this.metricBurst);
  }

  private insert(set: number, nowMs: number): number {
    const { table } = this;
    let way = table.takeUnusedWay(set);
    if (way < 0) way = this.idleWay(set, nowMs);
    if (way < 0) return this.overflow(set, nowMs);
    const slot = table.assign(set, way, this.hash[0]!, this.hash[1]!);
    return this.fill(slot, nowMs);
  }

  private fill(slot: number, nowMs: number): number {
    const f64 = this.table.f64;
    f64[slot + REQUEST_TOKENS_F64] = this.requestBurst;
    f64[slot + METRIC_TOKENS_F64] = this.metricBurst;
    f64[slot + REFILLED_MS_F64] = nowMs;
    return slot;
  }

  /** The way of the longest idle client whose buckets are full by now, or -1. */
  private idleWay(set: number, nowMs: number): number {
    const { f64, ways } = this.table;
    let idle = -1;
    let idleSinceMs = nowMs;
    for (let way = 0; way < ways; way++) {
      const slot = this.table.slot(set, way);
      const refilledMs = f64[slot + REFILLED_MS_F64]!;
      if (refilledMs >= idleSinceMs || !this.isFull(slot, nowMs - refilledMs)) continue;
      idle = way;
      idleSinceMs = refilledMs;
    }
    if (idle >= 0) f64[set + EVICTIONS_F64]! += 1;
    return idle;
  }

  private isFull(slot: number, elapsedMs: number): boolean {
    const requestsFull = this.requestsPerMs === 0 || this.requestTokens(slot, elapsedMs) >= this.requestBurst;
    const metricsFull = this.metricsPerMs === 0 || this.metricTokens(slot, elapsedMs) >= this.metricBurst;
    return requestsFull && metricsFull;
  }

  private overflow(set: number, nowMs: number): number {
    const { f64 } = this.table;
    const slot = this.table.overflowSlot(set);
    const counter = set + OVERFLOWED_F64;
    // The first use finds zeroed memory; it starts with full buckets, as any client does.
    const firstUse = f64[counter] === 0;
    f64[counter]! += 1;
    return firstUse ? this.fill(slot, nowMs) : this.refill(slot, nowMs);
  }
}

/** Opens the table for one thread; the configuration is the same in all threads. */
export const openLimiter = ((memory: SharedArrayBuffer, config: LimiterConfig): Limiter =>
  new StripedLockLimiter(memory, config)) satisfies OpenLimiter;
