/** Plan, progress and result of a load run: plain data, JSON throughout. */

import os from 'node:os';
import { MetricsStreamError } from '../src/base/errors.ts';
import type { QueueLatency } from './queue-latency.ts';

/** Every client has one request under way at most and waits for its answer. */
interface ClosedLoad {
  readonly kind: 'closed';
  /** Requests each client sends; without it the load ends after `durationMs`. */
  readonly requestsPerClient?: number;
  /**
   * Between the intended send times of one client, the clients spread evenly over it. 0: each request is intended
   * for the moment the answer before it arrived.
   */
  readonly intervalMs: number;
  readonly durationMs?: number;
}

/** Requests are due at a constant rate over all clients, whatever the server does. */
interface OpenLoad {
  readonly kind: 'open';
  readonly ratePerSecond: number;
  readonly durationMs: number;
}

export interface LoadPlan {
  readonly host: string;
  readonly port: number;
  /** Connections. */
  readonly clients: number;
  /** Metrics a request. */
  readonly batch: number;
  readonly load: ClosedLoad | OpenLoad;
  /** False: a connection for each request, its handshake within the latency. */
  readonly keepAlive: boolean;
  /** From the moment a request is sent until its answer is complete. */
  readonly timeoutMs: number;
  /** Requests that are due when the load ends may still be sent for this long. */
  readonly graceMs: number;
  /** How often a request without an answer, or with one that may be repeated, is sent again with its key. 0: no keys. */
  readonly retries: number;
  readonly threads: number | 'auto';
  /** Of the metrics' names, values and hosts; their ids are new in each run. */
  readonly seed: number;
  /** Load of the same kind before the measured one; its requests count in the check only. */
  readonly warmUpMs: number;
  /** Further header fields; `{client}` in a value becomes the client's number, from 0. */
  readonly headers: Readonly<Record<string, string>>;
  /** The server's data directory, where it can be read: for the check by files and the storage latency. */
  readonly dataDir?: string;
  /** URLs of GET /metrics of `export` and `consume`, for the queue latency. */
  readonly queueMetrics?: readonly string[];
  /** With `dataDir`: whether a sample of requests is looked for in the files while the load runs. */
  readonly watchStorage: boolean;
  /** How long the check waits for what was accepted to appear in the files. */
  readonly storedWithinMs: number;
}

export const PLAN_DEFAULTS = {
  host: '127.0.0.1',
  port: 8080,
  clients: 10,
  batch: 1,
  load: { kind: 'closed', requestsPerClient: 100, intervalMs: 100 },
  keepAlive: true,
  timeoutMs: 10_000,
  graceMs: 1_000,
  retries: 0,
  threads: 'auto',
  seed: 1,
  warmUpMs: 0,
  headers: {},
  watchStorage: true,
  storedWithinMs: 10_000,
} as const satisfies LoadPlan;

const BATCH_MAX = 100_000;
const CLIENTS_MAX = 50_000;
const RATE_MAX = 5_000_000;
const THREADS_MAX = 32;
const RETRIES_MAX = 100;
const DURATION_MAX_MS = 7 * 86_400_000;
/** Most requests per second that one thread sends on time on a slow machine. */
const RATE_PER_THREAD = 25_000;
const CLIENTS_PER_THREAD = 2_000;

function requireNumber(name: string, value: number, min: number, max: number, whole = true): void {
  if (value >= min && value <= max && (!whole || Number.isInteger(value))) return;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `${name} ${value}: give ${whole ? 'a whole number' : 'a number'} from ${min} to ${max}`,
  );
}

/**
 * Completes a plan by the defaults.
 * @throws MetricsStreamError `CONFIG_INVALID` that names the value and what is allowed
 */
