/** Starts worker threads that begin their work at the same moment, and collects the message each posts at its end. */
import { once } from 'node:events';
import { parentPort, Worker, workerData } from 'node:worker_threads';

const READY = 0;
const GO = 1;

/**
 * Runs one thread per entry of `inputs`; each module calls `awaitStart`, works, and posts one message.
 * @param meanwhile runs on this thread while the workers work
 */
export async function runThreads<Input extends object, Output>(
  module: URL,
  inputs: readonly Input[],
  meanwhile?: () => void,
): Promise<Output[]> {
  const gate = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  const workers = inputs.map((input) => new Worker(module, { workerData: { ...input, gate: gate.buffer } }));
  try {
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const outputs = workers.map(async (worker) => ((await once(worker, 'message')) as [Output])[0]);
    const exits = workers.map((worker) => once(worker, 'exit'));
    // Pairs with the wait in `awaitStart`.
    Atomics.store(gate, GO, 1);
    Atomics.notify(gate, GO);
    meanwhile?.();
    const results = await Promise.all(outputs);
    await Promise.all(exits);
    return results;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** In a worker: its input, once all workers are ready. */
export function awaitStart<Input>(): Input {
  const input = workerData as Input & { gate: SharedArrayBuffer };
  const gate = new Int32Array(input.gate);
  Atomics.add(gate, READY, 1);
  parentPort!.postMessage('ready');
  // Pairs with the store in `runThreads`. Returns at once if that came first.
  Atomics.wait(gate, GO, 0);
  return input;
}

/** Duration of a stress test: 3 s, or METRICSSTREAM_STRESS_SECONDS (`npm run stress`: 10 s). */
export const stressMs = Number(process.env.METRICSSTREAM_STRESS_SECONDS ?? 3) * 1e3;
