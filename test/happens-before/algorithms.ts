import type { Algorithm } from './algorithm.ts';
import { bellAlgorithm } from './algorithms/bell.ts';
import { breakerAlgorithm } from './algorithms/breaker.ts';
import { controlBlock } from './algorithms/control.ts';
import { countersAndHistograms } from './algorithms/counters.ts';
import { eventRing } from './algorithms/event-ring.ts';
import { futexLockAlgorithm } from './algorithms/futex-lock.ts';
import { journalRing } from './algorithms/journal-ring.ts';
import { keyTable } from './algorithms/key-table.ts';
import { lockFreeLimiter } from './algorithms/lock-free-limiter.ts';
import { globalLimiter, stripedLimiter } from './algorithms/locked-limiters.ts';
import { lockedMetrics } from './algorithms/locked-metrics.ts';
import { synchronousWriter } from './algorithms/synchronous-writer.ts';
import { writeAheadLane } from './algorithms/write-ahead-lane.ts';

/** In the order of the table in docs/memory-ordering.md. */
export const algorithms = [
  futexLockAlgorithm,
  globalLimiter,
  stripedLimiter,
  lockFreeLimiter,
  keyTable,
  eventRing,
  lockedMetrics,
  countersAndHistograms,
  journalRing,
  synchronousWriter,
  writeAheadLane,
  breakerAlgorithm,
  bellAlgorithm,
  controlBlock,
] as unknown as readonly Algorithm<never>[];
