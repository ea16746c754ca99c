/**
 * The limiter's table of clients: one SharedArrayBuffer, divided into sets of slots, one lock for each set.
 *
 * ```
 *  line 0                SEED, SEED, STRIPES, WAYS        Int32 each; written once, before any thread starts
 *  then for each stripe  one set:
 *    header, whole lines   LOCK        Int32    futex word, see futex-lock.ts
 *                          USED        Int32    ways in use: 0..USED-1
 *                          EVICTIONS   Float64  idle clients that made room for new ones
 *                          OVERFLOWED  Float64  charges that went to the overflow bucket
 *                          TAGS        Uint16 × WAYS  low half of each client's high hash word
 *    WAYS slots, a line each
 *                          HASH             2 × Int32   low and high word of the client's keyed hash
 *                          REQUEST_TOKENS   Float64     as of REFILLED_MS
 *                          METRIC_TOKENS    Float64     as of REFILLED_MS
 *                          REFILLED_MS      Float64     monotonic
 *                          ALLOWED_REQUESTS, REFUSED_REQUESTS, ALLOWED_METRICS, REFUSED_METRICS   Float64 each
 *    1 slot                the set's overflow bucket: the same fields, HASH unused
 * ```
 * Everything of a set but its lock word is read and written only while that lock is held (the census alone reads
 * without it, see census.ts).
 *
 * Why sets (as in a set-associative cache) and not open addressing over the whole table: the stripe that a key
 * hashes to is the only place where it can stand. So finding, inserting and evicting happen under one lock; two
 * threads cannot insert the same client twice in two places; removing a client breaks no probe chain, so there are no
 * tombstones and no rehash. The price is that a set can fill before the table does: WAYS is chosen so that with
 * `clients` clients present fewer than one in 10,000 finds its set full.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../base/errors.ts';
import { alignUp, LINE_BYTES } from '../base/shared-memory.ts';
import { FREE } from './futex-lock.ts';
import type { LimiterConfig } from './limiter.ts';

/** Locks: a prime far above the number of threads, so that two clients rarely share one. */
export const STRIPES = 10_007;

const I32 = Int32Array.BYTES_PER_ELEMENT;
const F64 = Float64Array.BYTES_PER_ELEMENT;
const U16 = Uint16Array.BYTES_PER_ELEMENT;

/** Int32 words of the table's header line. */
const SEED0_I32 = 0;
const SEED1_I32 = 1;
const STRIPES_I32 = 2;
const WAYS_I32 = 3;

/**
 * Sets and slots are named by the Float64 index they start at; the same place is at this many times the index in the
 * narrower views.
 */
const I32_PER_F64 = F64 / I32;
const U16_PER_F64 = F64 / U16;

/** Places in a set, in elements of the view they are read with, from the set's start. */
const LOCK_I32 = 0;
const USED_I32 = 1;
export const EVICTIONS_F64 = 1;
export const OVERFLOWED_F64 = 2;
const TAGS_U16 = 12;
const TAGS_BYTES = TAGS_U16 * U16;

/** Places in a slot, from the slot's start. */
const SLOT_BYTES = LINE_BYTES;
export const SLOT_F64 = SLOT_BYTES / F64;
const HASH_LOW_I32 = 0;
const HASH_HIGH_I32 = 1;
export const REQUEST_TOKENS_F64 = 1;
export const METRIC_TOKENS_F64 = 2;
export const REFILLED_MS_F64 = 3;
export const ALLOWED_REQUESTS_F64 = 4;
export const REFUSED_REQUESTS_F64 = 5;
export const ALLOWED_METRICS_F64 = 6;
export const REFUSED_METRICS_F64 = 7;

/** Expected share of `clients` whose set is full when all of them are present. */
const OVERFLOW_SHARE = 1e-4;

/**
 * Ways that a set needs: clients fall into sets as a Poisson variable X with mean clients / stripes, and WAYS is the
 * least w with E[max(X - w, 0)] ≤ OVERFLOW_SHARE × mean. For 65,536 clients over 10,007 stripes it is 16.
 */
export function waysFor(clients: number, stripes: number): number {
  const mean = clients / stripes;
  // P(X = w), P(X > w) and E[max(X - w, 0)], stepped from w = 0.
  let exactly = Math.exp(-mean);
  let above = 1 - exactly;
  let excess = mean;
  let ways = 0;
  while (ways < 1 || (excess > OVERFLOW_SHARE * mean && ways < clients)) {
    excess -= above;
    ways++;
    exactly *= mean / ways;
    above -= exactly;
  }
  return ways;
}

/** Stripes and ways, where they shall not follow from the configuration. */
export interface LimiterGeometry {
  readonly stripes: number;
  readonly ways: number;
}

