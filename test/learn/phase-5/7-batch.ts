import { expectEqual, expectThat } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { openRing, read, recordMany } from './rings.ts';

const BATCH = 1000;

/** Runs `action` and counts the atomic operations that it calls by name. */
function countAtomics(action: () => void): { loads: number; stores: number } {
  const { load, store } = Atomics;
  const counts = { loads: 0, stores: 0 };
  const counted = Atomics as { load: unknown; store: unknown };
  counted.load = (words: Int32Array, index: number): number => {
    counts.loads++;
    return load(words, index);
  };
  counted.store = (words: Int32Array, index: number, value: number): number => {
    counts.stores++;
    return store(words, index, value);
  };
  try {
    action();
  } finally {
    counted.load = load;
    counted.store = store;
  }
  return counts;
}

export const check: StepModule['check'] = () => {
  const { producer, consumer } = openRing();
  recordMany(producer, 0, 3);
  expectEqual(read(consumer), [], {
    did: 'The test recorded 3 samples, did not publish, and drained.',
    so: 'records are visible before their batch is published',
  });
  const batch = countAtomics(() => {
    recordMany(producer, 3, BATCH);
    producer.publish();
    producer.publish();
  });
  const did = 'The test recorded 1,000 samples, published twice, and counted the atomic operations.';
  expectEqual(batch.stores, 1, {
    did,
    expected: '1 store',
    so: 'each further store costs as much as a record',
  });
  expectThat(batch.loads <= 1, {
    did,
    expected: 'at most 1 load, because the ring was never full',
    got: `${batch.loads} loads`,
    so: 'CONSUMED is loaded although the ring has room; main’s line travels for nothing',
  });
  expectEqual(read(consumer).length, BATCH + 3, { did: 'The test drained after the batch was published.' });
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'each record is published',
    find: '    this.written = (written + 1) | 0;\n    //<',
    replace: '    this.written = (written + 1) | 0;\n    this.publish();\n    //<',
  },
  {
    mistake: 'publish stores although nothing is new',
    find: '    if (this.published === this.written) return;\n',
    replace: '',
  },
  {
    mistake: 'CONSUMED is loaded for each record',
    find: '    const { i32, f64, written } = this;\n',
    replace:
      '    const { i32, f64, written } = this;\n    this.consumed = Atomics.load(i32, CONSUMED_I32);\n',
  },
];
