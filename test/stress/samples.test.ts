import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import * as locked from '../../src/telemetry/locked.ts';
import { SAMPLED_STAGES, type Samples, type TelemetryModule } from '../../src/telemetry/recorder.ts';
import * as ringBuffer from '../../src/telemetry/ring-buffer.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import type { Sampling } from './samples-worker.ts';

const WORKER = new URL('./samples-worker.js', import.meta.url);
const THREADS = 4;
const RATIOS = [1, 2, 3, 5, 7, 11] as const;
const UNITS = 1000;

interface Implementation {
  readonly module: TelemetryModule;
  readonly path: string;
}

const IMPLEMENTATIONS: Readonly<Record<string, Implementation>> = {
  locked: { module: locked, path: new URL('../../src/telemetry/locked.js', import.meta.url).href },
  'ring buffer': {
    module: ringBuffer,
    path: new URL('../../src/telemetry/ring-buffer.js', import.meta.url).href,
  },
};

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** One drain reads a bounded number of samples. */
function drainAll(samples: Samples): void {
  let taken = -1;
  while (taken < samples.requests('2xx').count) {
    taken = samples.requests('2xx').count;
    samples.drain();
  }
}

/** One thread per memory records. This thread drains until all have ended, and once more. */
async function recordAll(
  samples: Samples,
  memories: readonly SharedArrayBuffer[],
  implementation: string,
  records: number,
  pauseMs: number,
): Promise<void> {
  const done = new SharedArrayBuffer(4);
  await runThreads<Sampling, number>(
    WORKER,
    memories.map((memory) => ({ implementation, memory, records, ratios: RATIOS, units: UNITS, done })),
    () => {
      const ended = new Int32Array(done);
      for (;;) {
        // Pairs with the add in the workers. Loaded before the drains, so that the last one sees everything.
        const allEnded = Atomics.load(ended, 0) === memories.length;
        samples.drain();
        if (allEnded) return drainAll(samples);
        if (pauseMs > 0) Atomics.wait(sleeper, 0, 0, pauseMs);
      }
    },
  );
}

/** Every sample was either recorded completely or counted as dropped. */
function assertWhole(t: TestContext, samples: Samples, recorded: number): void {
  const requests = samples.requests('2xx');
  t.diagnostic(`${requests.count} taken, ${samples.dropped} dropped`);
  assert.equal(requests.count + samples.dropped, recorded);
  const totalRatio = RATIOS[SAMPLED_STAGES.length]!;
  const units = requests.sum / totalRatio;
  assert.ok(Number.isInteger(units));
  SAMPLED_STAGES.forEach((stage, index) => {
    const { count, sum } = samples.stage(stage);
    assert.deepEqual({ count, sum }, { count: requests.count, sum: units * RATIOS[index]! }, stage);
  });
  assert.equal(samples.slowest?.totalNs, UNITS * totalRatio);
  assert.equal(samples.slowest?.metrics, UNITS);
}

for (const [name, { module, path }] of Object.entries(IMPLEMENTATIONS)) {
  describe(`${name}: ${THREADS} threads that record concurrently`, { timeout: 360_000 }, () => {
    it('record each sample completely or count its loss, while main drains without pause', async (t) => {
      const records = Math.round(stressMs * 100);
      const memories = module.createSampleMemories(THREADS);
      const samples = module.openSamples(memories);
      await recordAll(samples, memories, path, records, 0);
      assertWhole(t, samples, THREADS * records);
    });

    it('do so while main drains now and then', async (t) => {
      const records = Math.round(stressMs * 100);
      const memories = module.createSampleMemories(THREADS);
      const samples = module.openSamples(memories);
      await recordAll(samples, memories, path, records, 5);
      assertWhole(t, samples, THREADS * records);
    });

    it('do so when they end and others continue in their place', async (t) => {
      const records = 3000;
      const generations = Math.max(3, Math.round(stressMs / 500));
      const memories = module.createSampleMemories(THREADS);
      const samples = module.openSamples(memories);
      for (let generation = 0; generation < generations; generation++)
        await recordAll(samples, memories, path, records, 1);
      assertWhole(t, samples, generations * THREADS * records);
    });
  });
}
