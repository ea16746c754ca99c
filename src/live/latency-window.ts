/** Latencies of the last seconds, from a histogram that only ever grows: what was recorded between two readings of it. */
import { NS_PER_MS } from '../base/units.ts';
import { type HistogramReading, quantile } from '../telemetry/histogram.ts';

/** Readings are a second apart: percentiles are those of this many seconds. */
export const WINDOW_SECONDS = 5;
export interface Latency {
  readonly count: number;
  /** Milliseconds; null where nothing was measured. */
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
}

const NONE: Latency = { count: 0, p50: null, p90: null, p99: null };

/** What `later` has on top of `earlier`, a reading of the same histogram. */
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

  /** To be called once a second. */
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
