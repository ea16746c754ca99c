/** Requests that wait for a disk, one after the other in the accepting thread, or each in a thread of its own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { BenchModule, Side } from '../../../src/learn/bench-module.ts';
import { ThreadRig } from './threads.ts';

const REQUESTS = 8;
/** A slow disk, or a computation: long against a thread's start. */
const WAIT_MS = 100;
const STATUS = 299;

/** The work of a request, as source, because a thread of its own runs it as well. */
const waitSource = (waitMs: number): string =>
  waitMs === 0 ? '' : `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${waitMs});`;

function serveInPlace(waitMs: number): void {
  for (let n = 0; n < REQUESTS; n++) {
    if (waitMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, waitMs);
  }
}

async function serveInThreads(rig: ThreadRig): Promise<void> {
  const first = rig.threads.length;
  const exchanges = Array.from({ length: REQUESTS }, () => rig.admit());
  await Promise.all(rig.threads.slice(first).map(({ worker }) => once(worker, 'exit')));
  for (const { status } of exchanges) assert.equal(status, STATUS, 'each request is answered by its thread');
}

async function measureRequests(side: Side, ms: number, waitMs: number): Promise<number> {
  const source = `
    ${waitSource(waitMs)}
    require('node:worker_threads').parentPort.postMessage({ status: ${STATUS}, head: '', body: '', close: false });
  `;
  const rig = await ThreadRig.open(REQUESTS, () => true, source);
  const start = performance.now();
  let requests = 0;
  while (performance.now() - start < ms) {
    if (side === 'before') serveInPlace(waitMs);
    else await serveInThreads(rig);
    requests += REQUESTS;
  }
  return (performance.now() - start) / requests;
}

export const bench: BenchModule['bench'] = {
  unit: 'ms a request',
  question: `${REQUESTS} requests wait ${WAIT_MS} ms each for the disk, one after the other. With a thread for each: how many ms a request?`,
  rows: [
    {
      name: `${REQUESTS} that wait ${WAIT_MS} ms`,
      measure: (side, ms) => measureRequests(side, ms, WAIT_MS),
    },
    { name: `${REQUESTS} that do not wait`, measure: (side, ms) => measureRequests(side, ms, 0) },
  ],
};
