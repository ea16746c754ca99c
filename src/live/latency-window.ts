/** Latencies of the last seconds: the difference of two readings of a histogram that only grows. */
import { NS_PER_MS } from '../base/units.ts';
import { type HistogramReading, quantile } from '../telemetry/histogram.ts';
import type { Latency } from './messages.ts';

/** Readings are one second apart, so percentiles cover this many seconds. */
export const WINDOW_SECONDS = 5;
const NONE: Latency = { count: 0, p50: null, p90: null, p99: null };

/** The values recorded between two readings of one histogram. */
function difference(later: HistogramReading, earlier: HistogramReading): HistogramReading {
  return {
    cumulative: later.cumulative.map((count, bucket) => count - earlier.cumulative[bucket]!),
    sum: later.sum - earlier.sum,
    count: later.count - earlier.count,
  };
}

export class LatencyWindow {
  private readonly read: () => HistogramReading;
  /** Oldest first. */
  private readonly readings: HistogramReading[];

  constructor(read: () => HistogramReading) {
    this.read = read;
    this.readings = [read()];
  }

  /** Call it once a second. */
  advance(): Latency {
    const { readings } = this;
    const now = this.read();
    const from = readings[0]!;
    readings.push(now);
    if (readings.length > WINDOW_SECONDS) readings.shift();
    if (now.count === from.count) return NONE;
    const recorded = difference(now, from);
    const percentile = (q: number): number => Number((quantile(recorded, q) / NS_PER_MS).toPrecision(3));
    return { count: recorded.count, p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99) };
  }
}
