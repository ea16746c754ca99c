/** The cost of a record: one thread alone, and two threads beside each other. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { BenchModule, Side } from '../../../src/learn/bench-module.ts';
import type { Recorder, TelemetryModule } from '../../../src/telemetry/recorder.ts';
import { sampleOf } from '../../support/samples.ts';

const BATCH = 64;
const CONSUMED_WORD = 16;
const WARM_UP_BATCHES = 2_000;

export async function loadSide(side: Side): Promise<TelemetryModule> {
  return side === 'before'
    ? await import('../../../src/telemetry/locked.ts')
    : await import('../../../src/telemetry/ring-buffer.ts');
}

/** Frees the ring as a main that keeps up would, at no cost. */
export function freeRing(side: Side, memory: SharedArrayBuffer): void {
  if (side === 'before') return;
  const words = new Int32Array(memory);
  Atomics.store(words, CONSUMED_WORD, Atomics.load(words, 0));
}

export function recordBatches(
  side: Side,
  memory: SharedArrayBuffer,
  recorder: Recorder,
  batches: number,
): void {
  const sample = sampleOf({ totalNs: 5_000 });
  for (let batch = 0; batch < batches; batch++) {
    for (let n = 0; n < BATCH; n++) recorder.record(sample);
    recorder.publish();
    freeRing(side, memory);
  }
}

/** CPU nanoseconds of a record over at least `ms`. */
export function measureRecords(
  side: Side,
  memory: SharedArrayBuffer,
  recorder: Recorder,
  ms: number,
): number {
  recordBatches(side, memory, recorder, WARM_UP_BATCHES);
  const end = performance.now() + ms;
  const before = process.cpuUsage();
  let records = 0;
  while (performance.now() < end) {
    recordBatches(side, memory, recorder, 100);
    records += 100 * BATCH;
  }
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1e3) / records;
}

async function checkAnswers(module: TelemetryModule): Promise<void> {
  const [memory] = module.createSampleMemories(1);
  const recorder = module.openRecorder(memory!);
  for (let n = 0; n < 10; n++) recorder.record(sampleOf({ totalNs: 100 }));
  recorder.publish();
  const samples = module.openSamples([memory!]);
  samples.drain();
  assert.equal(samples.requests('2xx').count, 10, 'ten samples go in, ten come out');
}

const OWN_THREAD = new URL('./bench-thread.js', import.meta.url);

export const bench: BenchModule['bench'] = {
  unit: 'ns a record, CPU',
  question: 'two threads record behind one lock at 100 to 200 ns a record. A ring for each: how many ns?',
  rows: [
    {
      name: '1 thread',
      async measure(side, ms) {
        const module = await loadSide(side);
        await checkAnswers(module);
        const [memory] = module.createSampleMemories(1);
        return measureRecords(side, memory!, module.openRecorder(memory!), ms);
      },
    },
    {
      name: '2 threads',
      async measure(side, ms) {
        const module = await loadSide(side);
        const [first, second] = module.createSampleMemories(2);
        const go = new Int32Array(new SharedArrayBuffer(4));
        const thread = new Worker(OWN_THREAD, { workerData: { side, memory: second, go, ms } });
        await once(thread, 'message');
        Atomics.store(go, 0, 1);
        Atomics.notify(go, 0);
        // Both threads record at once, so the process's CPU time per record counts each of them.
        const recorder = module.openRecorder(first!);
        recordBatches(side, first!, recorder, WARM_UP_BATCHES);
        const ended = once(thread, 'message') as Promise<[number]>;
        const before = process.cpuUsage();
        const end = performance.now() + ms;
        let records = 0;
        while (performance.now() < end) {
          recordBatches(side, first!, recorder, 100);
          records += 100 * BATCH;
        }
        const [others] = await ended;
        const { user, system } = process.cpuUsage(before);
        return ((user + system) * 1e3) / (records + others);
      },
    },
  ],
};
