/** A thread of the benchmark. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Side } from '../../../src/learn/bench-module.ts';
import { ADMITTED } from '../../../src/limiter/limiter.ts';
import { CONFIG, loadSide } from './bench.ts';

const CHARGES = 1000;

const { side, memory, go, ms, clients, thread } = workerData as {
  side: Side;
  memory: SharedArrayBuffer;
  go: Int32Array;
  ms: number;
  clients: number;
  thread: number;
};
const limiter = (await loadSide(side)).openLimiter(memory, CONFIG);
const key = Buffer.alloc(4);
let busy = 0;

function chargeMany(first: number): void {
  const nowMs = performance.now();
  for (let n = first; n < first + CHARGES; n++) {
    // An odd factor visits the clients in another order than their numbers.
    key.writeInt32LE(Math.imul(n, 0x9e3779b1) & (clients - 1), 0);
    if (limiter.chargeRequest(key, 4, nowMs) !== ADMITTED) busy++;
  }
}

for (let turn = 0; turn < 50; turn++) chargeMany(turn * CHARGES + thread);
parentPort!.postMessage(null);
Atomics.wait(go, 0, 0);
busy = 0;
const start = performance.now();
let charges = 0;
while (performance.now() - start < ms) {
  chargeMany(charges + thread);
  charges += CHARGES;
}
const ns = ((performance.now() - start) * 1e6) / charges;
parentPort!.postMessage({ ns, busy: busy / charges });
