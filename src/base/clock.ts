// The global of this name is looked up and checked at each call; the import is a constant.
import { performance } from 'node:perf_hooks';
import { MS_PER_SECOND, NS_PER_MS } from './units.ts';

/**
 * Monotonic time in milliseconds with sub-microsecond resolution, on one scale for every thread.
 *
 * `performance.now()` counts from each thread's own start, so readings from two threads cannot be compared.
 * Both it and `process.hrtime()` read CLOCK_MONOTONIC, so their difference is constant and taken once.
 */
function monotonicOffsetMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * MS_PER_SECOND + nanoseconds / NS_PER_MS - performance.now();
}

/** Readings of the offset; a thread preempted between the two clocks reads it too small, never too large. */
const OFFSET_READINGS = 20;

const offsetMs = Math.max(...Array.from({ length: OFFSET_READINGS }, monotonicOffsetMs));

export function monotonicMs(): number {
  return performance.now() + offsetMs;
}
