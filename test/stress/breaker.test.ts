/** The breaker under threads that open, close and test it concurrently. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CLOSED,
  createBreakerMemory,
  HALF_OPEN,
  OPEN,
  PERMITS,
  readBreaker,
} from '../../src/breaker/breaker.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import type { BreakerStress, BreakerStressResult } from './breaker-worker.ts';

const WORKER = new URL('./breaker-worker.js', import.meta.url);
const THREADS = 4;

test(`${THREADS} threads: each transition is made once, and no period has more permits than it may`, async (t) => {
  const memory = createBreakerMemory({ failures: 3, errorPercent: 60, windowMs: 1_000, openMs: 100 });
  const clock = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const inputs = Array.from({ length: THREADS }, (_, seed) => ({
    memory,
    clock,
    seed: seed + 1,
    forMs: stressMs / 2,
  }));
  const results = await runThreads<BreakerStress, BreakerStressResult>(WORKER, inputs);

  const { state, transitions } = readBreaker(memory);
  const made = [CLOSED, OPEN, HALF_OPEN].map((to) =>
    results.reduce((sum, result) => sum + result.made[to]!, 0),
  );
  assert.deepEqual(transitions, made);
  const [toClosed = 0, toOpen = 0, toHalfOpen = 0] = transitions;
  assert.ok(toClosed > 10 && toOpen > 10 && toHalfOpen > 10, transitions.join(' '));
  // Closed and half open lead to open, open to half open, half open to closed: no transition twice, none missing.
  assert.equal(toHalfOpen, state === OPEN ? toOpen - 1 : toOpen);
  assert.ok(toClosed <= toHalfOpen);

  const taken = new Map<string, number>();
  for (const permit of results.flatMap(({ permits }) => permits))
    taken.set(permit, (taken.get(permit) ?? 0) + 1);
  assert.ok(taken.size > 10, String(taken.size));
  for (const [period, count] of taken) assert.ok(count <= PERMITS, `${count} permits in ${period}`);
  t.diagnostic(
    `${results.reduce((sum, { operations }) => sum + operations, 0)} operations, transitions ${transitions.join(' ')}, ` +
      `${taken.size} half-open periods, ${[...taken.values()].filter((count) => count === PERMITS).length} used up`,
  );
});
