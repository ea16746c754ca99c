/**
 * The table of clients behind the limiters with locks: one SharedArrayBuffer, divided into sets of slots, with a lock for
 * each set, for each group of neighbouring sets, or for all.
 *
 * ```
 *  line 0                SEED, SEED, SETS, WAYS, LOCKS   Int32 each; written once, before any thread starts
 *  then for each set     in whole lines:
 *    16 bytes              LOCK       Int32    futex word, see base/futex-lock.ts; in the first LOCKS sets only
 *                          USED       Int32    ways in use: 0..USED-1
 *                          EVICTIONS  Float64  idle clients evicted for new ones
 *    WAYS slots of 24 bytes
 *                          HASH       2 × Int32  low and high word of the client's keyed hash
 *                          FULL_AT    Float64    when the request bucket is full again, see bucket-limiter.ts
 *                          REQUESTS   Float64    allowed and refused
 *    1 slot                the set's overflow bucket: the same fields, HASH unused
 *  then for each set     WAYS + 1 records of 32 bytes, fields that most requests do not touch:
 *                          REFUSED            Float64  requests
 *                          METRICS_FULL_AT    Float64  when the metric bucket is full again
 *                          ALLOWED_METRICS, REFUSED_METRICS   Float64 each
 * ```
 * Set s belongs to lock ⌊s · LOCKS / SETS⌋, and lock l is the LOCK word of set l: with as many locks as sets each set
 * has its own, with one lock it is the first set's. A thread reads and writes the rest of a set only while it holds the
 * set's lock; the census alone reads without it (census.ts). Two slots share the cache line of the set's own lock. So
 * with a lock for each set and at most as many clients as sets, nine charges in ten touch a single line. Locks are a whole
 * set apart, so no two of them share a line.
 *
 * Why sets (as in a set-associative cache) and not open addressing over the whole table: a key can only be in the set that
 * it hashes to. So one lock covers finding, inserting and evicting; two threads cannot insert a client in two places;
 * removing a client breaks no probe chain, so there are no tombstones and no rehash. The price: a set can fill before the
 * table does. WAYS is chosen so that with `clients` clients present, fewer than one in 5,000 finds its set full.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../base/errors.ts';
import { FREE } from '../base/futex-lock.ts';
import { alignUp, LINE_BYTES } from '../base/shared-memory.ts';
import { SETS, waysFor } from './geometry.ts';
import type { LimiterConfig, LimiterGeometry } from './limiter.ts';

const I32 = Int32Array.BYTES_PER_ELEMENT;
const F64 = Float64Array.BYTES_PER_ELEMENT;

/** Int32 words of the table's header line. */
const SEED0_I32 = 0;
const SEED1_I32 = 1;
const SETS_I32 = 2;
const WAYS_I32 = 3;
const LOCKS_I32 = 4;

/**
 * Sets, slots and records are identified by their first Float64 index; the Int32 word there has twice that index.
 */
const I32_PER_F64 = F64 / I32;

/** Positions in a set from its start, in elements of their view. */
const LOCK_I32 = 0;
const USED_I32 = 1;
export const EVICTIONS_F64 = 1;
const SET_HEADER_F64 = 2;

/** Positions in a slot. */
const HASH_LOW_I32 = 0;
const HASH_HIGH_I32 = 1;
export const FULL_AT_F64 = 1;
export const REQUESTS_F64 = 2;
const SLOT_F64 = 3;

/** Positions in a record. */
export const REFUSED_F64 = 0;
export const METRICS_FULL_AT_F64 = 1;
export const ALLOWED_METRICS_F64 = 2;
export const REFUSED_METRICS_F64 = 3;
const RECORD_F64 = 4;

/** Sets and ways for the clients of the configuration. */
export function geometryFor(config: LimiterConfig): LimiterGeometry {
  return { sets: SETS, ways: waysFor(config.clients, SETS) };
}

/** The memory of an empty table with a new random seed. @param locks 1 to the number of sets */
export function createTable(
  config: LimiterConfig,
  geometry: LimiterGeometry,
  locks: number,
): SharedArrayBuffer {
  assert(config.requestRate === 0 || config.requestBurst >= 1, 'request burst is at least 1');
  assert(config.metricRate === 0 || config.metricBurst >= 1, 'metric burst is at least 1');
  const { sets, ways } = geometry;
  assert(locks >= 1 && locks <= sets, 'a lock has at least one set');
  const bytes = tableBytes(sets, ways);
  assert(bytes < 2 ** 31, 'limiter clients fit in 2 GiB');
  const memory = new SharedArrayBuffer(bytes);
  const header = new Int32Array(memory, 0, LINE_BYTES / I32);
  const seed = randomBytes(2 * I32);
  header[SEED0_I32] = seed.readInt32LE(0);
  header[SEED1_I32] = seed.readInt32LE(I32);
  header[SETS_I32] = sets;
  header[WAYS_I32] = ways;
  header[LOCKS_I32] = locks;
  return memory;
}

