/** A thread of `charge-bench.ts`: charges clients until its time is over, and reports the mean time of a charge. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Side } from '../../src/learn/bench-module.ts';
import { ADMITTED, type LimiterConfig, type LimiterModule } from '../../src/limiter/limiter.ts';

const CHARGES = 1000;
const WARM_UP_TURNS = 50;

/** The exports of a phase's benchmark that its threads use. */
export interface ChargeBench {
  readonly loadSide: (side: Side) => Promise<LimiterModule>;
}

export interface ChargeTask {
  /** URL of the benchmark, which loads the limiters. */
  readonly bench: string;
  readonly side: Side;
  readonly config: LimiterConfig;
  readonly memory: SharedArrayBuffer;
  /** The thread starts to measure once the first word is not 0. */
  readonly go: Int32Array;
  readonly ms: number;
  /** A power of two. */
  readonly clients: number;
  readonly thread: number;
}

export interface ChargeResult {
  readonly ns: number;
  /** Share of the charges that were not admitted. */
  readonly refused: number;
}

const { bench, side, config, memory, go, ms, clients, thread } = workerData as ChargeTask;
const { loadSide } = (await import(bench)) as ChargeBench;
const limiter = (await loadSide(side)).openLimiter(memory, config);
const key = Buffer.alloc(4);
let refused = 0;

function chargeMany(first: number): void {
  const nowMs = performance.now();
  for (let n = first; n < first + CHARGES; n++) {
    // An odd factor visits the clients in another order than their numbers.
    key.writeInt32LE(Math.imul(n, 0x9e3779b1) & (clients - 1), 0);
    if (limiter.chargeRequest(key, 4, nowMs) !== ADMITTED) refused++;
  }
}

for (let turn = 0; turn < WARM_UP_TURNS; turn++) chargeMany(turn * CHARGES + thread);
parentPort!.postMessage(null);
// Pairs with the store of 1 by the main thread: all threads are warm, so they compete from here on.
Atomics.wait(go, 0, 0);
refused = 0;
const start = performance.now();
let charges = 0;
while (performance.now() - start < ms) {
  chargeMany(charges + thread);
  charges += CHARGES;
}
const result: ChargeResult = {
  ns: ((performance.now() - start) * 1e6) / charges,
  refused: refused / charges,
};
parentPort!.postMessage(result);
