/**
 * The layout of a lock-free table of clients.
 *
 * ```
 *  for each set, one line
 *    32 bytes            VERSION    Int32    insertions << 6 | way of the pending insertion + 1, or 0
 *                        EVICTIONS  Int32    idle clients evicted for new ones
 *                        OVERFLOWED Int32    charges to the overflow bucket
 *                        -          20 bytes unused
 *    1 slot              the overflow bucket, LOW and HIGH 0
 *  for ways 0 and 1, for ways 2 and 3, and so on
 *    for each set, one line of 2 slots of 32 bytes
 *                        LOW, HIGH  Int32 each  words of the client's keyed hash; both 0: nobody
 *                        BUCKET     Int32    FULL_AT, COUNT and FROZEN, see token-clock.ts
 *                        FRESH      Int32    BUCKET after the pending insertion
 *                        LAST_MS    Float64  time of a recent charge
 *                        ALLOWED    Int32    tokens charged / 2^bits of COUNT, modulo 2^32
 *                        REFUSED    Int32    tokens refused, modulo 2^32
 * ```
 * A charge touches one line if its client came early to its set. Those lines of all sets are adjacent, so that a table
 * with few clients uses few pages.
 */
import { LINE_BYTES, LINE_I32 } from '../base/shared-memory.ts';
import type { LimiterGeometry } from './limiter.ts';

/** Positions in a set's own line, in Int32 words. */
export const VERSION = 0;
export const EVICTIONS = 1;
export const OVERFLOWED = 2;
const OVERFLOW_SLOT = 8;

/** Positions in a slot, in Int32 words from its start. */
export const LOW = 0;
export const HIGH = 1;
export const BUCKET = 2;
export const FRESH = 3;
export const ALLOWED = 6;
export const REFUSED = 7;
const SLOT = 8;
/** In Float64 words from the slot's start. */
export const LAST_MS_F64 = 2;
const SLOTS_PER_LINE = LINE_I32 / SLOT;

const WAY_BITS = 6;
export const WAY_MASK = (1 << WAY_BITS) - 1;
export const WAYS_MAX = 2 ** WAY_BITS - 1;

export function tableBytes({ sets, ways }: LimiterGeometry): number {
  return sets * (1 + Math.ceil(ways / SLOTS_PER_LINE)) * LINE_BYTES;
}

/** The indexes of the words of a table. Sets are identified by the first word of their own line. */
export class TableIndex {
  readonly sets: number;
  readonly ways: number;
  private readonly start: number;
  private readonly setsPerHash: number;
  /** Words between the lines of neighbouring pairs of ways. */
  private readonly pairWords: number;

  /** @param offset bytes before the table, whole lines */
  constructor(offset: number, { sets, ways }: LimiterGeometry) {
    this.sets = sets;
    this.ways = ways;
    this.start = offset / Int32Array.BYTES_PER_ELEMENT;
    this.setsPerHash = sets / 2 ** 32;
    this.pairWords = sets * LINE_I32;
  }

  /** The set of a client: the low word of its hash, scaled to 0..sets (D. Lemire, 2019). */
  setOf(low: number): number {
    return this.set(((low >>> 0) * this.setsPerHash) | 0);
  }

  set(index: number): number {
    return this.start + index * LINE_I32;
  }

  slot(set: number, way: number): number {
    return set + ((way >> 1) + 1) * this.pairWords + (way & 1) * SLOT;
  }

  /** The way after `way`. */
  next(slot: number, way: number): number {
    return (way & 1) === 0 ? slot + SLOT : slot + this.pairWords - SLOT;
  }

  overflowSlot(set: number): number {
    return set + OVERFLOW_SLOT;
  }
}
