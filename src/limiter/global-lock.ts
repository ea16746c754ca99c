/**
 * The limiter with one lock around its whole table: each charge waits for every other, whoever the clients are.
 *
 * The plain way to share state between threads: correct by inspection, and with a single charging thread as fast as many
 * locks. docs/phases/4-striped-limiter.md shows its cost with several threads.
 */
import { openBucketLimiter } from './bucket-limiter.ts';
import { readTableCensus } from './census.ts';
import type { LimiterConfig, LimiterGeometry, LimiterModule } from './limiter.ts';
import { createTable, geometryFor } from './table.ts';

export const createLimiterMemory = ((
  config: LimiterConfig,
  geometry: LimiterGeometry = geometryFor(config),
): SharedArrayBuffer => createTable(config, geometry, 1)) satisfies LimiterModule['createLimiterMemory'];

/** The memory states the number of locks, so threads cannot disagree about it. */
export const openLimiter = openBucketLimiter satisfies LimiterModule['openLimiter'];

export const readCensus = readTableCensus satisfies LimiterModule['readCensus'];
