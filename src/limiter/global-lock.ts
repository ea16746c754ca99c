/**
 * The limiter with one lock around its whole table: a charge waits for every other, whoever the clients are.
 *
 * The plain way to share state between threads, right by inspection, and no slower than many locks while one thread
 * charges. See docs/phases/4-striped-limiter.md for what several threads make of it.
 */
import { openBucketLimiter } from './bucket-limiter.ts';
import type { LimiterConfig, LimiterModule } from './limiter.ts';
import { createTable, geometryFor, type LimiterGeometry } from './table.ts';

export const createLimiterMemory = ((
  config: LimiterConfig,
  geometry: LimiterGeometry = geometryFor(config),
): SharedArrayBuffer => createTable(config, geometry, 1)) satisfies LimiterModule['createLimiterMemory'];

/** How many locks there are stands in the memory, so that threads cannot disagree about it. */
export const openLimiter = openBucketLimiter satisfies LimiterModule['openLimiter'];
