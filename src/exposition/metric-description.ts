/** The description of a metric of our own, and helpers that build descriptions. */
import { type HistogramReading, UPPER_BOUNDS } from '../telemetry/histogram.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly value: number;
  readonly labels?: Labels;
}

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface ScalarMetric extends Described {
  readonly type: 'counter' | 'gauge';
  read(): readonly Sample[];
}

export interface HistogramMetric extends Described {
  readonly type: 'histogram';
  /** Recorded units in one base unit. A divisor, because 1 / 1e9 is not an exact factor. */
  readonly divisor: number;
  /** Indexes of the UPPER_BOUNDS to expose; `+Inf` always is. */
  readonly buckets: readonly number[];
  read(): readonly { readonly reading: HistogramReading; readonly labels?: Labels }[];
}

export type MetricDescription = ScalarMetric | HistogramMetric;

const PREFIX = 'metricsstream_';

/** Every `step`-th power of two from 2^first to 2^last, as indexes of UPPER_BOUNDS. */
function powersOfTwo(first: number, last: number, step = 1): number[] {
  const exponents = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, k) => first + k * step);
  return exponents.map((exponent) => UPPER_BOUNDS.indexOf(2 ** exponent));
}

/** 256 ns to 8.6 s. */
export const DURATIONS = powersOfTwo(8, 33);
/** 64 B to 64 MiB. */
export const SIZES = powersOfTwo(6, 26, 2);
/** 1 to 131,072. */
export const COUNTS = powersOfTwo(0, 17);

export function scalar(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: () => number | readonly Sample[],
  labels: readonly string[] = [],
): ScalarMetric {
  const samples = (): readonly Sample[] => {
    const value = read();
    return typeof value === 'number' ? [{ value }] : value;
  };
  return { type, name: PREFIX + name, help, labels, read: samples };
}

export function histogram(
  name: string,
  help: string,
  divisor: number,
  buckets: readonly number[],
  read: HistogramMetric['read'],
  labels: readonly string[] = [],
): HistogramMetric {
  return { type: 'histogram', name: PREFIX + name, help, divisor, buckets, read, labels };
}
