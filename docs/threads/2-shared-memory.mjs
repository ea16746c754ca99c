// One memory, two threads: `+= 1` loses updates, and Atomics.add does not.
import { once } from 'node:events';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const TIMES = 2_000_000;
const PLAIN = 0;
const ATOMIC = 1;
const STARTED = 2;

if (isMainThread) {
  const counters = new Int32Array(new SharedArrayBuffer(12)); // zeros, seen by every thread that gets them
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url), { workerData: counters }));
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  console.log(`expected ${2 * TIMES}: += 1 counted ${counters[PLAIN]}, Atomics.add ${counters[ATOMIC]}`);
} else {
  const counters = workerData;
  Atomics.add(counters, STARTED, 1);
  while (Atomics.load(counters, STARTED) < 2); // both count at the same time
  for (let i = 0; i < TIMES; i++) {
    counters[PLAIN] += 1; // load, add, store: another thread may store in between
    Atomics.add(counters, ATOMIC, 1); // one step that nothing can divide
  }
}
