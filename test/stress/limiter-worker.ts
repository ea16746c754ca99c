/** Charges the same clients in turn for a while, or new clients once each, and reports the admitted charges. */
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import {
  ADMITTED,
  BUSY,
  LIMITED,
  type Limiter,
  type LimiterConfig,
  type Verdict,
} from '../../src/limiter/limiter.ts';
import { LIMITERS, type LimiterName } from '../limiter/implementations.ts';
import { awaitStart } from '../support/threads.ts';

export interface Hammering {
  readonly implementation: LimiterName;
  readonly memory: SharedArrayBuffer;
  readonly config: LimiterConfig;
  readonly clients: readonly string[];
  readonly durationMs: number;
  /** Instead of `clients`: this many new clients, each charged once. */
  readonly newcomers?: number;
}

export interface Hammered {
  /** By client, in the given order. */
  readonly admitted: number[];
  readonly refused: number[];
  readonly busy: number;
  /** The earliest and the latest time that this thread passed to the limiter. */
  readonly firstMs: number;
  readonly lastMs: number;
}

function hammer(limiter: Limiter, { clients, durationMs }: Hammering): Hammered {
  const keys = clients.map((client) => Buffer.from(client));
  const admitted = keys.map(() => 0);
  const refused = keys.map(() => 0);
  let busy = 0;
  const firstMs = monotonicMs();
  let lastMs = firstMs;
  let verdict: Verdict = ADMITTED;
  // Finally charge with a fixed clock until the limiter refuses. That uses the tokens that returned while this thread was
  // preempted before its last turn, so the measured time and the tokens match. Until then each client was charged once.
  for (let turn = 0; turn < keys.length || lastMs - firstMs < durationMs || verdict !== LIMITED; ) {
    const client = turn % keys.length;
    if (lastMs - firstMs < durationMs) lastMs = monotonicMs();
    verdict = limiter.chargeRequest(keys[client]!, keys[client]!.length, lastMs);
    if (verdict === BUSY) {
      busy++;
      continue;
    }
    turn++;
    if (verdict === ADMITTED) admitted[client]! += 1;
    else refused[client]! += 1;
  }
  return { admitted, refused, busy, firstMs, lastMs };
}

/** `threadId` keeps the keys of two threads apart. */
function welcome(limiter: Limiter, newcomers: number): Hammered {
  const key = new Uint8Array(2 * Int32Array.BYTES_PER_ELEMENT);
  const words = new Int32Array(key.buffer);
  words[1] = threadId;
  const counts = new Map<Verdict, number>();
  const firstMs = monotonicMs();
  let lastMs = firstMs;
  for (let newcomer = 0; newcomer < newcomers; newcomer++) {
    words[0] = newcomer;
    lastMs = monotonicMs();
    const verdict = limiter.chargeRequest(key, key.length, lastMs);
    counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  }
  const count = (verdict: Verdict): number => counts.get(verdict) ?? 0;
  return { admitted: [count(ADMITTED)], refused: [count(LIMITED)], busy: count(BUSY), firstMs, lastMs };
}

const { implementation, memory, config, newcomers } = workerData as Hammering;
const { openLimiter } = await LIMITERS[implementation]();
const limiter = openLimiter(memory, config);
const input = awaitStart<Hammering>();
parentPort!.postMessage(newcomers === undefined ? hammer(limiter, input) : welcome(limiter, newcomers));
