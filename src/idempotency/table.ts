/**
 * The table of idempotency keys that all serving threads share: which requests are in flight or stored.
 *
 * ```
 *  line 0              SETS, WAYS, WINDOW_S   Int32 each; written once, before any thread starts
 *  then for each set   in whole lines:
 *    LOCK              Int32         futex word, see base/futex-lock.ts
 *    WORD              WAYS × Int32  seconds since EPOCH_S, shifted by two, and the state: FREE, IN_FLIGHT or STORED
 *    HASH              4 × WAYS × Int32  128-bit keyed hash of client and key, a column for each word
 *    CRC               WAYS × Int32  CRC-32 of the body
 * ```
 * 24 bytes an entry. A thread searches, inserts and evicts while it holds the set's lock, so two requests with one
 * key cannot both be the first, and the lock shows the entry to the next holder. An entry IN_FLIGHT belongs to the
 * thread that inserted it: only that thread changes its WORD, without the lock, when it settles the request. It is
 * never evicted. A STORED entry ends with its window, or earlier if its set is full and it is the oldest: the sets are
 * sized so that this starts at `keys` entries.
 */
import { assert } from '../base/errors.ts';
import { FREE as LOCK_FREE, lock, unlock } from '../base/futex-lock.ts';
import { alignUp, LINE_I32 } from '../base/shared-memory.ts';
import { MS_PER_SECOND } from '../base/units.ts';
import { HASH_WORDS } from '../encoder/request-stamp.ts';
import { CLAIMED, type ClaimCode, IN_FLIGHT_ELSEWHERE, NO_ENTRY, REPLAY, REUSED } from './codes.ts';

/** States, the low two bits of WORD. FREE is the whole word 0. */
const FREE = 0;
const IN_FLIGHT = 1;
const STORED = 2;
const STATE_BITS = 2;
const STATE_MASK = (1 << STATE_BITS) - 1;
/** 2020-01-01: 30 bits of seconds reach to 2054. */
const EPOCH_S = 1_577_836_800;
const SECONDS_MAX = 2 ** (32 - STATE_BITS) - 1;

const SETS_I32 = 0;
const WAYS_I32 = 1;
const WINDOW_I32 = 2;
const WORDS_I32 = 1;
/** Entries of a set while `keys` keys are present, on average. */
const MEAN_WAYS = 64;
/** Standard deviations above the mean that a set has room for: one set in 30,000 is full too early. */
const SPREAD = 4;
/** Sets that a census counts: hashes fill all alike, and a scrape must not take long. */
const CENSUS_SETS = 4_096;
/** As with every lock that a thread with sockets waits for. */
const LOCK_BOUND_MS = 1;

export interface KeyTableConfig {
  /** Keys that are remembered at least, unless their window ends first. */
  readonly keys: number;
  readonly windowMs: number;
}

export interface KeyCensus {
  readonly capacity: number;
  readonly keys: number;
  readonly windowSeconds: number;
}

function setI32(ways: number): number {
  return alignUp(WORDS_I32 + ways * (1 + HASH_WORDS + 1), LINE_I32);
}

function geometryOf(keys: number): { readonly sets: number; readonly ways: number } {
  const sets = Math.max(1, Math.round(keys / MEAN_WAYS));
  const mean = keys / sets;
  return { sets, ways: Math.ceil(mean + (sets === 1 ? 0 : SPREAD * Math.sqrt(mean))) };
}

/** Bytes of a table for so many keys. */
export function keyTableBytes({ keys }: KeyTableConfig): number {
  const { sets, ways } = geometryOf(keys);
  return (LINE_I32 + sets * setI32(ways)) * Int32Array.BYTES_PER_ELEMENT;
}

export function createKeyTable(config: KeyTableConfig): SharedArrayBuffer {
  const { keys, windowMs } = config;
  const { sets, ways } = geometryOf(keys);
  const memory = new SharedArrayBuffer(keyTableBytes(config));
  const i32 = new Int32Array(memory);
  i32[SETS_I32] = sets;
  i32[WAYS_I32] = ways;
  i32[WINDOW_I32] = Math.ceil(windowMs / MS_PER_SECOND);
  return memory;
}

/** @param unixMs a time of day: the window has to outlive the process */
function secondsOf(unixMs: number): number {
  const seconds = Math.floor(unixMs / MS_PER_SECOND) - EPOCH_S;
  return Math.min(SECONDS_MAX, Math.max(1, seconds));
}

