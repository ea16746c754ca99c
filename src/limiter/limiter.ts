/**
 * The rate limiter's interface: a token bucket per client for requests and, if configured, one for metrics.
 *
 * State is in one SharedArrayBuffer that all workers open, so limits hold across workers. Call `chargeRequest` first: it
 * identifies the client. `chargeMetrics` charges the same client. The getters describe the last call.
 */

export interface LimiterConfig {
  /** Requests per second for each client; 0 turns the request limit off. */
  readonly requestRate: number;
  readonly requestBurst: number;
  /** Metrics per second for each client; 0 turns the metric limit off. */
  readonly metricRate: number;
  readonly metricBurst: number;
  /** Clients that the table must hold at once. */
  readonly clients: number;
}

/** The shape of a table: a client is in one of the ways of the set that its hash selects. */
export interface LimiterGeometry {
  readonly sets: number;
  readonly ways: number;
}

export const ADMITTED = 0;
/** Over the client's limit: 429. */
export const LIMITED = 1;
/** The charge did not succeed within its bound (a held lock, or lost races): 503. */
export const BUSY = 2;
export type Verdict = typeof ADMITTED | typeof LIMITED | typeof BUSY;

export interface Limiter {
  /** @param key `key[0, keyBytes)` identifies the client  @param nowMs monotonic, one scale for all threads */
  chargeRequest(key: Uint8Array, keyBytes: number, nowMs: number): Verdict;
  /** Selects the client for `chargeMetrics` without charging a request, which was charged before. */
  identify(key: Uint8Array, keyBytes: number): void;
  /** Charges `metrics` to the client of the last `chargeRequest` or `identify`, all or nothing. */
  chargeMetrics(metrics: number, nowMs: number): Verdict;
  /** First 32 bits (as Int32) of the last client's keyed hash: its name in telemetry and logs. */
  readonly clientHash: number;
  /** Whole tokens left in the bucket last charged, for the RateLimit header; Infinity if requests are not limited. */
  readonly remaining: number;
  /** Seconds (whole, at least 1) until the refused charge could pass. */
  readonly retryAfterSeconds: number;
}

/** Opens memory that `createLimiterMemory` created, for one thread. */
export type OpenLimiter = (memory: SharedArrayBuffer, config: LimiterConfig) => Limiter;

/**
 * Counts over the whole table.
 * @param busiest number of clients to list: those with the most requests, or metrics if only these are limited
 * @param rank `refused`: rank by refusals only, and list no client without one
 */
export type ReadCensus = (
  memory: SharedArrayBuffer,
  busiest: number,
  rank?: 'all' | 'refused',
) => LimiterCensus;

/** The exports of each implementation. */
export interface LimiterModule {
  /** The memory that all threads share, with no clients. Created once, before the threads start. */
  readonly createLimiterMemory: (config: LimiterConfig) => SharedArrayBuffer;
  readonly openLimiter: OpenLimiter;
  readonly readCensus: ReadCensus;
}

export interface ClientUsage {
  /** 16 hexadecimal digits of the keyed hash. */
  readonly client: string;
  readonly allowedRequests: number;
  readonly refusedRequests: number;
  readonly allowedMetrics: number;
  readonly refusedMetrics: number;
}

/** Main's reading at scrape time, without any lock. */
export interface LimiterCensus {
  readonly occupied: number;
  readonly capacity: number;
  readonly evictions: number;
  readonly overflowed: number;
  readonly busiest: readonly ClientUsage[];
}
