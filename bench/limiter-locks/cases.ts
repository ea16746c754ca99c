/** What is compared, and whose keys are charged. */
import { digestOf } from '../harness.ts';
import { seededRandom } from '../workloads.ts';

/** The last is one for each set: as many as the striped limiter has. */
export const LOCK_COUNTS = [1, 64, 1024, 10_007] as const;
export const THREAD_COUNTS = [1, 2, 4] as const;
export const THREADS_MAX = 4;

/** Whom the threads charge: all of them one client, or many in random order. */
export type Clients = 'hot' | 'spread';
export const CLIENT_COUNTS: Record<Clients, number> = { hot: 1, spread: 10_000 };

export const SEED = 20_264;
/** Calls after which the order of clients repeats: a power of two. */
const ORDER = 1 << 16;

/** The IPv4 address (as an Int32 word) to charge at each call; every client is in there. */
export function keysFor(clients: Clients): SharedArrayBuffer {
  const keys = new Int32Array(new SharedArrayBuffer(ORDER * Int32Array.BYTES_PER_ELEMENT));
  const random = seededRandom(SEED);
  const count = CLIENT_COUNTS[clients];
  for (let call = 0; call < ORDER; call++) {
    // The first calls name each client once, so that all of them are there whatever the draw.
    const client = call < count ? call : Math.floor(random() * count);
    keys[call] = 0x0a000000 + client;
  }
  for (let call = ORDER - 1; call > 0; call--) {
    // Fisher–Yates.
    const other = Math.floor(random() * (call + 1));
    [keys[call], keys[other]] = [keys[other]!, keys[call]!];
  }
  return keys.buffer as SharedArrayBuffer;
}

export function workloadDigest(): string {
  return digestOf(new Uint8Array(keysFor('hot')), new Uint8Array(keysFor('spread')));
}