function setF64(ways: number): number {
  return alignUp((SET_HEADER_F64 + (ways + 1) * SLOT_F64) * F64, LINE_BYTES) / F64;
}

function tableBytes(sets: number, ways: number): number {
  return LINE_BYTES + sets * (setF64(ways) + (ways + 1) * RECORD_F64) * F64;
}

/** Views of a table, and the index of each of its parts. */
export class LimiterTable {
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly seed0: number;
  readonly seed1: number;
  readonly sets: number;
  readonly ways: number;
  private readonly setsPerHash: number;
  private readonly locksPerSet: number;
  private readonly setF64: number;
  private readonly recordsStart: number;

  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.seed0 = this.i32[SEED0_I32]!;
    this.seed1 = this.i32[SEED1_I32]!;
    this.sets = this.i32[SETS_I32]!;
    this.ways = this.i32[WAYS_I32]!;
    this.setsPerHash = this.sets / 2 ** 32;
    this.locksPerSet = this.i32[LOCKS_I32]! / this.sets;
    this.setF64 = setF64(this.ways);
    this.recordsStart = this.set(this.sets);
    const bytes = tableBytes(this.sets, this.ways);
    assert(memory.byteLength === bytes, 'limiter memory has the size its header says');
  }

  /**
   * The set of a client with this low hash word: the word scaled from 0..2^32 to 0..sets (D. Lemire, "Fast
   * Random Integer Generation in an Interval", 2019). A remainder of unsigned words costs 25 ns in V8.
   */
  setIndexOf(hashLow: number): number {
    return ((hashLow >>> 0) * this.setsPerHash) | 0;
  }

  set(setIndex: number): number {
    return LINE_BYTES / F64 + setIndex * this.setF64;
  }

  /** Int32 index of the set's lock. */
  lockWord(setIndex: number): number {
    //> 4.5 the lock of the set's group
    //: return this.set(0) * I32_PER_F64 + LOCK_I32;
    return this.set((setIndex * this.locksPerSet) | 0) * I32_PER_F64 + LOCK_I32;
    //<
  }

  used(set: number): number {
    return this.i32[set * I32_PER_F64 + USED_I32]!;
  }

  slot(set: number, way: number): number {
    return set + SET_HEADER_F64 + way * SLOT_F64;
  }

  /** The record of this way's slot. */
  record(setIndex: number, way: number): number {
    return this.recordsStart + (setIndex * (this.ways + 1) + way) * RECORD_F64;
  }

  hashLow(slot: number): number {
    return this.i32[slot * I32_PER_F64 + HASH_LOW_I32]!;
  }

  hashHigh(slot: number): number {
    return this.i32[slot * I32_PER_F64 + HASH_HIGH_I32]!;
  }

  /** The client's way, or -1. Needs the set's lock. */
  find(set: number, hashLow: number, hashHigh: number): number {
    const { i32 } = this;
    const used = this.used(set);
    let hash = this.slot(set, 0) * I32_PER_F64;
    for (let way = 0; way < used; way++) {
      if (i32[hash + HASH_LOW_I32] === hashLow && i32[hash + HASH_HIGH_I32] === hashHigh) return way;
      hash += SLOT_F64 * I32_PER_F64;
    }
    return -1;
  }

  /** Claims a way that was never used, or returns -1. Needs the set's lock. */
  claimUnusedWay(set: number): number {
    const used = this.used(set);
    if (used === this.ways) return -1;
    this.i32[set * I32_PER_F64 + USED_I32] = used + 1;
    return used;
  }

  /** Assigns a way to a new client, with full buckets and zero counts. Needs the set's lock. */
  assign(setIndex: number, set: number, way: number, hashLow: number, hashHigh: number): void {
    const slot = this.slot(set, way);
    this.i32[slot * I32_PER_F64 + HASH_LOW_I32] = hashLow;
    this.i32[slot * I32_PER_F64 + HASH_HIGH_I32] = hashHigh;
    this.f64[slot + FULL_AT_F64] = 0;
    this.f64[slot + REQUESTS_F64] = 0;
    const record = this.record(setIndex, way);
    this.f64.fill(0, record, record + RECORD_F64);
  }
}

// Zeroed memory must mean free locks, unused ways and full overflow buckets.
assert(FREE === 0, 'the lock state of zeroed memory is free');
