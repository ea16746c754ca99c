/** Resident memory of the server while it is overloaded, and whether it stays what it is. */
import { mean } from '../statistics.ts';
import type { ServerUnderLoad } from './server-under-load.ts';

const SAMPLE_MS = 250;
const SETTLED_SECONDS = 20;
/** Of a load too short for that. */
const SETTLED_PART = 1 / 3;
/**
 * V8 collects a thread's old objects once in a minute or two under this load, and until then its heap grows by some MiB.
 * Memory that grew with the load would reach hundreds of MiB: some gigabytes of bodies pass in that time.
 */
const GROWTH_MAX_BYTES = 10 * 2 ** 20;
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
  /** From the mean of the first quarter to that of the last. */
  readonly growthBytes: number;
  /** Between the least and the most. */
  readonly rangeBytes: number;
  readonly isFlat: boolean;
}

/** Of the samples after the first 20 seconds. */
export function flatness(samples: readonly MemorySample[]): Flatness {
  const length = samples.at(-1)?.seconds ?? 0;
  const fromSeconds = length > 2 * SETTLED_SECONDS ? SETTLED_SECONDS : Math.round(length * SETTLED_PART);
  const settled = samples.filter(({ seconds }) => seconds >= fromSeconds).map(({ bytes }) => bytes);
  const quarter = Math.ceil(settled.length / 4);
  const growthBytes = mean(settled.slice(-quarter)) - mean(settled.slice(0, quarter));
  const rangeBytes = Math.max(...settled) - Math.min(...settled);
  const isFlat = growthBytes <= GROWTH_MAX_BYTES && rangeBytes <= RANGE_MAX_BYTES;
  return { fromSeconds, growthBytes, rangeBytes, isFlat };
}
