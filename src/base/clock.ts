// The global `performance` is a getter that runs at each call; the import is a constant.
import { performance } from 'node:perf_hooks';
import { MS_PER_SECOND, NS_PER_MS } from './units.ts';

/**
 * Monotonic time in milliseconds with sub-microsecond resolution, on one scale for every thread.
 *
 * `performance.now()` counts from each thread's own start, so readings of two threads are not comparable. It and
 * `process.hrtime()` both read CLOCK_MONOTONIC, so their difference is constant and measured once.
 */
function monotonicOffsetMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * MS_PER_SECOND + nanoseconds / NS_PER_MS - performance.now();
}

/** Measurements of the offset. Preemption between the two clocks makes one too small, never too large: use the maximum. */
const OFFSET_READINGS = 20;

const offsetMs = Math.max(...Array.from({ length: OFFSET_READINGS }, monotonicOffsetMs));

export function monotonicMs(): number {
  return performance.now() + offsetMs;
}
