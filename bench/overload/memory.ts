/** Whether the resident memory of the overloaded server stays what it is. */
import type { MemorySample } from '../../load-test/memory-watch.ts';
import { mean } from '../statistics.ts';

const SETTLED_SECONDS = 20;
/** Of a load too short for that. */
const SETTLED_PART = 1 / 3;
/**
 * V8 collects a thread's old objects once in a minute or two under this load, and until then its heap grows by some MiB.
 * Memory that grew with the load would reach hundreds of MiB: some gigabytes of bodies pass in that time.
 */
const GROWTH_MAX_BYTES = 10 * 2 ** 20;
const RANGE_MAX_BYTES = 16 * 2 ** 20;

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
  const length = samples.at(-1)?.atSeconds ?? 0;
  const fromSeconds = length > 2 * SETTLED_SECONDS ? SETTLED_SECONDS : Math.round(length * SETTLED_PART);
  const settled = samples.filter(({ atSeconds }) => atSeconds >= fromSeconds).map(({ bytes }) => bytes);
  const quarter = Math.ceil(settled.length / 4);
  const growthBytes = mean(settled.slice(-quarter)) - mean(settled.slice(0, quarter));
  const rangeBytes = Math.max(...settled) - Math.min(...settled);
  const isFlat = growthBytes <= GROWTH_MAX_BYTES && rangeBytes <= RANGE_MAX_BYTES;
  return { fromSeconds, growthBytes, rangeBytes, isFlat };
}
