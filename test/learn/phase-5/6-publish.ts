import { fileURLToPath } from 'node:url';
import { checkOrdering } from '../../../src/happens-before/check-ordering.ts';
import type { Layout, Scenario } from '../../../src/happens-before/scenario.ts';
import { StepFailure } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';
import type * as RingBuffer from '../../../src/telemetry/ring-buffer.ts';
import { sampleOf } from '../../support/samples.ts';
import { wordsOfRace } from '../races.ts';

const MODULE = fileURLToPath(new URL('../../../src/telemetry/ring-buffer.js', import.meta.url));
/** A small ring has all states of a large one. */
const RECORDS = 2;
const LINE_BYTES = 64;

const LAYOUT: Layout = [
  { name: 'PUBLISHED', byte: 0, bytes: 4 },
  { name: 'CONSUMED', byte: LINE_BYTES, bytes: 4 },
  { name: 'DROPPED', byte: 2 * LINE_BYTES, bytes: 8, unordered: 'a count that main only shows' },
  { name: 'record 0', byte: 3 * LINE_BYTES, bytes: LINE_BYTES },
  { name: 'record 1', byte: 4 * LINE_BYTES, bytes: LINE_BYTES },
];

const scenario: Scenario<typeof RingBuffer> = {
  name: 'three records through a ring of two',
  prepare({ createEventRing, EventRingProducer, EventRingConsumer }) {
    const memory = createEventRing();
    return {
      memories: [{ memory, layout: LAYOUT }],
      threads: {
        worker() {
          const producer = new EventRingProducer(memory);
          for (let n = 0; n < RECORDS + 1; n++) producer.record(sampleOf({ clientHash: n, totalNs: n }));
          producer.publish();
        },
        main() {
          const consumer = new EventRingConsumer(memory);
          const sink = { record: () => {} };
          consumer.drain(sink);
          consumer.drain(sink);
        },
      },
    };
  },
};

/** @param word that two threads use in no order */
function consequenceOf(word: string): string {
  return word.startsWith('CONSUMED')
    ? 'let the worker write over a record that main still reads'
    : 'show main half a record';
}

export const check: StepModule['check'] = async () => {
  const { races, failures } = await checkOrdering({
    module: MODULE,
    scenario,
    constants: { EVENT_RING_RECORDS: RECORDS },
  });
  const [race] = races;
  if (race !== undefined) {
    throw new StepFailure({
      did: 'The test ran a worker and main over a ring of two records, in all orders of their atomic operations.',
      expected: 'every two accesses to the same bytes are ordered',
      so: `nothing orders the two: it works on this processor; ARM and the next compiler may ${consequenceOf(race.first.word)}`,
      ...wordsOfRace(race),
    });
  }
  const [failure] = failures;
  if (failure !== undefined) {
    throw new StepFailure({
      did: 'The test ran a worker and main over a ring of two records, in all orders of their atomic operations.',
      expected: 'both threads end',
      got: failure.text,
    });
  }
};

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'a plain store publishes',
    find: 'Atomics.store(this.i32, PUBLISHED_I32, this.published);',
    replace: 'this.i32[PUBLISHED_I32] = this.published;',
  },
  {
    mistake: 'a plain load finds the records',
    find: 'difference(Atomics.load(i32, PUBLISHED_I32), this.consumed)',
    replace: 'difference(i32[PUBLISHED_I32]!, this.consumed)',
  },
  {
    mistake: 'a plain store frees the room',
    find: 'Atomics.store(i32, CONSUMED_I32, this.consumed);',
    replace: 'i32[CONSUMED_I32] = this.consumed;',
  },
  {
    mistake: 'a plain load finds the room',
    find: '      this.consumed = Atomics.load(i32, CONSUMED_I32);',
    replace: '      this.consumed = i32[CONSUMED_I32]!;',
  },
  {
    mistake: 'the room is freed before it is read',
    find: `    const count = Math.min(ready, max);
`,
    replace: `    const count = Math.min(ready, max);
    Atomics.store(i32, CONSUMED_I32, (this.consumed + count) | 0);
`,
  },
  {
    mistake: 'the cursor is published before the last record',
    find: '    const line = HEADER_LINES + (written & RECORD_MASK);\n',
    replace: `    this.written = (written + 1) | 0;
    this.publish();
    const line = HEADER_LINES + (written & RECORD_MASK);
`,
  },
];
