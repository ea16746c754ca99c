/**
 * Histograms that one thread writes with plain stores and main reads at scrape time.
 *
 * One SharedArrayBuffer per thread holds all of that thread's histograms, one after the other:
 *
 * ```
 *  Float64 slot   0     SUM      sum of the recorded values
 *                 1     bucket   values 0 and 1
 *                 2     bucket   value 2
 *                 3..76 buckets  half octaves: (2^k, 1.5·2^k] and (1.5·2^k, 2^(k+1)], k = 1 to 37
 *                 77    bucket   values above 2^38
 *                 78-79 unused   (pads one histogram to ten cache lines)
 * ```
 * Bounds grow by 1.33 and 1.5 in turn, so a quantile is exact to 25%, and every power of two is a bound. Values are
 * non-negative integers: nanoseconds for durations (2^38 ns is 275 s), else bytes, lines, metrics. The count is not
 * stored: it is the sum of the buckets, so `count` and `+Inf` always agree.
 *
 * No atomics: each slot has one writer, an aligned 8-byte store is not torn, and a scrape may lag by a few events.
 */
import { LINE_BYTES } from '../base/shared-memory.ts';
import { slotIndex } from './counters.ts';

const SUM_F64 = 0;
const BUCKETS_F64 = 1;
/** The largest finite bound is 2^OCTAVES. */
const OCTAVES = 38;
const OVERFLOW_BUCKET = 2 * OCTAVES;
const HISTOGRAM_BYTES = 10 * LINE_BYTES;
const HISTOGRAM_F64 = HISTOGRAM_BYTES / Float64Array.BYTES_PER_ELEMENT;

/** Histograms of an ingest worker. */
export const WORKER_HISTOGRAM_NAMES = ['body_bytes', 'batch_metrics'] as const;
/** Histograms of the writer thread. `write_ns` times one group write, `sync_ns` one fdatasync. */
export const WRITER_HISTOGRAM_NAMES = ['write_ns', 'sync_ns', 'commit_bytes', 'commit_lines'] as const;

export const WORKER_HISTOGRAMS = slotIndex(WORKER_HISTOGRAM_NAMES);
export const WRITER_HISTOGRAMS = slotIndex(WRITER_HISTOGRAM_NAMES);

/** Zeroed histograms, one for each of `names`. */
export function createHistogramBlock(names: readonly string[]): SharedArrayBuffer {
  return new SharedArrayBuffer(names.length * HISTOGRAM_BYTES);
}

/**
 * Index of the bucket that holds `value`, by the position of its highest bit and the bit below it.
 * Using `value - 1` makes upper bounds inclusive, as Prometheus requires.
 */
function bucketOf(value: number): number {
  let below = value - 1;
  if (below <= 0) return 0;
  let octaves = 0;
  if (below > 0x7fffffff) {
    // Beyond 31 bits: drop 16 bits, which keeps the two leading ones.
    below /= 0x10000;
    octaves = 32;
    if (below > 0x7fffffff) return OVERFLOW_BUCKET;
  }
  const exponent = 31 - Math.clz32(below);
  const upperHalf = (((below << 1) | 1) >>> exponent) & 1;
  const bucket = octaves + 2 * exponent + upperHalf;
  return Math.min(bucket, OVERFLOW_BUCKET);
}

/** The writing side: one instance per thread and block. */
export class Histograms {
  private readonly slots: Float64Array;

  constructor(memory: SharedArrayBuffer, names: readonly string[]) {
    this.slots = new Float64Array(memory, 0, names.length * HISTOGRAM_F64);
  }

  /** @param index of the histogram in `names`  @param value a non-negative integer below 2^53 */
  record(index: number, value: number): void {
    const slots = this.slots;
    const base = index * HISTOGRAM_F64;
    slots[base + SUM_F64]! += value;
    slots[base + BUCKETS_F64 + bucketOf(value)]! += 1;
  }
}

/** Inclusive upper bounds of the buckets, ascending; the last is Infinity. */
export const UPPER_BOUNDS: readonly number[] = Array.from({ length: OVERFLOW_BUCKET + 1 }, (_, bucket) => {
  if (bucket === 0) return 1;
  if (bucket === OVERFLOW_BUCKET) return Number.POSITIVE_INFINITY;
  const octave = 2 ** (bucket >> 1);
  return (bucket & 1) === 0 ? 1.5 * octave : 2 * octave;
});

export interface HistogramReading {
  /** Values at most `UPPER_BOUNDS[k]`, at index k. */
  readonly cumulative: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export function readHistogram(
  memory: SharedArrayBuffer,
  names: readonly string[],
  index: number,
): HistogramReading {
  const slots = new Float64Array(memory, 0, names.length * HISTOGRAM_F64);
  const base = index * HISTOGRAM_F64;
  let count = 0;
  const cumulative = UPPER_BOUNDS.map((_, bucket) => {
    count += slots[base + BUCKETS_F64 + bucket]!;
    return count;
  });
  return { cumulative, sum: slots[base + SUM_F64]!, count };
}

/** Sums the histograms of several threads. */
export function mergeHistograms(readings: readonly HistogramReading[]): HistogramReading {
  const cumulative = UPPER_BOUNDS.map(() => 0);
  let sum = 0;
  let count = 0;
  for (const reading of readings) {
    for (let bucket = 0; bucket < cumulative.length; bucket++) {
      cumulative[bucket]! += reading.cumulative[bucket]!;
    }
    sum += reading.sum;
    count += reading.count;
  }
  return { cumulative, sum, count };
}

/**
 * The value below which a fraction `q` of the recorded values lies, interpolated within its bucket like Prometheus'
 * `histogram_quantile`; 0 for an empty histogram.
 */
export function quantile(reading: HistogramReading, q: number): number {
  if (reading.count === 0) return 0;
  const rank = q * reading.count;
  const bucket = reading.cumulative.findIndex((count) => count >= rank && count > 0);
  const lower = bucket === 0 ? 0 : UPPER_BOUNDS[bucket - 1]!;
  const upper = UPPER_BOUNDS[bucket]!;
  if (upper === Number.POSITIVE_INFINITY) return lower;
  const before = bucket === 0 ? 0 : reading.cumulative[bucket - 1]!;
  const within = (rank - before) / (reading.cumulative[bucket]! - before);
  return lower + (upper - lower) * Math.max(0, within);
}