export function createPlan(given: Partial<LoadPlan>): LoadPlan {
  const plan: LoadPlan = { ...PLAN_DEFAULTS, ...given };
  const { load } = plan;
  requireNumber('port', plan.port, 1, 65_535);
  requireNumber('clients', plan.clients, 1, CLIENTS_MAX);
  requireNumber('batch', plan.batch, 1, BATCH_MAX);
  requireNumber('timeout', plan.timeoutMs, 1, DURATION_MAX_MS, false);
  requireNumber('grace', plan.graceMs, 0, DURATION_MAX_MS, false);
  requireNumber('retries', plan.retries, 0, RETRIES_MAX);
  requireNumber('seed', plan.seed, 0, 2 ** 32 - 1);
  requireNumber('warm-up', plan.warmUpMs, 0, DURATION_MAX_MS, false);
  if (plan.threads !== 'auto') requireNumber('threads', plan.threads, 1, THREADS_MAX);
  if (load.durationMs !== undefined) requireNumber('duration', load.durationMs, 1, DURATION_MAX_MS, false);
  if (load.kind === 'open') {
    requireNumber('rate', load.ratePerSecond, 0.001, RATE_MAX, false);
  } else {
    requireNumber('interval', load.intervalMs, 0, DURATION_MAX_MS, false);
    if (load.requestsPerClient !== undefined) requireNumber('requests', load.requestsPerClient, 1, 1e9);
    else if (load.durationMs === undefined) {
      throw new MetricsStreamError('CONFIG_INVALID', 'give requests for each client, a duration, or both');
    }
  }
  for (const [name, value] of Object.entries(plan.headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[^\t\x20-\x7e]/.test(value)) {
      throw new MetricsStreamError('CONFIG_INVALID', `header ${name}: not a header field`);
    }
  }
  return plan;
}

/** How many generator threads the plan gets: one, unless it asks for more or the machine has cores to spare. */
export function threadsOf(plan: LoadPlan): number {
  if (plan.threads !== 'auto') return Math.min(plan.threads, plan.clients);
  const cores = os.availableParallelism();
  if (cores <= 2) return 1;
  const byRate = plan.load.kind === 'open' ? plan.load.ratePerSecond / RATE_PER_THREAD : 1;
  const wanted = Math.ceil(Math.max(byRate, plan.clients / CLIENTS_PER_THREAD));
  return Math.min(wanted, Math.floor(cores / 2), plan.clients);
}

/** Requests of the measured load; undefined where only the answers' pace decides. */
export function intendedRequests({ load, clients }: LoadPlan): number | undefined {
  if (load.kind === 'open') return Math.ceil((load.durationMs / 1e3) * load.ratePerSecond);
  const { requestsPerClient, intervalMs, durationMs } = load;
  if (requestsPerClient !== undefined) return clients * requestsPerClient;
  if (intervalMs > 0 && durationMs !== undefined) return Math.ceil((durationMs / intervalMs) * clients);
  return undefined;
}

/** How a request ended: the status of its answer, or what came instead of an answer. */
export type Outcome = `${number}` | 'timeout' | 'reset' | 'connect' | 'malformed';

export const FAILURE_TEXTS: Readonly<Record<string, string>> = {
  timeout: 'no whole answer in time',
  reset: 'connection closed or reset before a whole answer',
  connect: 'no connection',
  malformed: 'answer that is no HTTP/1.1',
};

export type OutcomeCounts = Readonly<Partial<Record<Outcome, number>>>;

export const isSuccess = (outcome: string): boolean => /^2\d\d$/.test(outcome);

/** Nobody can say whether such a request was stored. */
export const isUnknown = (outcome: string): boolean =>
  outcome === 'timeout' || outcome === 'reset' || outcome === 'malformed' || outcome === '504';

export const countOf = (outcomes: OutcomeCounts, wanted: (outcome: string) => boolean): number =>
  Object.entries(outcomes).reduce((sum, [outcome, count]) => sum + (wanted(outcome) ? (count ?? 0) : 0), 0);

export interface LatencySummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export interface Latency extends LatencySummary {
  /** Percentile and the latency that so many stay within, in milliseconds: the curve of an HDR plot. */
  readonly distribution: readonly (readonly [percentile: number, ms: number])[];
  /** The whole histogram, in microseconds, as HdrHistogram's tools exchange it (V2, compressed, base64). */
  readonly hdr: string;
}

/** One second of the measured load. */
export interface Slice {
  /** End of the slice, seconds after the start of the measured load. */
  readonly atSeconds: number;
  readonly seconds: number;
  readonly sent: number;
  readonly outcomes: OutcomeCounts;
  readonly acceptedMetrics: number;
  /** Of 2xx answers, from the intended send time. */
  readonly latency: LatencySummary;
  readonly lateSends: number;
  /** At the end of the slice. */
  readonly inFlight: number;
  /** Requests that were due and had no connection free. */
  readonly waiting: number;
}

