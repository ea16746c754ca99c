/**
 * Recording telemetry on the hot path, against prom-client's own calls.
 *
 * Targets: counters and histograms at most 5 ns, a sample in the event ring at most 15 ns.
 */
import assert from 'node:assert/strict';
import { Counter, Histogram, Registry } from 'prom-client';
import { LINE_I32 } from '../../src/base/shared-memory.ts';
import { createCounterBlock, WORKER, WORKER_SLOTS } from '../../src/telemetry/counters.ts';
import {
  createHistogramBlock,
  Histograms,
  readHistogram,
  WORKER_HISTOGRAM_NAMES,
  WORKER_HISTOGRAMS,
} from '../../src/telemetry/histogram.ts';
import {
  createEventRing,
  EVENT_RING_RECORDS,
  EventRingConsumer,
  EventRingProducer,
} from '../../src/telemetry/ring-buffer.ts';
import { Sample } from '../../src/telemetry/sample.ts';
import { type BenchCase, compare } from '../harness/compare.ts';

const CALLS = EVENT_RING_RECORDS;

/** Log-uniform over 1 to 2^26, as sizes and durations come. */
const values = Int32Array.from({ length: CALLS }, (_, k) => Math.floor(2 ** (((k * 7919) % 2600) / 100)));

/** Counts what `run` adds before it is timed. */
const benchCase = (name: string, run: () => void, counted: () => number): BenchCase => ({
  name,
  perRun: CALLS,
  run,
  verify: () => {
    const before = counted();
    run();
    assert.equal(counted() - before, CALLS);
  },
});

function countersCase(): BenchCase {
  const counters = new Float64Array(createCounterBlock(WORKER_SLOTS));
  const run = (): void => {
    for (let call = 0; call < CALLS; call++) {
      counters[WORKER.requests_200]! += 1;
      counters[WORKER.metrics_accepted]! += values[call]!;
    }
  };
  return benchCase('two counters', run, () => counters[WORKER.requests_200]!);
}

function histogramCase(): BenchCase {
  const memory = createHistogramBlock(WORKER_HISTOGRAM_NAMES);
  const histograms = new Histograms(memory, WORKER_HISTOGRAM_NAMES);
  const index = WORKER_HISTOGRAMS.body_bytes;
  const run = (): void => {
    for (let call = 0; call < CALLS; call++) histograms.record(index, values[call]!);
  };
  return benchCase('histogram', run, () => readHistogram(memory, WORKER_HISTOGRAM_NAMES, index).count);
}

/** Requests that a loaded worker answers at once, and publishes the samples of. */
const ANSWERS_A_TURN = 16;

function eventRingCase(): BenchCase {
  const memory = createEventRing();
  const words = new Int32Array(memory);
  const producer = new EventRingProducer(memory);
  const sample = Object.assign(new Sample(), {
    ...{ status: 200, metrics: 1, receiveNs: 1_000, limitNs: 200.5 },
    ...{ parseNs: 900, encodeNs: 800, queueNs: 100_000 },
  });
  const record = (): void => {
    for (let call = 0; call < CALLS; call++) {
      sample.clientHash = call;
      sample.totalNs = values[call]!;
      producer.record(sample);
      if (call % ANSWERS_A_TURN === ANSWERS_A_TURN - 1) producer.publish();
    }
    producer.publish();
  };
  return {
    name: 'event ring, producer',
    perRun: CALLS,
    run: () => {
      record();
      // A consumer that takes everything at once and at no cost: its cursor jumps to the producer's.
      Atomics.store(words, LINE_I32, Atomics.load(words, 0));
    },
    verify: () => {
      const consumer = new EventRingConsumer(memory);
      let drained = 0;
      record();
      consumer.drain({ record: () => drained++ });
      assert.equal(drained, CALLS);
      assert.equal(consumer.dropped, 0);
    },
  };
}

const PROMETHEUS = { help: 'x', registers: [new Registry()] };

function promCounterCase(): BenchCase {
  const counter = new Counter({ ...PROMETHEUS, name: 'requests_total', labelNames: ['status'] });
  const run = (): void => {
    for (let call = 0; call < CALLS; call++) counter.inc({ status: '200' });
  };
  return { name: 'prom-client inc with a label', perRun: CALLS, run, verify: run };
}

function promHistogramCase(): BenchCase {
  const buckets = [1, 10, 100, 1e3, 1e4, 1e5, 1e6];
  const histogram = new Histogram({ ...PROMETHEUS, name: 'bytes', buckets });
  const run = (): void => {
    for (let call = 0; call < CALLS; call++) histogram.observe(values[call]!);
  };
  return { name: 'prom-client observe', perRun: CALLS, run, verify: run };
}

await compare({
  title: 'recording telemetry',
  unit: 'call',
  baseline: 'prom-client observe',
  cases: [promHistogramCase(), promCounterCase(), countersCase(), histogramCase(), eventRingCase()],
});
