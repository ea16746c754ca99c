/**
 * The memory of the lock-free limiter.
 *
 * ```
 *  line 0   SEED, SEED      Int32 each  key of the hash
 *           SETS, WAYS      Int32 each  shape of both tables
 *           REQUESTS        Int32       byte offset of the table of requests, 0: requests are not limited
 *           METRICS         Int32       byte offset of the table of metrics, 0: metrics are not limited
 *           rates           4 × Float64 request rate and burst, metric rate and burst
 *  then     the tables, see lock-free-table.ts, each in whole lines
 * ```
 * The header is written once, before any thread starts.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../base/errors.ts';
import { LINE_BYTES } from '../base/shared-memory.ts';
import { SETS, waysFor } from './geometry.ts';
import type { LimiterConfig, LimiterGeometry } from './limiter.ts';
import { tableBytes, WAYS_MAX } from './lock-free-layout.ts';

const I32 = Int32Array.BYTES_PER_ELEMENT;
const F64 = Float64Array.BYTES_PER_ELEMENT;
/** With more clients than these, which need 16 ways, the table gets more sets instead of more ways. */
const CLIENTS_PER_SETS = 65_536;

/** Int32 words of the header. */
const SEED0 = 0;
const SEED1 = 1;
const SETS_WORD = 2;
const WAYS_WORD = 3;
const REQUESTS = 4;
const METRICS = 5;
/** Float64 words of the header. */
const REQUEST_RATE_F64 = 3;
const METRIC_RATE_F64 = 5;

/** A table of buckets with one rate and burst. */
export interface TableLayout {
  /** Bytes from the start of the memory. */
  readonly offset: number;
  readonly rate: number;
  readonly burst: number;
}

interface LockFreeLayout {
  readonly seed0: number;
  readonly seed1: number;
  readonly geometry: LimiterGeometry;
  /** null: not limited. */
  readonly requests: TableLayout | null;
  readonly metrics: TableLayout | null;
}

function geometryFor({ clients }: LimiterConfig): LimiterGeometry {
  const sets = Math.max(SETS, Math.ceil((clients / CLIENTS_PER_SETS) * SETS));
  return { sets, ways: waysFor(clients, sets) };
}

/** Memory without clients, with a new random seed. */
export function createLockFreeMemory(
  config: LimiterConfig,
  geometry: LimiterGeometry = geometryFor(config),
): SharedArrayBuffer {
  const { requestRate, requestBurst, metricRate, metricBurst } = config;
  assert(requestRate === 0 || requestBurst >= 1, 'request burst is at least 1');
  assert(metricRate === 0 || metricBurst >= 1, 'metric burst is at least 1');
  assert(geometry.ways >= 1 && geometry.ways <= WAYS_MAX, 'a set has 1 to 63 ways');
  const bytes = tableBytes(geometry);
  const requestsEnd = LINE_BYTES + (requestRate === 0 ? 0 : bytes);
  const end = requestsEnd + (metricRate === 0 ? 0 : bytes);
  assert(end < 2 ** 31, 'limiter clients fit in 2 GiB');
  const memory = new SharedArrayBuffer(end);
  const header = new Int32Array(memory, 0, LINE_BYTES / I32);
  const seed = randomBytes(2 * I32);
  header[SEED0] = seed.readInt32LE(0);
  header[SEED1] = seed.readInt32LE(I32);
  header[SETS_WORD] = geometry.sets;
  header[WAYS_WORD] = geometry.ways;
  header[REQUESTS] = requestRate === 0 ? 0 : LINE_BYTES;
  header[METRICS] = metricRate === 0 ? 0 : requestsEnd;
  const rates = new Float64Array(memory, 0, LINE_BYTES / F64);
  rates.set([requestRate, requestBurst], REQUEST_RATE_F64);
  rates.set([metricRate, metricBurst], METRIC_RATE_F64);
  return memory;
}

export function layoutOf(memory: SharedArrayBuffer): LockFreeLayout {
  const header = new Int32Array(memory, 0, LINE_BYTES / I32);
  const rates = new Float64Array(memory, 0, LINE_BYTES / F64);
  const table = (offset: number, at: number): TableLayout | null =>
    offset === 0 ? null : { offset, rate: rates[at]!, burst: rates[at + 1]! };
  return {
    seed0: header[SEED0]!,
    seed1: header[SEED1]!,
    geometry: { sets: header[SETS_WORD]!, ways: header[WAYS_WORD]! },
    requests: table(header[REQUESTS]!, REQUEST_RATE_F64),
    metrics: table(header[METRICS]!, METRIC_RATE_F64),
  };
}
