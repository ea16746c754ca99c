/** Dispatch of a request: a thread that starts for it and ends, or a place in the queue of a worker that stays. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Gate } from '../../../src/admission/gate.ts';
import { Control, createControlBlock } from '../../../src/base/control.ts';
import { Breaker, createBreakerMemory } from '../../../src/breaker/breaker.ts';
import { TaskQueue } from '../../../src/dispatch/task-queue.ts';
import type { BenchModule } from '../../../src/learn/bench-module.ts';
import { BREAKER_DEFAULTS } from '../../support/writer-rig.ts';
import { ThreadRig } from '../phase-1/threads.ts';

const THREAD = `
  require('node:worker_threads').parentPort.postMessage({ status: 200, head: '', body: '', close: false });
`;
const LANES = 4;
/** Requests that one commit settles. */
const GROUP = 50;

/** CPU microseconds of a request. */
async function withThreads(ms: number): Promise<number> {
  const rig = await ThreadRig.open(LANES, () => true, THREAD);
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  do {
    const first = rig.threads.length;
    for (let n = 0; n < LANES; n++) rig.admit();
    await Promise.all(rig.threads.slice(first).map(({ worker }) => once(worker, 'exit')));
  } while (performance.now() < end);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / rig.threads.length;
}

class Pool {
  private readonly queue = new TaskQueue<{ readonly id: number }>(1_000);
  private readonly gate = new Gate(
    new Control(createControlBlock()),
    new Breaker(createBreakerMemory(BREAKER_DEFAULTS)),
    this.queue,
    null,
  );
  private readonly requests = Array.from({ length: GROUP }, (_, id) => ({ id }));
  private cursor = 0;

  /** Queues a group of requests, and settles them all with one move of the stored cursor. @returns those settled */
  serveGroup(nowMs: number): number {
    for (const request of this.requests) {
      if (this.gate.atBody(nowMs) !== null) continue;
      this.cursor = (this.cursor + 100) | 0;
      this.queue.push(request, this.cursor, nowMs);
    }
    let settled = 0;
    while (this.queue.headIsSettled(this.cursor)) {
      assert.ok(this.queue.shift() === this.requests[settled], 'requests are settled in order');
      settled++;
    }
    return settled;
  }
}

function withQueue(ms: number): number {
  const pool = new Pool();
  for (let group = 0; group < 2_000; group++) pool.serveGroup(group);
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  let requests = 0;
  do {
    for (let group = 0; group < 100; group++) requests += pool.serveGroup(group);
  } while (performance.now() < end);
  const { user, system } = process.cpuUsage(before);
  assert.ok(requests > 0, 'requests are admitted and settled');
  return (user + system) / requests;
}

export const bench: BenchModule['bench'] = {
  unit: 'µs a request, CPU',
  question:
    'a thread for each request costs some 40,000 µs. A worker that stays queues it and settles it: how many µs?',
  rows: [{ name: 'dispatch', measure: (side, ms) => (side === 'before' ? withThreads(ms) : withQueue(ms)) }],
};
