/** Resident memory of the server while it is overloaded, and whether it stays what it is. */
import type { ServerUnderLoad } from './server-under-load.ts';

const SAMPLE_MS = 250;
const SETTLED_SECONDS = 20;
/** Of a load too short for that. */
const SETTLED_PART = 1 / 3;
/** Collections make it go up and down by some MiB; what grows with the load would be gigabytes in a minute. */
const SLOPE_MAX_BYTES_PER_MINUTE = 4 * 2 ** 20;
const RANGE_MAX_BYTES = 16 * 2 ** 20;

export interface MemorySample {
  readonly seconds: number;
  readonly bytes: number;
}

export function watchMemory(server: Pick<ServerUnderLoad, 'residentBytes'>): {
  samples: MemorySample[];
  end(): void;
} {
  const samples: MemorySample[] = [];
  const beganMs = performance.now();
  const sample = (): void => {
    samples.push({ seconds: (performance.now() - beganMs) / 1e3, bytes: server.residentBytes() });
  };
  sample();
  const timer = setInterval(sample, SAMPLE_MS);
  return { samples, end: () => clearInterval(timer) };
}

export interface Flatness {
  readonly fromSeconds: number;
  /** By least squares. */
  readonly slopeBytesPerMinute: number;
  /** Between the least and the most. */
  readonly rangeBytes: number;
  readonly isFlat: boolean;
}

/** Of the samples after the first 20 seconds. */
export function flatness(samples: readonly MemorySample[]): Flatness {
  const length = samples.at(-1)?.seconds ?? 0;
  const fromSeconds = length > 2 * SETTLED_SECONDS ? SETTLED_SECONDS : Math.round(length * SETTLED_PART);
  const settled = samples.filter(({ seconds }) => seconds >= fromSeconds);
  const mean = (pick: (sample: MemorySample) => number): number =>
    settled.reduce((sum, sample) => sum + pick(sample), 0) / settled.length;
  const meanSeconds = mean(({ seconds }) => seconds);
  const meanBytes = mean(({ bytes }) => bytes);
  const covariance = mean(({ seconds, bytes }) => (seconds - meanSeconds) * (bytes - meanBytes));
  const variance = mean(({ seconds }) => (seconds - meanSeconds) ** 2);
  const slopeBytesPerMinute = (covariance / variance) * 60;
  const all = settled.map(({ bytes }) => bytes);
  const rangeBytes = Math.max(...all) - Math.min(...all);
  const isFlat = slopeBytesPerMinute <= SLOPE_MAX_BYTES_PER_MINUTE && rangeBytes <= RANGE_MAX_BYTES;
  return { fromSeconds, slopeBytesPerMinute, rangeBytes, isFlat };
}