/** The table's memory, empty, with a fresh random seed. */
export function createLimiterMemory(
  config: LimiterConfig,
  geometry: LimiterGeometry = { stripes: STRIPES, ways: waysFor(config.clients, STRIPES) },
): SharedArrayBuffer {
  assert(config.requestRate === 0 || config.requestBurst >= 1, 'request burst is at least 1');
  assert(config.metricRate === 0 || config.metricBurst >= 1, 'metric burst is at least 1');
  const { stripes, ways } = geometry;
  const bytes = LINE_BYTES + stripes * setBytes(ways);
  assert(bytes < 2 ** 31, 'limiter clients fit in 2 GiB');
  const memory = new SharedArrayBuffer(bytes);
  const header = new Int32Array(memory, 0, LINE_BYTES / I32);
  const seed = randomBytes(2 * I32);
  header[SEED0_I32] = seed.readInt32LE(0);
  header[SEED1_I32] = seed.readInt32LE(I32);
  header[STRIPES_I32] = stripes;
  header[WAYS_I32] = ways;
  return memory;
}

function setHeaderBytes(ways: number): number {
  return alignUp(TAGS_BYTES + ways * U16, LINE_BYTES);
}

function setBytes(ways: number): number {
  return setHeaderBytes(ways) + (ways + 1) * SLOT_BYTES;
}

/** Views of a table and the steps to walk it. */
export class LimiterTable {
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly seed0: number;
  readonly seed1: number;
  readonly stripes: number;
  readonly ways: number;
  private readonly u16: Uint16Array;
  private readonly setF64: number;
  private readonly setHeaderF64: number;

  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.u16 = new Uint16Array(memory);
    this.seed0 = this.i32[SEED0_I32]!;
    this.seed1 = this.i32[SEED1_I32]!;
    this.stripes = this.i32[STRIPES_I32]!;
    this.ways = this.i32[WAYS_I32]!;
    this.setF64 = setBytes(this.ways) / F64;
    this.setHeaderF64 = setHeaderBytes(this.ways) / F64;
    const bytes = LINE_BYTES + this.stripes * setBytes(this.ways);
    assert(memory.byteLength === bytes, 'limiter memory has the size its header says');
  }

  set(stripe: number): number {
    return LINE_BYTES / F64 + stripe * this.setF64;
  }

  /** The set that a client of this low hash word belongs to. */
  setOf(hashLow: number): number {
    return this.set((hashLow >>> 0) % this.stripes);
  }

  /** Int32 index of the set's lock word. */
  lockWord(set: number): number {
    return set * I32_PER_F64 + LOCK_I32;
  }

  used(set: number): number {
    return this.i32[set * I32_PER_F64 + USED_I32]!;
  }

  slot(set: number, way: number): number {
    return set + this.setHeaderF64 + way * SLOT_F64;
  }

  overflowSlot(set: number): number {
    return this.slot(set, this.ways);
  }

  hashLow(slot: number): number {
    return this.i32[slot * I32_PER_F64 + HASH_LOW_I32]!;
  }

  hashHigh(slot: number): number {
    return this.i32[slot * I32_PER_F64 + HASH_HIGH_I32]!;
  }

  /** The client's slot, or -1. Needs the set's lock. */
  find(set: number, hashLow: number, hashHigh: number): number {
    const used = this.used(set);
    const tags = set * U16_PER_F64 + TAGS_U16;
    const tag = hashHigh & 0xffff;
    for (let way = 0; way < used; way++) {
      if (this.u16[tags + way] !== tag) continue;
      const slot = this.slot(set, way);
      if (this.hashLow(slot) === hashLow && this.hashHigh(slot) === hashHigh) return slot;
    }
    return -1;
  }

  /** A way never used before, now in use, or -1 when there is none. Needs the set's lock. */
  takeUnusedWay(set: number): number {
    const used = this.used(set);
    if (used === this.ways) return -1;
    this.i32[set * I32_PER_F64 + USED_I32] = used + 1;
    return used;
  }

  /** Gives `way` to a client: hash, tag and zeroed counts; the caller fills the buckets. Needs the set's lock. */
  assign(set: number, way: number, hashLow: number, hashHigh: number): number {
    const slot = this.slot(set, way);
    this.u16[set * U16_PER_F64 + TAGS_U16 + way] = hashHigh & 0xffff;
    this.i32[slot * I32_PER_F64 + HASH_LOW_I32] = hashLow;
    this.i32[slot * I32_PER_F64 + HASH_HIGH_I32] = hashHigh;
    this.f64[slot + ALLOWED_REQUESTS_F64] = 0;
    this.f64[slot + REFUSED_REQUESTS_F64] = 0;
    this.f64[slot + ALLOWED_METRICS_F64] = 0;
    this.f64[slot + REFUSED_METRICS_F64] = 0;
    return slot;
  }
}

// A zeroed table is one of free locks and unused ways.
assert(FREE === 0, 'the lock state of zeroed memory is free');
