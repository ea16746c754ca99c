import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import { createEventRing, EVENT_RING_RECORDS } from '../../../src/telemetry/ring-buffer.ts';
import { openRing, read, recordMany } from './rings.ts';

const LINE_BYTES = 64;
const LINE_WORDS = 16;

export const check: StepModule['check'] = () => {
  const bytes = createEventRing().byteLength;
  expectEqual(bytes, (3 + EVENT_RING_RECORDS) * LINE_BYTES, {
    did: 'The test measured the memory of a new ring in bytes.',
    expected: '3 header lines and 8,192 records, 64 bytes each: 524,480',
    so: bytes < 8192 * LINE_BYTES ? 'the records have no room' : 'some lines are missing or left over',
  });
  const { memory, producer, consumer } = openRing();
  const words = new Int32Array(memory);
  recordMany(producer, 0, 3);
  producer.publish();
  expectEqual(words[0], 3, {
    did: 'The test recorded 3 samples, published them, and read PUBLISHED, word 0.',
    so: 'PUBLISHED is not where the drawing has it',
  });
  read(consumer);
  expectEqual(words[LINE_WORDS], 3, {
    did: 'The test drained 3 records and read the first word of line 1, where CONSUMED belongs.',
    so: 'CONSUMED shares a cache line with PUBLISHED, or is elsewhere',
  });
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'no room for the header',
    find: '(HEADER_LINES + EVENT_RING_RECORDS) * LINE_BYTES',
    replace: 'EVENT_RING_RECORDS * LINE_BYTES',
  },
  {
    mistake: 'both cursors in one line',
    find: 'const CONSUMED_I32 = LINE_I32;',
    replace: 'const CONSUMED_I32 = 1;',
  },
  {
    mistake: 'an index in bytes',
    find: 'const CONSUMED_I32 = LINE_I32;',
    replace: 'const CONSUMED_I32 = LINE_BYTES;',
  },
];
