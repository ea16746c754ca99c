/** A charge in two threads at once: of many clients, and of one. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { BenchModule, Side } from '../../../src/learn/bench-module.ts';
import type { LimiterConfig, LimiterModule } from '../../../src/limiter/limiter.ts';

const THREADS = 2;
export const CONFIG: LimiterConfig = {
  requestRate: 1e6,
  requestBurst: 1e7,
  metricRate: 0,
  metricBurst: 0,
  clients: 65_536,
};

export async function loadSide(side: Side): Promise<LimiterModule> {
  return side === 'before'
    ? await import('../../../src/limiter/striped-lock.ts')
    : await import('../../../src/limiter/lock-free.ts');
}

async function measureCharges(side: Side, clients: number, ms: number): Promise<number> {
  const memory = (await loadSide(side)).createLimiterMemory(CONFIG);
  const go = new Int32Array(new SharedArrayBuffer(4));
  const threads = Array.from(
    { length: THREADS },
    (_, thread) =>
      new Worker(new URL('./bench-thread.js', import.meta.url), {
        workerData: { side, memory, go, ms, clients, thread },
      }),
  );
  await Promise.all(threads.map((thread) => once(thread, 'message')));
  const results = threads.map((thread) => once(thread, 'message') as Promise<[{ ns: number; busy: number }]>);
  Atomics.store(go, 0, 1);
  Atomics.notify(go, 0);
  const answers = (await Promise.all(results)).map(([answer]) => answer);
  for (const { busy } of answers) assert.ok(busy < 0.2, 'a lock was held for longer than its bound');
  return answers.reduce((sum, { ns }) => sum + ns, 0) / THREADS;
}

export const bench: BenchModule['bench'] = {
  unit: 'ns a charge',
  question:
    'two threads charge one client behind the lock of its set at 300 to 900 ns. With a swap instead: how many ns?',
  rows: [
    { name: 'one client', measure: (side, ms) => measureCharges(side, 1, ms) },
    { name: 'many clients', measure: (side, ms) => measureCharges(side, 4096, ms) },
  ],
};
