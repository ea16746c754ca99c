/** The contract of the telemetry slot, run over every implementation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Recorder,
  SAMPLED_STAGES,
  type Samples,
  STATUS_CLASSES,
  type TelemetryModule,
} from '../../src/telemetry/recorder.ts';
import { sampleOf } from '../support/samples.ts';

/** Recorder, status, stages from receive to queue in nanoseconds, total. */
type Recorded = readonly [recorder: number, status: number, stages: readonly number[], totalNs: number];

const RECORDERS = 3;

const samplesOfRequests: fc.Arbitrary<Recorded[]> = fc.array(
  fc.tuple(
    fc.nat(RECORDERS - 1),
    fc.constantFrom(200, 202, 400, 429, 503, 504),
    fc.array(fc.nat(1e6), { minLength: SAMPLED_STAGES.length, maxLength: SAMPLED_STAGES.length }),
    fc.nat(1e9),
  ),
  { maxLength: 50 },
);

function record(
  recorder: Recorder,
  status: number,
  stages: readonly number[],
  totalNs: number,
  client = 1,
  metrics = 1,
): void {
  const [receiveNs = 0, limitNs = 0, parseNs = 0, encodeNs = 0, queueNs = 0] = stages;
  recorder.record(
    sampleOf({
      clientHash: client,
      status,
      metrics,
      receiveNs,
      limitNs,
      parseNs,
      encodeNs,
      queueNs,
      totalNs,
    }),
  );
}

/** One answered request that passed all stages. */
function recordPlain(recorder: Recorder, totalNs = 1000): void {
  record(recorder, 200, [1, 2, 3, 4, 5], totalNs);
}

const total = (values: readonly number[]) => ({
  count: values.length,
  sum: values.reduce((sum, value) => sum + value, 0),
});

function open(module: TelemetryModule, recorders = RECORDERS) {
  const memories = module.createSampleMemories(recorders);
  return { memories, recorders: memories.map(module.openRecorder), samples: module.openSamples(memories) };
}

const count = (samples: Samples): number => samples.requests('2xx').count;

/**
 * @param loseNext makes the next sample for `memory` impossible to record; resolves with the number of samples, all of
 * status 200, that it recorded for that
 */
export function telemetryContract(
  name: string,
  module: TelemetryModule,
  loseNext: (memory: SharedArrayBuffer) => Promise<number>,
): void {
  describe(`${name}: samples`, () => {
    it('are summed for each stage reached and each class of status, over all threads', () => {
      fc.assert(
        fc.property(samplesOfRequests, (requests) => {
          const { recorders, samples } = open(module);
          for (const [index, status, stages, totalNs] of requests)
            record(recorders[index]!, status, stages, totalNs);
          for (const recorder of recorders) recorder.publish();
          samples.drain();
          SAMPLED_STAGES.forEach((stage, at) => {
            const times = requests.map(([, , stages]) => stages[at]!);
            const { count, sum } = samples.stage(stage);
            // Every request has a receive time. A stage of 0 ns was not reached.
            const reached = stage === 'receive' ? times : times.filter((ns) => ns > 0);
            assert.deepEqual({ count, sum }, total(reached), stage);
          });
          for (const statusClass of STATUS_CLASSES) {
            const own = requests.filter(([, status]) => statusClass.startsWith(`${status}`[0]!));
            const { count, sum } = samples.requests(statusClass);
            assert.deepEqual({ count, sum }, total(own.map(([, , , totalNs]) => totalNs)), statusClass);
          }
          assert.equal(samples.dropped, 0);
        }),
        { numRuns: 50 },
      );
    });

    it('round fractions to the nearest nanosecond, and count a negative time as a stage not reached', () => {
      const { recorders, samples } = open(module);
      record(recorders[0]!, 200, [-3, 1.5, 0.4], 7.4);
      recorders[0]!.publish();
      samples.drain();
      const sums = (['receive', 'limit', 'parse', 'encode'] as const).map((stage) => samples.stage(stage));
      assert.deepEqual(
        sums.map(({ count, sum }) => [count, sum]),
        [
          [1, 0],
          [1, 2],
          [1, 0],
          [0, 0],
        ],
      );
      assert.equal(samples.requests('2xx').sum, 7);
    });

    it('are counted once, however often they are drained', () => {
      const { recorders, samples } = open(module);
      for (let round = 1; round <= 3; round++) {
        for (const recorder of recorders) {
          recordPlain(recorder);
          recorder.publish();
          recorder.publish();
        }
        samples.drain();
        samples.drain();
        assert.equal(count(samples), round * RECORDERS);
      }
    });

    it('continue when a memory passes from one thread to the next', () => {
      const { memories, recorders, samples } = open(module);
      for (let generation = 0; generation < 5; generation++) {
        // More in total than a ring holds.
        for (const recorder of generation === 0 ? recorders : memories.map(module.openRecorder)) {
          for (let k = 0; k < 2000; k++) recordPlain(recorder, generation + 1);
          recorder.publish();
        }
        if (generation % 2 === 0) samples.drain();
      }
      assert.equal(samples.dropped, 0);
      assert.equal(count(samples), 5 * 2000 * RECORDERS);
      assert.equal(samples.requests('2xx').sum, (1 + 2 + 3 + 4 + 5) * 2000 * RECORDERS);
    });

    it('that cannot be recorded are counted, and damage no others', { timeout: 180_000 }, async () => {
      const { memories, recorders, samples } = open(module, 1);
      const [recorder] = recorders;
      recordPlain(recorder!);
      recordPlain(recorder!);
      recorder!.publish();
      samples.drain();
      const held = await loseNext(memories[0]!);
      const late = module.openRecorder(memories[0]!);
      for (let k = 0; k < 3; k++) record(late, 503, [1], 1e9);
      late.publish();
      assert.equal(samples.dropped, 3);
      samples.drain();
      assert.equal(count(samples), 2 + held);
      assert.equal(samples.requests('5xx').count, 0);
      assert.ok(samples.slowest!.totalNs < 1e9);
      assert.equal(samples.dropped, 3);
    });
  });

  describe(`${name}: the slowest request`, () => {
    it('is null before the first request', () => {
      const { samples } = open(module);
      samples.drain();
      assert.equal(samples.slowest, null);
    });

    it('is the slowest over all threads and drains, with the hash of its client', () => {
      const { recorders, samples } = open(module);
      const [first, second] = recorders;
      record(first!, 200, [1], 5000, 0x0abc, 3);
      record(second!, 429, [1], 9000, -2, 0);
      record(first!, 200, [1], 8999, 7, 7);
      first!.publish();
      second!.publish();
      samples.drain();
      const slowest = { client: 'fffffffe', status: 429, metrics: 0, totalNs: 9000 };
      assert.deepEqual(samples.slowest, slowest);
      record(first!, 200, [1], 8000, 1, 1);
      first!.publish();
      samples.drain();
      assert.deepEqual(samples.slowest, slowest);
      record(first!, 200, [1], 9000.5, 0x0abc, 3);
      first!.publish();
      samples.drain();
      assert.deepEqual(samples.slowest, { client: '00000abc', status: 200, metrics: 3, totalNs: 9000.5 });
    });
  });
}
