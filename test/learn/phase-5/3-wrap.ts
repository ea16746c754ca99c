import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { EVENT_RING_RECORDS } from '../../../src/telemetry/ring-buffer.ts';
import { openRing, read, recordMany } from './rings.ts';

const BATCH = EVENT_RING_RECORDS / 2 + 10;

export const check: StepModule['check'] = () => {
  const { producer, consumer } = openRing();
  for (let round = 0; round < 4; round++) {
    const first = round * BATCH;
    recordMany(producer, first, BATCH);
    producer.publish();
    const got = read(consumer);
    const did = `Round ${round + 1}: the test recorded samples ${first} to ${first + BATCH - 1}, published and drained.`;
    expectEqual(got.length, BATCH, {
      did,
      expected: `${BATCH} records`,
      so: 'records are missing: the ring takes itself for full, or does not see its end',
    });
    const wrong = got.findIndex((client, index) => client !== first + index);
    expectEqual(wrong < 0 ? [] : [got[wrong]], wrong < 0 ? [] : [first + wrong], {
      did,
      so:
        round === 0
          ? 'records share a place although the ring has room for all of them'
          : 'the place of a record past the end of the ring is not the place of the first',
    });
  }
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the producer runs past the end',
    find: 'HEADER_LINES + (written & RECORD_MASK)',
    replace: 'HEADER_LINES + written',
  },
  {
    mistake: 'the consumer runs past the end',
    find: 'HEADER_LINES + ((this.consumed + taken) & RECORD_MASK)',
    replace: 'HEADER_LINES + this.consumed + taken',
  },
  {
    mistake: 'the mask is the size',
    find: 'const RECORD_MASK = EVENT_RING_RECORDS - 1;',
    replace: 'const RECORD_MASK = EVENT_RING_RECORDS;',
  },
];
