import { type Algorithm, swap } from '../algorithm.ts';
import {
  type EventRingModule,
  fullScenario,
  publishScenario,
  successorScenario,
} from './event-ring-scenarios.ts';

const FILE = 'telemetry/ring-buffer.js';

export const eventRing: Algorithm<EventRingModule> = {
  name: 'event ring',
  modules: [FILE],
  breaks: [FILE],
  constants: { EVENT_RING_RECORDS: 4 },
  scenarios: [publishScenario, fullScenario, successorScenario],
  harmless: {
    'plain load of PUBLISHED_I32 in constructor':
      'the producer before this one has ended, and the start of this thread orders the two',
  },
  variants: [
    swap(
      'one record more than the capacity',
      FILE,
      'if (difference(written, this.consumed) === EVENT_RING_RECORDS) {\n            // The',
      'if (difference(written, this.consumed) === EVENT_RING_RECORDS + 1) {\n            // The',
    ),
    swap(
      'publish before the record is written',
      FILE,
      'const line = HEADER_LINES + (written & RECORD_MASK);',
      'Atomics.store(i32, PUBLISHED_I32, (written + 1) | 0); const line = HEADER_LINES + (written & RECORD_MASK);',
    ),
    swap(
      'free the records before they are read',
      FILE,
      'const count = Math.min(ready, max);',
      'const count = Math.min(ready, max); Atomics.store(i32, CONSUMED_I32, (this.consumed + count) | 0);',
    ),
    swap(
      'no new look at CONSUMED when the ring seems full',
      FILE,
      'this.consumed = Atomics.load(i32, CONSUMED_I32);\n            if',
      'this.consumed = (this.consumed + 1) | 0;\n            if',
    ),
  ],
};
