/**
 * The rate limiter's face: a token bucket per client for requests and, if asked for, one for metrics.
 *
 * State lives in one SharedArrayBuffer that all workers open, so limits hold across workers. `takeRequest` names
 * the client and is called first; `takeMetrics` charges the same client. The getters describe the last call.
 */

export interface LimiterConfig {
  /** Requests per second for each client; 0 turns the request limit off. */
  readonly requestRate: number;
  readonly requestBurst: number;
  /** Metrics per second for each client; 0 turns the metric limit off. */
  readonly metricRate: number;
  readonly metricBurst: number;
  /** Clients remembered at once. */
  readonly clients: number;
}

export const ADMITTED = 0;
/** Over the client's limit: 429. */
export const LIMITED = 1;
/** The client's lock was held for longer than the bounded wait: 503. */
export const BUSY = 2;
export type Verdict = typeof ADMITTED | typeof LIMITED | typeof BUSY;

export interface Limiter {
  /** @param key `key[0, keyBytes)` identifies the client  @param nowMs monotonic, one scale for all threads */
  takeRequest(key: Uint8Array, keyBytes: number, nowMs: number): Verdict;
  /** Charges `metrics` to the client of the last `takeRequest`, all or nothing. */
  takeMetrics(metrics: number, nowMs: number): Verdict;
  /** First 32 bits (as Int32) of the last client's keyed hash: what telemetry and logs call it. */
  readonly clientHash: number;
  /** Whole tokens left in the bucket last charged, for the RateLimit header; Infinity where requests are not limited. */
  readonly remaining: number;
  /** Seconds (whole, at least 1) until the refused charge could pass. */
  readonly retryAfterSeconds: number;
}

/** Opens a table made by `createLimiterMemory`, for one thread. */
export type OpenLimiter = (memory: SharedArrayBuffer, config: LimiterConfig) => Limiter;

/** What each implementation exports. */
export interface LimiterModule {
  /** The memory that all threads share, empty; made once, before they start. */
  readonly createLimiterMemory: (config: LimiterConfig) => SharedArrayBuffer;
  readonly openLimiter: OpenLimiter;
}

export interface ClientUsage {
  /** 16 hexadecimal digits of the keyed hash. */
  readonly client: string;
  readonly allowedRequests: number;
  readonly refusedRequests: number;
  readonly allowedMetrics: number;
  readonly refusedMetrics: number;
}

/** What main reads at scrape time, without taking any lock. */
export interface LimiterCensus {
  readonly occupied: number;
  readonly capacity: number;
  readonly evictions: number;
  readonly overflowed: number;
  readonly busiest: readonly ClientUsage[];
}
