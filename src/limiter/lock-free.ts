/**
 * The limiter without locks: threads that charge, find, insert or evict a client never wait for each other.
 *
 * One table of buckets for requests and, if metrics are limited, another one for metrics (lock-free-table.ts). With one
 * word per bucket and one bucket per slot, a single compare-and-swap decides each charge. A client may leave one table
 * and stay in the other: it leaves a table only while its bucket there is full.
 */
import { halfSipHash } from '../base/siphash.ts';
import { ADMITTED, type Limiter, type LimiterConfig, type LimiterModule, type Verdict } from './limiter.ts';
import { readLockFreeCensus } from './lock-free-census.ts';
import { createLockFreeMemory, layoutOf } from './lock-free-memory.ts';
import { LockFreeTable } from './lock-free-table.ts';
import { TokenClock } from './token-clock.ts';

class LockFreeLimiter implements Limiter {
  private readonly requests: LockFreeTable | null;
  private readonly metrics: LockFreeTable | null;
  private readonly seed0: number;
  private readonly seed1: number;
  private readonly hash = new Int32Array(2);
  private readonly requestRate: number;
  private readonly metricRate: number;
  /** Of the last charge: tokens left, tokens requested, and tokens refilled per second. */
  private tokensLeft = 0;
  private tokensAsked = 0;
  private tokensPerSecond = 1;

  constructor(memory: SharedArrayBuffer, config: LimiterConfig) {
    const { seed0, seed1, geometry, requestsOffset, metricsOffset } = layoutOf(memory);
    this.seed0 = seed0;
    this.seed1 = seed1;
    this.requestRate = config.requestRate;
    this.metricRate = config.metricRate;
    const open = (offset: number, rate: number, burst: number) =>
      offset === 0 ? null : new LockFreeTable(memory, offset, geometry, new TokenClock(rate, burst));
    this.requests = open(requestsOffset, config.requestRate, config.requestBurst);
    this.metrics = open(metricsOffset, config.metricRate, config.metricBurst);
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
    const { hash, requests } = this;
    halfSipHash(this.seed0, this.seed1, key, keyBytes, hash);
    // Two zeros mark a slot of nobody.
    if (hash[0] === 0 && hash[1] === 0) hash[1] = 1;
    if (requests === null) {
      this.tokensLeft = Number.POSITIVE_INFINITY;
      this.tokensAsked = 0;
      return ADMITTED;
    }
    return this.charge(requests, 1, this.requestRate, nowMs);
  }

  chargeMetrics(metrics: number, nowMs: number): Verdict {
    if (this.metrics === null) return ADMITTED;
    return this.charge(this.metrics, metrics, this.metricRate, nowMs);
  }

  private charge(table: LockFreeTable, tokens: number, rate: number, nowMs: number): Verdict {
    const verdict = table.charge(this.hash[0]!, this.hash[1]!, tokens, nowMs);
    this.tokensLeft = table.tokensLeft;
    this.tokensAsked = tokens;
    this.tokensPerSecond = rate;
    return verdict;
  }
}

export const createLimiterMemory = createLockFreeMemory satisfies LimiterModule['createLimiterMemory'];

export const openLimiter = ((memory, config) =>
  new LockFreeLimiter(memory, config)) satisfies LimiterModule['openLimiter'];

export const readCensus = readLockFreeCensus satisfies LimiterModule['readCensus'];
