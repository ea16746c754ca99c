import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as turnEnd } from 'node:timers/promises';
import { Bell, createBell } from '../../src/base/bell.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { Control, createControlBlock } from '../../src/base/control.ts';
import { Breaker, createBreakerMemory } from '../../src/breaker/breaker.ts';
import { limiterConfigOf } from '../../src/config/slices.ts';
import type { DispatcherParts } from '../../src/dispatch/dispatcher.ts';
import { openDispatcher } from '../../src/dispatch/worker-pool.ts';
import { Exchange } from '../../src/http/exchange.ts';
import { createJournalRing, JournalConsumer, JournalProducer } from '../../src/journal/ring.ts';
import { createLimiterMemory, openLimiter } from '../../src/limiter/striped-lock.ts';
import { createParser } from '../../src/parser/single-pass/single-pass.ts';
import { Pipeline } from '../../src/pipeline.ts';
import { createCounterBlock, WORKER_SLOTS, WRITER_SLOTS } from '../../src/telemetry/counters.ts';
import { createHistogramBlock, Histograms, WORKER_HISTOGRAM_NAMES } from '../../src/telemetry/histogram.ts';
import { createSampleMemories, openRecorder } from '../../src/telemetry/ring-buffer.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { BREAKER_DEFAULTS } from '../support/writer-rig.ts';

/** As many as the ring has. */
const RUN_SLOTS = 4096;
const LIMITS = { maxBodyBytes: 64 << 10, maxBatch: 1_000 };
const CONFIG = {
  workers: 1,
  queueTasks: 16,
  ack: 'synced',
  targetDelayMs: 0,
  journalBytes: 8 << 20,
  requestTimeoutMs: 60_000,
  rateLimit: 0,
  rateBurst: 1,
  metricRateLimit: 0,
  metricRateBurst: 1,
  limiterClients: 1_024,
} as DispatcherParts['config'];

/** The real ring, whose consumer releases at the worst moment: just after a publish found every run slot in use. */
class LateRelease extends JournalProducer {
  release = () => {};

  override publish(): boolean {
    const hasPublished = super.publish();
    if (!hasPublished) this.release();
    return hasPublished;
  }
}

async function openWorker(journal: JournalProducer) {
  const limiter = limiterConfigOf(CONFIG);
  const pipeline = new Pipeline(
    createParser(LIMITS),
    openLimiter(createLimiterMemory(limiter), limiter),
    journal,
    { ...limiter, maxBatch: LIMITS.maxBatch, dedupsBodies: false },
    null,
  );
  return openDispatcher({
    config: CONFIG,
    control: new Control(createControlBlock()),
    breaker: new Breaker(createBreakerMemory(BREAKER_DEFAULTS)),
    bell: new Bell(createBell()),
    counters: new Float64Array(createCounterBlock(WORKER_SLOTS)),
    histograms: new Histograms(createHistogramBlock(WORKER_HISTOGRAM_NAMES), WORKER_HISTOGRAM_NAMES),
    recorder: openRecorder(createSampleMemories(1)[0]!),
    writerCounters: new Float64Array(createCounterBlock(WRITER_SLOTS)),
    openPipeline: () => Promise.resolve(pipeline),
    startRequestThread: () => assert.fail('a pool starts no thread for a request'),
    isSettled: () => true,
    died: (error) => assert.fail(error),
  });
}

it('publishes lines that found no run slot as soon as it sees that the stored cursor has moved', async () => {
  const memory = createJournalRing(CONFIG.journalBytes);
  const journal = new LateRelease(memory);
  const consumer = new JournalConsumer(memory);
  for (let run = 0; run < RUN_SLOTS; run++) {
    journal.commit(journal.claim(1) + 1, 1);
    assert.equal(journal.publish(), true);
  }
  const worker = await openWorker(journal);
  for (let run = 0; run < RUN_SLOTS; run++) assert.equal(consumer.next(), true);
  journal.release = () => consumer.release();
  const name = uniqueName('late');
  const exchange = new Exchange({ aborted: () => {}, received: () => {}, released: () => {} });
  worker.admit(exchange, Buffer.from(namesBody(name)));
  assert.equal(worker.pending, 1);
  // The worker ends its turn before this does.
  await turnEnd();
  assert.equal(consumer.next(), true);
  const { bytes, runOffset, runBytes } = consumer;
  assert.match(Buffer.from(bytes.subarray(runOffset, runOffset + runBytes)).toString(), new RegExp(name));
});

/** A worker over a ring that has room, the ring's consumer, and requests whose body was complete at a time of choice. */
async function openGatheringWorker() {
  const memory = createJournalRing(CONFIG.journalBytes);
  const consumer = new JournalConsumer(memory);
  const worker = await openWorker(new JournalProducer(memory));
  const admit = (receivedMs: number): void => {
    const exchange = new Exchange({ aborted: () => {}, received: () => {}, released: () => {} });
    exchange.receivedMs = receivedMs;
    worker.admit(exchange, Buffer.from(namesBody(uniqueName('gathered'))));
  };
  return { worker, consumer, admit };
}

it('gathers the requests of successive turns, and publishes them once a turn brings none', async () => {
  const { consumer, admit } = await openGatheringWorker();
  // Later than the test ends, so that the batch never counts as old.
  const receivedMs = monotonicMs() + 60_000;
  for (let turn = 0; turn < 3; turn++) {
    admit(receivedMs);
    await turnEnd();
    assert.equal(consumer.next(), false, `nothing is published in turn ${turn}`);
  }
  await turnEnd();
  assert.equal(consumer.next(), true);
  assert.equal(consumer.runLines, 3);
});

it('publishes a batch that has gathered for long at the end of the turn', async () => {
  const { consumer, admit } = await openGatheringWorker();
  admit(monotonicMs() - 60_000);
  await turnEnd();
  assert.equal(consumer.next(), true);
  // The next batch gathers anew.
  admit(monotonicMs() + 60_000);
  await turnEnd();
  assert.equal(consumer.next(), false);
  await turnEnd();
  assert.equal(consumer.next(), true);
});

it('keeps a batch that gathers together when an earlier one is stored', async () => {
  const { worker, consumer, admit } = await openGatheringWorker();
  admit(monotonicMs() - 60_000);
  await turnEnd();
  assert.equal(consumer.next(), true);
  consumer.release();
  // The batch grows in each turn until the worker has learned of the release.
  let admitted = 1;
  do {
    admit(monotonicMs() + 60_000);
    admitted++;
    await turnEnd();
  } while (worker.pending === admitted);
  assert.equal(worker.pending, admitted - 1);
  assert.equal(consumer.next(), false);
});
