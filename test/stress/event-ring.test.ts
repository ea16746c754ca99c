import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SampleSink } from '../../src/telemetry/recorder.ts';
import { createEventRing, EVENT_RING_RECORDS, EventRingConsumer } from '../../src/telemetry/ring-buffer.ts';
import type { Sample } from '../../src/telemetry/sample.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import type { Recording } from './event-ring-worker.ts';

const WORKER = new URL('./event-ring-worker.js', import.meta.url);

/** Checks each record against its number, and that numbers only grow. */
class Checker implements SampleSink {
  drained = 0;
  torn = 0;
  misordered = 0;
  private last = -1;

  record(sample: Sample): void {
    const n = sample.clientHash;
    const whole =
      sample.status === (n ^ 0x5a5a5a5a) &&
      sample.metrics === -n &&
      sample.receiveNs === n + 0.5 &&
      sample.limitNs === n * 2 &&
      sample.parseNs === n * 3 &&
      sample.encodeNs === n * 5 &&
      sample.queueNs === n * 7 &&
      sample.totalNs === n * 11;
    if (!whole) this.torn++;
    if (n <= this.last) this.misordered++;
    this.last = n;
    this.drained++;
  }
}

/** Drains while a thread records; `pause` slows this side down, so that the ring fills. */
async function race(records: number, batch: number, pause: () => void) {
  const ring = createEventRing();
  const done = new SharedArrayBuffer(4);
  const consumer = new EventRingConsumer(ring);
  const checker = new Checker();
  await runThreads<Recording, number>(WORKER, [{ ring, records, done }], () => {
    const flag = new Int32Array(done);
    for (;;) {
      // Pairs with the store in the worker. Loaded before the drain, so that the last drain sees everything.
      const finished = Atomics.load(flag, 0) === 1;
      const drained = consumer.drain(checker, batch);
      if (finished && drained === 0) return;
      pause();
    }
  });
  return { checker, consumer };
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

test('no record is torn or out of order, and drained plus dropped is recorded', async (t) => {
  const records = Math.round(stressMs * 3000);
  const { checker, consumer } = await race(records, EVENT_RING_RECORDS, () => {});
  t.diagnostic(`${checker.drained} drained, ${consumer.dropped} dropped`);
  assert.deepEqual([checker.torn, checker.misordered], [0, 0]);
  assert.equal(checker.drained + consumer.dropped, records);
  assert.ok(checker.drained >= EVENT_RING_RECORDS);
});

test('a consumer that is too slow loses samples, counted, and reads no torn one', async (t) => {
  const records = Math.round(stressMs * 100);
  const { checker, consumer } = await race(records, 100, () => Atomics.wait(sleeper, 0, 0, 0.05));
  t.diagnostic(`${checker.drained} drained, ${consumer.dropped} dropped`);
  assert.ok(consumer.dropped > 0);
  assert.deepEqual([checker.torn, checker.misordered], [0, 0]);
  assert.equal(checker.drained + consumer.dropped, records);
});