export interface Progress {
  readonly elapsedSeconds: number;
  readonly warmingUp: boolean;
  readonly intended?: number;
  readonly sent: number;
  /** Requests sent a second, in the last slice. */
  readonly ratePerSecond: number;
  readonly inFlight: number;
  readonly waiting: number;
  /** So far. */
  readonly p99Ms: number;
  readonly outcomes: OutcomeCounts;
}

export interface LateSends {
  /** Sends more than 1 ms after their intended time: their share of all, and how many. */
  readonly share: number;
  readonly count: number;
  /** Those that waited because every connection they might use was busy: the server's doing. */
  readonly waitedForConnection: number;
  /** Those that had a free connection: the generator's doing. */
  readonly byGenerator: number;
  readonly worstMs: number;
}

export interface Generator {
  readonly threads: number;
  /** Share of the wall time the busiest thread was not waiting for work. */
  readonly busyShare: number;
  /** Delay from intended time to send where a connection was free. */
  readonly delayP99Ms: number;
  readonly delayMaxMs: number;
  /** The figures describe the generator more than the server. */
  readonly isBottleneck: boolean;
}

export interface StorageLatency {
  readonly latency: Latency;
  /** Requests looked for, those found, and those given up because the files grew faster than they may be read. */
  readonly sampled: number;
  readonly found: number;
  readonly skipped: number;
  /** Time between two looks at the files, which is added to a latency at the worst. */
  readonly resolutionP50Ms: number;
  readonly resolutionP99Ms: number;
}

export interface StoredCheck {
  /** How: by reading the files, by the server's own counters, or not at all. */
  readonly kind: 'files' | 'counters' | 'none';
  readonly ok: boolean;
  /** Metrics accepted by the answers, warm-up included. */
  readonly accepted: number;
  /** Metrics stored; undefined where nothing can tell. */
  readonly stored?: number;
  /** Metrics of requests whose fate no answer told; they may be stored. */
  readonly unknown: number;
  /** By files only: metrics accepted and not stored, stored though refused, stored twice. */
  readonly missing?: number;
  readonly refusedButStored?: number;
  readonly duplicated?: number;
  /** In words, for people. */
  readonly detail: string;
}

export interface LoadResult {
  readonly plan: LoadPlan;
  /** Every metric's tag `id` starts with it. */
  readonly runId: string;
  readonly startedAt: string;
  /** Ended early by the caller. */
  readonly interrupted: boolean;
  /** Length of the measured load, from its first intended send time until sending ended. */
  readonly seconds: number;
  /** Requests that were due in this time, sent or not. */
  readonly intended: number;
  readonly sent: number;
  /** Due, but never sent; and how long the first of these had been waiting when the load ended. */
  readonly unsent: number;
  readonly unsentOldestWaitMs: number;
  readonly outcomes: OutcomeCounts;
  /** Answers with a status of 2xx. */
  readonly succeeded: number;
  readonly acceptedMetrics: number;
  /** Answers with 429 or 503 that lack Retry-After. */
  readonly withoutRetryAfter: number;
  /** With `plan.retries`: sends beyond the first one of a request, and answers that repeat an earlier one. */
  readonly retries: number;
  readonly replays: number;
  /** Answers, of whatever status, a second. */
  readonly requestsPerSecond: number;
  readonly acceptedMetricsPerSecond: number;
  /** From the intended send time to the end of a 2xx answer. */
  readonly apiLatency: Latency;
  /** From the actual send to the end of a 2xx answer: what a measurement with coordinated omission would show. */
  readonly serviceTime: Latency;
  /** From the intended send time to the end of any other answer. */
  readonly refusalLatency: Latency;
  readonly storageLatency?: StorageLatency;
  /** Of the processes behind the log that the plan names. */
  readonly queueLatencies?: readonly QueueLatency[];
  readonly lateSends: LateSends;
  readonly generator: Generator;
  readonly timeline: readonly Slice[];
  readonly check: StoredCheck;
  readonly warnings: readonly string[];
}
