import type { Layout, Scenario } from '../../../src/happens-before/scenario.ts';
import type * as counters from '../../../src/telemetry/counters.ts';
import type * as histogram from '../../../src/telemetry/histogram.ts';
import { type Algorithm, swap } from '../algorithm.ts';
import { linesOf, memoryFor, SHARED_DATA, type SharedDataModule } from './shared-data.ts';

type Modules = Pick<typeof counters, 'createCounterBlock' | 'WORKER' | 'WORKER_SLOTS'> &
  Pick<typeof histogram, 'createHistogramBlock' | 'Histograms' | 'readHistogram'> &
  SharedDataModule;

const FILE = 'telemetry/histogram.js';
const NAMES = ['a'] as const;
const LATE = { late: 'a scrape may lag by a few events', lateReaders: ['main'] };

const TURNS = linesOf('turn');

const oneWriter: Scenario<Modules> = {
  name: 'one thread counts while main reads',
  prepare: ({
    createCounterBlock,
    createHistogramBlock,
    Histograms,
    open,
    readHistogram,
    WORKER,
    WORKER_SLOTS,
  }) => {
    const block = createCounterBlock(WORKER_SLOTS);
    const histograms = createHistogramBlock(NAMES);
    const turns = memoryFor(TURNS);
    const layoutOf = (name: string, memory: SharedArrayBuffer): Layout => [
      { name, byte: 0, bytes: memory.byteLength, ...LATE },
    ];
    return {
      memories: [
        { memory: block, layout: layoutOf('counters', block) },
        { memory: turns, layout: TURNS },
        { memory: histograms, layout: layoutOf('histogram', histograms) },
      ],
      threads: {
        worker: () => {
          const { f64 } = open(block);
          const own = new Histograms(histograms, NAMES);
          const { atomics, i32 } = open(turns);
          for (let event = 0; event < 3; event++) {
            // Something that it publishes, at which main may continue.
            atomics.store(i32, 0, event);
            f64[WORKER.metrics_accepted]! += 1;
            own.record(0, 2 ** event);
          }
        },
        main: ({ expect }) => {
          const { f64 } = open(block);
          const first = f64[WORKER.metrics_accepted]!;
          expect(f64[WORKER.metrics_accepted]! >= first, 'a counter never goes back');
          const { count, cumulative } = readHistogram(histograms, NAMES, 0);
          expect(cumulative.at(-1) === count, 'the count is the sum of the buckets');
        },
      },
    };
  },
};

export const countersAndHistograms: Algorithm<Modules> = {
  name: 'counters and histograms',
  modules: ['telemetry/counters.js', FILE, SHARED_DATA],
  breaks: [],
  scenarios: [oneWriter],
  variants: [
    swap(
      'a reader that resets the count',
      FILE,
      'return { cumulative, sum: slots[base + SUM_F64], count };',
      'slots[base + SUM_F64] = 0; return { cumulative, sum: 0, count };',
    ),
  ],
};
