/** The compared implementations and the charged keys. */

import { halfSipHash } from '../../src/base/siphash.ts';
import type { LimiterConfig, LimiterModule } from '../../src/limiter/limiter.ts';
import * as lockFree from '../../src/limiter/lock-free.ts';
import * as stripedLock from '../../src/limiter/striped-lock.ts';
import { createTable, geometryFor, LimiterTable } from '../../src/limiter/table.ts';
import { digestOf, seededRandom } from '../workloads.ts';

/** 0 is the lock-free limiter; 10,007 is one lock for each set, as in the striped limiter. */
export const LOCK_FREE = 0;
export const LOCK_COUNTS = [1, 64, 1024, 10_007, LOCK_FREE] as const;
export const THREAD_COUNTS = [1, 2, 4] as const;
export const THREADS_MAX = 4;

/**
 * Whom the threads charge: all of them one client, in the first set, which holds the first lock; all of them one in
 * the last set, whose lock stands elsewhere unless each set has its own; or many in random order.
 */
export type Clients = 'first set' | 'last set' | 'many';
export const CLIENTS: readonly Clients[] = ['first set', 'last set', 'many'];
export const MANY = 10_000;

/** Bytes of a client's key, an IPv4 address. */
export const KEY_BYTES = Int32Array.BYTES_PER_ELEMENT;

export const SEED = 20_264;
/** Calls after which the order of clients repeats: a power of two. */
const ORDER = 1 << 16;
/** 10.0.0.0, the lowest of the addresses charged. */
const FIRST_ADDRESS = 0x0a000000;

export const NEVER_REFUSING: LimiterConfig = {
  requestRate: 1e5,
  requestBurst: 1e6,
  metricRate: 0,
  metricBurst: 0,
  clients: 65_536,
};

/** An empty table whose seed, its first two words, is the same in each run: so clients fall into the same sets. */
export function tableFor(config: LimiterConfig, locks: number): SharedArrayBuffer {
  const geometry = geometryFor(config);
  const memory =
    locks === LOCK_FREE
      ? lockFree.createLimiterMemory(config, geometry)
      : createTable(config, geometry, locks);
  new Int32Array(memory).set([SEED, SEED]);
  return memory;
}

/** The limiter that charges the table: a table with locks states their number itself. */
export function limiterFor(locks: number): LimiterModule {
  return locks === LOCK_FREE ? lockFree : stripedLock;
}

/** The IPv4 address (as an Int32 word) to charge at each call. */
export function keysFor(clients: Clients): SharedArrayBuffer {
  const keys = new Int32Array(new SharedArrayBuffer(ORDER * KEY_BYTES));
  if (clients === 'many') keys.set(shuffledAddresses());
  else keys.fill(addressIn(clients));
  return keys.buffer as SharedArrayBuffer;
}

/** Each of the addresses at least once, in random order. */
function shuffledAddresses(): Int32Array {
  const random = seededRandom(SEED);
  const below = (limit: number): number => Math.floor(random() * limit);
  const order = Int32Array.from(
    { length: ORDER },
    (_, call) => FIRST_ADDRESS + (call < MANY ? call : below(MANY)),
  );
  // Fisher–Yates.
  for (let call = ORDER - 1; call > 0; call--) {
    const other = below(call + 1);
    [order[call], order[other]] = [order[other]!, order[call]!];
  }
  return order;
}

/** The lowest address that falls into the first or the last set. */
function addressIn(clients: 'first set' | 'last set'): number {
  const table = new LimiterTable(tableFor(NEVER_REFUSING, 1));
  const wanted = clients === 'first set' ? 0 : table.sets - 1;
  const word = new Int32Array(1);
  const key = new Uint8Array(word.buffer);
  const hash = new Int32Array(2);
  for (let address = FIRST_ADDRESS; ; address++) {
    word[0] = address;
    halfSipHash(table.seed0, table.seed1, key, KEY_BYTES, hash);
    if (table.setIndexOf(hash[0]!) === wanted) return address;
  }
}

export function workloadDigest(): string {
  return digestOf(...CLIENTS.map((clients) => new Uint8Array(keysFor(clients))));
}
