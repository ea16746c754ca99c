/** Claims keys that other threads claim at the same time; counts how often each became this thread's. */
import { parentPort } from 'node:worker_threads';
import { CLAIMED, type ClaimCode } from '../../src/idempotency/codes.ts';
import { KeyTable } from '../../src/idempotency/table.ts';
import { awaitStart } from '../support/threads.ts';

export interface Claiming {
  readonly table: SharedArrayBuffer;
  readonly keys: number;
  /** Claims of each key. */
  readonly rounds: number;
  /** Share of claims that end with nothing stored. */
  readonly refuses: number;
  /** By key: how many threads hold it now, and how often it was stored. All threads write it. */
  readonly held: SharedArrayBuffer;
  readonly stored: SharedArrayBuffer;
  /** A broken variant: searches and inserts without the lock. */
  readonly ignoresLock: boolean;
  readonly seed: number;
}

export interface Claimed {
  readonly codes: Readonly<Record<number, number>>;
  /** Keys that another thread held at the same time. */
  readonly heldTwice: number;
}

/** As `claim`, while another thread may do the same. */
function claimWithoutLock(table: KeyTable, hash: Int32Array): ClaimCode {
  const parts = table as unknown as {
    setOf(word: number): number;
    claimLocked(set: number, hash: Int32Array, crc: number, seconds: number): ClaimCode;
  };
  return parts.claimLocked(parts.setOf(hash[0]!), hash, 0, 1);
}

function work({ table: memory, keys, rounds, refuses, ignoresLock, seed, ...shared }: Claiming): Claimed {
  const table = new KeyTable(memory);
  const held = new Int32Array(shared.held);
  const stored = new Int32Array(shared.stored);
  const codes: Record<number, number> = {};
  let heldTwice = 0;
  let random = seed;
  const hash = new Int32Array(4);
  for (let claim = 0; claim < rounds * keys; claim++) {
    const key = claim % keys;
    hash[0] = Math.imul(key, 0x9e3779b1);
    hash[1] = key;
    const code = ignoresLock ? claimWithoutLock(table, hash) : table.claim(hash, 0, 1_800_000_000_000);
    codes[code] = (codes[code] ?? 0) + 1;
    if (code !== CLAIMED) continue;
    const { entry } = table;
    if (Atomics.add(held, key, 1) !== 0) heldTwice++;
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) | 0;
    const isStored = (random >>> 0) / 2 ** 32 >= refuses;
    if (isStored) Atomics.add(stored, key, 1);
    Atomics.sub(held, key, 1);
    table.settle(entry, isStored);
  }
  return { codes, heldTwice };
}

parentPort!.postMessage(work(awaitStart<Claiming>()));
