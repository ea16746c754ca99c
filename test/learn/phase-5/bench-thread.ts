/** The second thread of the benchmark. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Side } from '../../../src/learn/bench-module.ts';
import { loadSide, recordBatches } from './bench.ts';

const BATCHES = 100;
const BATCH = 64;

const { side, memory, go, ms } = workerData as {
  side: Side;
  memory: SharedArrayBuffer;
  go: Int32Array;
  ms: number;
};
const recorder = (await loadSide(side)).openRecorder(memory);
recordBatches(side, memory, recorder, 2_000);
parentPort!.postMessage(0);
Atomics.wait(go, 0, 0);
const end = performance.now() + ms;
let records = 0;
while (performance.now() < end) {
  recordBatches(side, memory, recorder, BATCHES);
  records += BATCHES * BATCH;
}
parentPort!.postMessage(records);
