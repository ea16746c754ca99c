/**
 * Latencies in HDR histograms (Gil Tene's HdrHistogram: constant relative error, here three significant digits, in
 * microseconds up to an hour). The WebAssembly variant records in a quarter of the time of the JavaScript one.
 */
import {
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  initWebAssembly,
  WasmHistogram,
} from 'hdr-histogram-js';
import type { Latency, LatencySummary } from './plan.ts';

await initWebAssembly();

const HIGHEST_US = 3_600_000_000;
const US_PER_MS = 1e3;
const COUNTER_BITS = 32;
/** Points of the curve for each halving of what is left to 100%, as HdrHistogram's own plots have it. */
const TICKS_PER_HALF = 5;

/** Its memory is WebAssembly's: `destroy` gives it back. */
export class LatencyHistogram {
  private readonly histogram = WasmHistogram.build({
    bitBucketSize: COUNTER_BITS,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 3,
  });

  get count(): number {
    return this.histogram.totalCount;
  }

  record(ms: number): void {
    const us = Math.round(ms * US_PER_MS);
    this.histogram.recordValue(us < 0 ? 0 : us > HIGHEST_US ? HIGHEST_US : us);
  }

  /** The argument of `add`, also in another thread. */
  encode(): Uint8Array {
    return this.histogram.encode();
  }

  add(encoded: Uint8Array): void {
    const other = WasmHistogram.decode(encoded, COUNTER_BITS) as WasmHistogram;
    this.histogram.add(other);
    other.destroy();
  }

  reset(): void {
    this.histogram.reset();
  }

  destroy(): void {
    this.histogram.destroy();
  }

  percentileMs(percentile: number): number {
    return this.count === 0 ? 0 : this.histogram.getValueAtPercentile(percentile) / US_PER_MS;
  }

  summary(): LatencySummary {
    return {
      count: this.count,
      meanMs: this.count === 0 ? 0 : this.histogram.mean / US_PER_MS,
      p50Ms: this.percentileMs(50),
      p90Ms: this.percentileMs(90),
      p99Ms: this.percentileMs(99),
      p999Ms: this.percentileMs(99.9),
      maxMs: this.percentileMs(100),
    };
  }

  report(): Latency {
    return {
      ...this.summary(),
      distribution: this.distribution(),
      hdr: encodeIntoCompressedBase64(this.histogram),
    };
  }

  /** Ever finer towards 100%, until one request makes the difference. */
  private distribution(): [number, number][] {
    const points: [number, number][] = [];
    if (this.count === 0) return points;
    for (let tick = 0; ; tick++) {
      const left = 2 ** (-tick / TICKS_PER_HALF);
      const percentile = 100 * (1 - left);
      points.push([percentile, this.percentileMs(percentile)]);
      if (left * this.count < 1) break;
    }
    points.push([100, this.percentileMs(100)]);
    return points;
  }
}

/**
 * Percentiles of a histogram (`Latency.hdr`) after the correction that wrk applies to a closed loop: a value above
 * twice the expected interval stands for requests that should have been sent meanwhile, too (HdrHistogram's
 * `copyCorrectedForCoordinatedOmission`).
 */
export function correctedPercentilesMs(
  hdr: string,
  expectedIntervalMs: number,
  percentiles: readonly number[],
): number[] {
  const histogram = decodeFromCompressedBase64(hdr, COUNTER_BITS, false);
  const corrected = histogram.copyCorrectedForCoordinatedOmission(Math.round(expectedIntervalMs * US_PER_MS));
  return percentiles.map((percentile) => corrected.getValueAtPercentile(percentile) / US_PER_MS);
}