export class KeyTable {
  /** After CLAIMED: the entry, for `settle`. */
  entry = 0;
  /** After CLAIMED: the claim ended the window of another key early. */
  hasEvicted = false;
  private readonly i32: Int32Array;
  private readonly ways: number;
  private readonly sets: number;
  private readonly windowS: number;

  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.sets = this.i32[SETS_I32]!;
    this.ways = this.i32[WAYS_I32]!;
    this.windowS = this.i32[WINDOW_I32]!;
  }

  /** Index of the set's lock. The low word scaled to the number of sets, as in limiter/table.ts. */
  private setOf(hashLow: number): number {
    const set = Math.floor((hashLow >>> 0) * (this.sets / 2 ** 32));
    return LINE_I32 + set * setI32(this.ways);
  }

  /**
   * Finds the key, or inserts it as in flight.
   * @param hash HASH_WORDS words  @param unixMs the time of receipt
   */
  claim(hash: Int32Array, crc: number, unixMs: number): ClaimCode {
    const set = this.setOf(hash[0]!);
    if (!lock(this.i32, set, LOCK_BOUND_MS)) return NO_ENTRY;
    const code = this.claimLocked(set, hash, crc | 0, secondsOf(unixMs));
    unlock(this.i32, set);
    return code;
  }

  private claimLocked(set: number, hash: Int32Array, crc: number, seconds: number): ClaimCode {
    const { i32, ways } = this;
    const words = set + WORDS_I32;
    let free = -1;
    let oldest = -1;
    let oldestSeconds = SECONDS_MAX + 1;
    for (let way = 0; way < ways; way++) {
      // Pairs with the store in `settle`, by which another thread ends its claim without the lock.
      const word = Atomics.load(i32, words + way);
      const state = word & STATE_MASK;
      const since = word >>> STATE_BITS;
      if (state === FREE || (state === STORED && seconds - since > this.windowS)) {
        // Only a holder of the lock changes an entry that is not in flight.
        if (state !== FREE) i32[words + way] = FREE;
        if (free < 0) free = way;
      } else if (this.holds(set, way, hash)) {
        if (i32[this.crcOf(set, way)] !== crc) return REUSED;
        return state === STORED ? REPLAY : IN_FLIGHT_ELSEWHERE;
      } else if (state === STORED && since < oldestSeconds) {
        oldest = way;
        oldestSeconds = since;
      }
    }
    const way = free >= 0 ? free : oldest;
    if (way < 0) return NO_ENTRY;
    this.hasEvicted = free < 0;
    this.write(set, way, hash, crc);
    this.entry = words + way;
    i32[this.entry] = (seconds << STATE_BITS) | IN_FLIGHT;
    return CLAIMED;
  }

  private hashOf(set: number, way: number, word: number): number {
    return set + WORDS_I32 + this.ways * (1 + word) + way;
  }

  private crcOf(set: number, way: number): number {
    return set + WORDS_I32 + this.ways * (1 + HASH_WORDS) + way;
  }

  private holds(set: number, way: number, hash: Int32Array): boolean {
    const { i32 } = this;
    // The low word chose the set, so the second tells most apart, and its column is all that a search reads.
    if (i32[this.hashOf(set, way, 1)] !== hash[1]) return false;
    return (
      i32[this.hashOf(set, way, 0)] === hash[0] &&
      i32[this.hashOf(set, way, 2)] === hash[2] &&
      i32[this.hashOf(set, way, 3)] === hash[3]
    );
  }

  private write(set: number, way: number, hash: Int32Array, crc: number): void {
    for (let word = 0; word < HASH_WORDS; word++) this.i32[this.hashOf(set, way, word)] = hash[word]!;
    this.i32[this.crcOf(set, way)] = crc;
  }

  /** Ends the claim of an entry. If its request was not stored, the key is free again. */
  settle(entry: number, isStored: boolean): void {
    const { i32 } = this;
    const since = i32[entry]! & ~STATE_MASK;
    // Shows the outcome to the load in `claimLocked`. Until then the entry was this thread's.
    Atomics.store(i32, entry, isStored ? since | STORED : FREE);
  }

  /**
   * Inserts a key that was found stored at start. Call it before any thread serves.
   * @returns false when it is not remembered: its window has ended, or its set is full of later ones
   */
  restore(hash: Int32Array, crc: number, unixMs: number, nowMs: number): boolean {
    const seconds = secondsOf(unixMs);
    if (secondsOf(nowMs) - seconds > this.windowS) return false;
    const { i32, ways } = this;
    const set = this.setOf(hash[0]!);
    const words = set + WORDS_I32;
    let oldest = 0;
    for (let way = 0; way < ways; way++) {
      if (i32[words + way] !== FREE && this.holds(set, way, hash)) {
        oldest = way;
        break;
      }
      if (i32[words + way]! >>> STATE_BITS < i32[words + oldest]! >>> STATE_BITS) oldest = way;
    }
    if (i32[words + oldest]! >>> STATE_BITS >= seconds) return false;
    this.write(set, oldest, hash, crc);
    i32[words + oldest] = (seconds << STATE_BITS) | STORED;
    return true;
  }

  /** Reads without locks, so the number of keys is not of one moment; that of a large table is estimated. */
  census(): KeyCensus {
    const { i32, sets, ways } = this;
    const counted = Math.min(sets, CENSUS_SETS);
    let keys = 0;
    for (let set = 0; set < counted; set++) {
      const words = LINE_I32 + set * setI32(ways) + WORDS_I32;
      for (let way = 0; way < ways; way++) if (i32[words + way] !== FREE) keys++;
    }
    return { capacity: sets * ways, keys: Math.round((keys * sets) / counted), windowSeconds: this.windowS };
  }
}

// Zeroed memory must mean free locks and free entries.
assert(LOCK_FREE === 0, 'the lock state of zeroed memory is free');
