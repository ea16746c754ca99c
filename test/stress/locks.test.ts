import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FREE } from '../../src/base/futex-lock.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import type { Locked, Locking } from './locks-worker.ts';

const WORKER = new URL('./locks-worker.js', import.meta.url);

function run(threads: number, locks: number, increments: number, boundMs: number) {
  const input: Locking = {
    locks: new SharedArrayBuffer(4 * locks),
    guarded: new SharedArrayBuffer(8 * locks),
    increments,
    boundMs,
  };
  const again = (more: Partial<Locking>, count = threads) =>
    runThreads<Locking, Locked>(
      WORKER,
      Array.from({ length: count }, () => ({ ...input, ...more })),
    );
  return { input, again };
}

for (const [locks, name] of [
  [1, 'one lock'],
  [3, 'three locks'],
] as const) {
  test(`increments under ${name} by eight threads are exact, also where a wait ran out`, async (t) => {
    const increments = Math.round(stressMs * 25);
    // 1 ms as in the limiter. With more threads than cores some waits time out, and must not have acquired the lock.
    const { input, again } = run(8, locks, increments, 1);
    const results = await again({});
    const done = results.reduce((sum, result) => sum + result.done, 0);
    const timedOut = results.reduce((sum, result) => sum + result.timedOut, 0);
    t.diagnostic(`${done} increments, ${timedOut} waits ran out`);
    assert.equal(done + timedOut, 8 * increments);
    const total = new Float64Array(input.guarded).reduce((sum, value) => sum + value, 0);
    assert.equal(total, done);
    assert.ok(new Int32Array(input.locks).every((word) => word === FREE));
  });
}

test('no increment is given up while the bound is generous', async () => {
  const increments = Math.round(stressMs * 5);
  const { again } = run(8, 1, increments, 180_000);
  for (const { done, timedOut } of await again({}))
    assert.deepEqual({ done, timedOut }, { done: increments, timedOut: 0 });
});

test('a lock whose owner died fails after the bound and never hangs', { timeout: 180_000 }, async () => {
  const { again } = run(4, 1, 200, 1);
  const [dead] = await again({ increments: 0 }, 1);
  assert.equal(dead!.done, 1);
  for (const { done, timedOut } of await again({}))
    assert.deepEqual({ done, timedOut }, { done: 0, timedOut: 200 });
});
