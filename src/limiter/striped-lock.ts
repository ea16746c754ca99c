/**
 * The limiter with a lock for each set of its table: threads that charge different clients rarely contend.
 *
 * Source: lock striping, B. Goetz et al., "Java Concurrency in Practice" (2006), 11.4.3: the hash that finds a client
 * also selects its lock.
 */
import { openBucketLimiter } from './bucket-limiter.ts';
import { readTableCensus } from './census.ts';
import type { LimiterConfig, LimiterGeometry, LimiterModule } from './limiter.ts';
import { createTable, geometryFor } from './table.ts';

export const createLimiterMemory = ((
  config: LimiterConfig,
  geometry: LimiterGeometry = geometryFor(config),
): SharedArrayBuffer =>
  //> 4.5 as many locks as sets
  //: createTable(config, geometry, 1)) satisfies LimiterModule['createLimiterMemory'];
  createTable(config, geometry, geometry.sets)) satisfies LimiterModule['createLimiterMemory'];
//<

/** The memory states the number of locks, so threads cannot disagree about it. */
export const openLimiter = openBucketLimiter satisfies LimiterModule['openLimiter'];

export const readCensus = readTableCensus satisfies LimiterModule['readCensus'];
