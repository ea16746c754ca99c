/** The time of a charge in two threads at once, for the phases whose limiter differs from the one before. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { PhaseBench, Side } from '../../src/learn/bench-module.ts';
import type { LimiterConfig } from '../../src/limiter/limiter.ts';
// The import of types also makes the compiler build the thread's file, which only its URL names below.
import type { ChargeBench, ChargeResult, ChargeTask } from './charge-bench-thread.ts';

const THREADS = 2;
const CONFIG: LimiterConfig = {
  requestRate: 1e6,
  requestBurst: 1e7,
  metricRate: 0,
  metricBurst: 0,
  clients: 65_536,
};

interface ChargeRows {
  /** URL of the benchmark's module, which exports `loadSide` for the threads. */
  readonly bench: string;
  readonly loadSide: ChargeBench['loadSide'];
}

async function measure({ bench, loadSide }: ChargeRows, side: Side, clients: number, ms: number) {
  const memory = (await loadSide(side)).createLimiterMemory(CONFIG);
  const go = new Int32Array(new SharedArrayBuffer(4));
  const threads = Array.from({ length: THREADS }, (_, thread) => {
    const workerData: ChargeTask = { bench, side, config: CONFIG, memory, go, ms, clients, thread };
    return new Worker(new URL('./charge-bench-thread.js', import.meta.url), { workerData });
  });
  await Promise.all(threads.map((thread) => once(thread, 'message')));
  const results = threads.map((thread) => once(thread, 'message') as Promise<[ChargeResult]>);
  Atomics.store(go, 0, 1);
  Atomics.notify(go, 0);
  const answers = (await Promise.all(results)).map(([answer]) => answer);
  return answers.reduce((sum, { ns }) => sum + ns, 0) / THREADS;
}

export const CHARGE_UNIT = 'ns a charge';

export function manyClients(rows: ChargeRows): PhaseBench['rows'][number] {
  return { name: 'many clients', measure: (side, ms) => measure(rows, side, 4096, ms) };
}

export function oneClient(rows: ChargeRows): PhaseBench['rows'][number] {
  return { name: 'one client', measure: (side, ms) => measure(rows, side, 1, ms) };
}
