/** A thread of `charge-bench.ts`: charges clients until its time is over, and reports the mean time of a charge. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Side } from '../../src/learn/bench-module.ts';
import { ADMITTED, type LimiterConfig, type LimiterModule } from '../../src/limiter/limiter.ts';

const CHARGES = 1000;
const WARM_UP_TURNS = 50;
/** A limiter that refuses everything until then is broken. */
const GIVE_UP_MS = 10_000;

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
}

const { bench, side, config, memory, go, ms, clients, thread } = workerData as ChargeTask;
const { loadSide } = (await import(bench)) as ChargeBench;
const limiter = (await loadSide(side)).openLimiter(memory, config);
const key = Buffer.alloc(4);

/** False when a charge was refused: the other thread lost its core while it had the lock. */
function chargeMany(first: number): boolean {
  let isAdmitted = true;
  const nowMs = performance.now();
  for (let n = first; n < first + CHARGES; n++) {
    // An odd factor visits the clients in another order than their numbers.
    key.writeInt32LE(Math.imul(n, 0x9e3779b1) & (clients - 1), 0);
    if (limiter.chargeRequest(key, 4, nowMs) !== ADMITTED) isAdmitted = false;
  }
  return isAdmitted;
}

for (let turn = 0; turn < WARM_UP_TURNS; turn++) chargeMany(turn * CHARGES + thread);
parentPort!.postMessage(null);
// Pairs with the store of 1 by the main thread: all threads are warm, so they compete from here on.
Atomics.wait(go, 0, 0);
const beganMs = performance.now();
let spentMs = 0;
let charges = 0;
for (let first = thread; spentMs < ms; first += CHARGES) {
  const startMs = performance.now();
  // Waiting for a thread without a core says nothing about the lock.
  if (!chargeMany(first)) {
    if (startMs - beganMs > GIVE_UP_MS) throw new Error(`charges are refused: ${charges} were admitted`);
    continue;
  }
  spentMs += performance.now() - startMs;
  charges += CHARGES;
}
const result: ChargeResult = { ns: (spentMs * 1e6) / charges };
parentPort!.postMessage(result);
