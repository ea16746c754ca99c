import type { Layout, Scenario } from '../../../src/happens-before/scenario.ts';
import type * as locked from '../../../src/telemetry/locked.ts';
import { sampleOf } from '../../support/samples.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = typeof locked;

const FILE = 'telemetry/locked.js';
const LINE_BYTES = 64;
const SLOWEST = 80 * LINE_BYTES;

const LAYOUT: Layout = [
  { name: 'histograms', byte: 0, bytes: SLOWEST },
  { name: 'SLOWEST', byte: SLOWEST, bytes: LINE_BYTES },
  { name: 'LOCK', byte: SLOWEST + LINE_BYTES, bytes: 4 },
  { name: 'DROPPED', byte: SLOWEST + 2 * LINE_BYTES, bytes: 4 },
];

function recording(name: string, timeouts: number, isLast: boolean): Scenario<Modules> {
  return {
    name,
    timeouts,
    operationsMax: 80,
    prepare: ({ createSampleMemories, openRecorder, openSamples }) => {
      const [memory] = createSampleMemories(1);
      const record = (totalNs: number) => () =>
        openRecorder(memory!).record(sampleOf({ totalNs, metrics: totalNs }));
      return {
        memories: [{ memory: memory!, layout: LAYOUT }],
        threads: {
          worker: record(5),
          other: record(9),
          main: ({ expect }) => {
            const samples = openSamples([memory!]);
            samples.drain();
            const { slowest, dropped } = samples;
            expect(slowest === null || slowest.metrics === slowest.totalNs, 'the slowest request is whole');
            const { count } = samples.requests('2xx');
            expect(count + dropped <= 2, 'no sample counts twice');
            if (isLast) expect(count + dropped === 2, 'each sample is counted or dropped');
          },
        },
        ...(isLast ? { after: { main: ['worker', 'other'] } } : {}),
      };
    },
  };
}

export const lockedMetrics: Algorithm<Modules> = {
  name: 'locked metrics',
  modules: [FILE],
  breaks: [FILE],
  constants: { SPINS: 0, LOCK_BOUND_MS: 0.25 },
  scenarios: [
    recording('two workers record while main drains', 0, false),
    recording('a worker gives up the lock', 1, false),
    recording('two workers record, one may give up the lock, then main drains', 1, true),
  ],
  variants: [
    swap('record without the lock', FILE, 'Atomics.add(i32, DROPPED_I32, 1);\n            return;', ''),
    swap(
      'copy after the unlock',
      FILE,
      'this.copyF64.set(this.sharedF64);',
      'unlock(i32, SAMPLES_LOCK_I32); this.copyF64.set(this.sharedF64);',
    ),
  ],
};
