/** A worker thread that charges clients when told to: on each message it waits at the barrier, charges, and answers. */
import { parentPort } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import { lockWaits } from '../../src/base/futex-lock.ts';
import { ADMITTED, BUSY, type Limiter, type LimiterConfig } from '../../src/limiter/limiter.ts';
import { KEY_BYTES, limiterFor } from './cases.ts';

export interface ChargeJob {
  /** Locks of the table; LOCK_FREE: none. */
  readonly locks: number;
  readonly memory: SharedArrayBuffer;
  readonly config: LimiterConfig;
  /** The key of each call in turn: Int32 words, a power of two of them, begun again at the end. */
  readonly keys: SharedArrayBuffer;
  /** Where in `keys` this thread begins. */
  readonly firstKey: number;
  readonly charges: number;
  /** Time that the limiter gets: its start, and its step per charge. */
  readonly nowMs: number;
  readonly stepMs: number;
  /** Charges again what was BUSY, so that all charges are decided. */
  readonly insist: boolean;
  /** One Int32 word, 0 at first: how many of the `threads` of this round have arrived. */
  readonly barrier: SharedArrayBuffer;
  readonly threads: number;
}

export interface ChargeOutcome {
  readonly admitted: number;
  readonly limited: number;
  readonly busy: number;
  /** Acquisitions that found the lock held, and sleeps among them. */
  readonly contended: number;
  readonly slept: number;
  /** Monotonic, one scale for all threads. */
  readonly startMs: number;
  readonly endMs: number;
}

/** Returns when all threads of the round are here. */
function meet(barrier: Int32Array, threads: number): void {
  // Pairs with the loads and waits of the threads that came before; the last one lets all of them go.
  if (Atomics.add(barrier, 0, 1) + 1 === threads) {
    Atomics.notify(barrier, 0);
    return;
  }
  for (;;) {
    // Both pair with the add above.
    const arrived = Atomics.load(barrier, 0);
    if (arrived === threads) return;
    Atomics.wait(barrier, 0, arrived);
  }
}

const counts = { admitted: 0, limited: 0, busy: 0 };

function chargeAll(limiter: Limiter, keys: Int32Array, job: ChargeJob): void {
  const { charges, firstKey, insist, stepMs } = job;
  const key = new Uint8Array(KEY_BYTES);
  const word = new Int32Array(key.buffer);
  const mask = keys.length - 1;
  let { nowMs } = job;
  let admitted = 0;
  let busy = 0;
  for (let call = 0; call < charges; call++) {
    word[0] = keys[(firstKey + call) & mask]!;
    nowMs += stepMs;
    let verdict = limiter.chargeRequest(key, KEY_BYTES, nowMs);
    while (insist && verdict === BUSY) verdict = limiter.chargeRequest(key, KEY_BYTES, nowMs);
    if (verdict === ADMITTED) admitted++;
    else if (verdict === BUSY) busy++;
  }
  counts.admitted = admitted;
  counts.busy = busy;
  counts.limited = charges - admitted - busy;
}

parentPort!.on('message', (job: ChargeJob) => {
  const limiter = limiterFor(job.locks).openLimiter(job.memory, job.config);
  const keys = new Int32Array(job.keys);
  const { contended, slept } = lockWaits;
  meet(new Int32Array(job.barrier), job.threads);
  const startMs = monotonicMs();
  chargeAll(limiter, keys, job);
  const endMs = monotonicMs();
  const outcome: ChargeOutcome = {
    ...counts,
    contended: lockWaits.contended - contended,
    slept: lockWaits.slept - slept,
    startMs,
    endMs,
  };
  parentPort!.postMessage(outcome);
});
