/**
 * The limiter without locks: threads that charge, find, insert or evict a client never wait for each other.
 *
 * One table of buckets for requests and, if metrics are limited, another one for metrics (lock-free-table.ts). With one
 * word per bucket and one bucket per slot, a single compare-and-swap decides each charge. A client may leave one table
 * and stay in the other: it leaves a table only while its bucket there is full.
 */
import { HashMemo } from './hash-memo.ts';
import { ADMITTED, type Limiter, type LimiterModule, type Verdict } from './limiter.ts';
import { readLockFreeCensus } from './lock-free-census.ts';
import { createLockFreeMemory, layoutOf, type TableLayout } from './lock-free-memory.ts';
import { LockFreeTable } from './lock-free-table.ts';
import { TokenClock } from './token-clock.ts';

class LockFreeLimiter implements Limiter {
  private readonly requests: LockFreeTable | null;
  private readonly metrics: LockFreeTable | null;
  private readonly hash: HashMemo;
  private readonly requestRate: number;
  private readonly metricRate: number;
  /** The table last charged, and the tokens requested; null: requests are not limited. */
  private charged: LockFreeTable | null = null;
  private tokensAsked = 0;

  constructor(memory: SharedArrayBuffer) {
    const { seed0, seed1, geometry, requests, metrics } = layoutOf(memory);
    this.hash = new HashMemo(seed0, seed1);
    const open = (table: TableLayout | null) =>
      table && new LockFreeTable(memory, table.offset, geometry, new TokenClock(table.rate, table.burst));
    this.requests = open(requests);
    this.metrics = open(metrics);
    this.requestRate = requests?.rate ?? 0;
    this.metricRate = metrics?.rate ?? 0;
  }

  get clientHash(): number {
    return this.hash.high;
  }

  get remaining(): number {
    return this.charged === null ? Number.POSITIVE_INFINITY : Math.floor(this.charged.tokensLeft);
  }

  get retryAfterSeconds(): number {
    if (this.charged === null) return 1;
    const rate = this.charged === this.requests ? this.requestRate : this.metricRate;
    return Math.max(1, Math.ceil((this.tokensAsked - this.charged.tokensLeft) / rate));
  }

  chargeRequest(key: Uint8Array, keyBytes: number, nowMs: number): Verdict {
    const { hash, requests } = this;
    hash.identify(key, keyBytes);
    this.charged = requests;
    this.tokensAsked = 1;
    return requests === null ? ADMITTED : requests.charge(hash.low, hash.high, 1, nowMs);
  }

  identify(key: Uint8Array, keyBytes: number): void {
    this.hash.identify(key, keyBytes);
  }

  chargeMetrics(metrics: number, nowMs: number): Verdict {
    const { hash, metrics: table } = this;
    if (table === null) return ADMITTED;
    this.charged = table;
    this.tokensAsked = metrics;
    return table.charge(hash.low, hash.high, metrics, nowMs);
  }
}

export const createLimiterMemory = createLockFreeMemory satisfies LimiterModule['createLimiterMemory'];

export const openLimiter = ((memory) => new LockFreeLimiter(memory)) satisfies LimiterModule['openLimiter'];

export const readCensus = readLockFreeCensus satisfies LimiterModule['readCensus'];
