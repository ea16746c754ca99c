/** Eight threads claim the same keys at once: each key is one thread's at a time, and stored once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CLAIMED, IN_FLIGHT_ELSEWHERE, NO_ENTRY, REPLAY } from '../../src/idempotency/codes.ts';
import { createKeyTable, KeyTable } from '../../src/idempotency/table.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import type { Claimed, Claiming } from './idempotency-worker.ts';

const WORKER = new URL('./idempotency-worker.js', import.meta.url);
const THREADS = 8;
/** Few, so that threads meet at the same keys. */
const KEYS = 2_000;

async function run(rounds: number, refuses: number, ignoresLock = false) {
  const table = createKeyTable({ keys: KEYS, windowMs: 600_000 });
  const held = new SharedArrayBuffer(4 * KEYS);
  const stored = new SharedArrayBuffer(4 * KEYS);
  const inputs = Array.from(
    { length: THREADS },
    (_, k): Claiming => ({ table, keys: KEYS, rounds, refuses, held, stored, ignoresLock, seed: k + 1 }),
  );
  const results = await runThreads<Claiming, Claimed>(WORKER, inputs);
  const sum = (code: number) => results.reduce((total, { codes }) => total + (codes[code] ?? 0), 0);
  const heldTwice = results.reduce((total, result) => total + result.heldTwice, 0);
  return { sum, heldTwice, stored: new Int32Array(stored), census: new KeyTable(table).census() };
}

test('eight threads that retry the same keys store each once', async (t) => {
  const rounds = Math.max(2, Math.round(stressMs / 300));
  const { sum, heldTwice, stored, census } = await run(rounds, 0);
  t.diagnostic(`${sum(REPLAY)} replays, ${sum(IN_FLIGHT_ELSEWHERE)} in flight, ${sum(NO_ENTRY)} not served`);
  assert.equal(heldTwice, 0);
  assert.equal(sum(CLAIMED), KEYS);
  assert.ok(stored.every((count) => count === 1));
  assert.equal(census.keys, KEYS);
});

test('keys whose requests are refused are claimed until one of them is stored', async () => {
  const { sum, heldTwice, stored, census } = await run(Math.max(20, Math.round(stressMs / 100)), 0.5);
  assert.equal(heldTwice, 0);
  assert.ok(sum(CLAIMED) > KEYS);
  assert.ok(stored.every((count) => count === 1));
  assert.equal(census.keys, KEYS);
});

test('a variant without the lock is found out', async (t) => {
  // Threads have to meet within one search: a few attempts make sure that they do.
  for (let attempt = 0; attempt < 50; attempt++) {
    const { heldTwice, stored } = await run(2, 0, true);
    if (heldTwice === 0 && stored.every((count) => count <= 1)) continue;
    return t.diagnostic(`attempt ${attempt + 1}`);
  }
  assert.fail('keys were never stored twice without the lock');
});
