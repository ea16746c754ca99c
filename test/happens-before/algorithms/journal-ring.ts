import type { Layout, Prepared, Scenario, ThreadContext } from '../../../src/happens-before/scenario.ts';
import { FULL, type Outcome, REFUSED, STORED } from '../../../src/journal/journal.ts';
import type * as ring from '../../../src/journal/ring.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = Pick<typeof ring, 'createJournalRing' | 'isReleased' | 'JournalConsumer' | 'JournalProducer'>;
type Producer = InstanceType<Modules['JournalProducer']>;
type Consumer = InstanceType<Modules['JournalConsumer']>;

const FILE = 'journal/ring.js';
const CAPACITY_BYTES = 8;
const RUN_SLOTS = 2;
const OUTCOME_SLOTS = 2;
const ENTRY_BYTES = 16;
const OUTCOMES_BYTE = 4 * 64;
const RUNS_BYTE = OUTCOMES_BYTE + OUTCOME_SLOTS * ENTRY_BYTES;
const DATA_BYTE = RUNS_BYTE + RUN_SLOTS * ENTRY_BYTES;

const LAYOUT: Layout = [
  { name: 'PUBLISHED', byte: 0, bytes: 4 },
  { name: 'RELEASED', byte: 64, bytes: 4 },
  { name: 'RELEASED_RUNS', byte: 68, bytes: 4 },
  { name: 'OUTCOMES_PUSHED', byte: 128, bytes: 4 },
  { name: 'OUTCOMES_POPPED', byte: 192, bytes: 4 },
  { name: 'outcomes', byte: OUTCOMES_BYTE, bytes: OUTCOME_SLOTS * ENTRY_BYTES },
  { name: 'runs', byte: RUNS_BYTE, bytes: RUN_SLOTS * ENTRY_BYTES },
  { name: 'data', byte: DATA_BYTE, bytes: CAPACITY_BYTES },
];

/** The outcome that the consumer gives to line n: three of four are refused. */
const outcomeOf = (n: number): Outcome => (n % 4 === 0 ? STORED : REFUSED);

/** Writes line n, each of whose bytes is n; its cursor, or FULL. */
function writeLine(producer: Producer, n: number, lineBytes: number): number {
  const offset = producer.claim(lineBytes);
  if (offset === FULL) return FULL;
  for (let byte = 0; byte < lineBytes; byte++) producer.bytes[offset + byte] = n;
  return producer.commit(offset + lineBytes, 1);
}

/** How a producer waits until the stored cursor has passed `seen`: in its thread, or in a turn of its event loop. */
type Wait = (producer: Producer, seen: number, context: ThreadContext) => void;

const WAIT_MS = 50;

const block: Wait = (producer, seen) => producer.blockUntilStored(seen, WAIT_MS);

const turnLoop: Wait = (producer, seen, { turn }) => {
  let isStored = false;
  const promise = producer.waitForStored(seen);
  if (promise === null) return;
  promise.then(() => {
    isStored = true;
  });
  while (!isStored) turn();
};

interface Shape {
  /** Lines, numbered from `first`. */
  readonly lines: number;
  readonly first: number;
  readonly lineBytes: number;
  /** The most runs that the consumer reads before each release; with 1, it refuses some. */
  readonly together: number;
  readonly wait: Wait;
  readonly origin?: number;
}

/** Writes and publishes lines, each as its own run if there is a slot, and waits until all of them are settled. */
function produce(producer: Producer, shape: Shape, context: ThreadContext): void {
  const { lines, first, lineBytes, together, wait } = shape;
  const waiting: { readonly n: number; readonly cursor: number }[] = [];
  const settle = (): number => {
    const stored = producer.storedCursor();
    while (waiting.length > 0 && ((stored - waiting[0]!.cursor) | 0) >= 0) {
      const { n, cursor } = waiting.shift()!;
      context.expect(
        producer.outcome(cursor) === (together === 1 ? outcomeOf(n) : STORED),
        `line ${n} gets its own outcome`,
      );
    }
    // Lines that found no free run slot are published when the cursor has moved.
    producer.publish();
    return stored;
  };
  let seen = producer.storedCursor();
  for (let n = first; n < first + lines; n++) {
    let cursor = writeLine(producer, n, lineBytes);
    while (cursor === FULL) {
      wait(producer, seen, context);
      seen = settle();
      cursor = writeLine(producer, n, lineBytes);
    }
    waiting.push({ n, cursor });
    producer.publish();
  }
  for (seen = settle(); waiting.length > 0; seen = settle()) wait(producer, seen, context);
}

/** Reads runs until all lines have come. */
function consume(consumer: Consumer, shape: Shape, { expect, idle }: ThreadContext): void {
  const { lines, first, lineBytes, together } = shape;
  let n = first;
  while (n < first + lines) {
    const start = n;
    const runs: { readonly offset: number; readonly bytes: number }[] = [];
    while (consumer.hasOutcomeRoom() && runs.length < together && consumer.next()) {
      runs.push({ offset: consumer.runOffset, bytes: consumer.runBytes });
      expect(consumer.runBytes === consumer.runLines * lineBytes, 'a run says how many lines it has');
    }
    for (const { offset, bytes } of runs) {
      for (let byte = 0; byte < bytes; byte++) {
        const line = n + Math.floor(byte / lineBytes);
        expect(consumer.bytes[offset + byte] === line, `line ${line} is whole`);
      }
      n += bytes / lineBytes;
    }
    if (runs.length === 0) {
      idle();
      continue;
    }
    if (together === 1 && outcomeOf(start) !== STORED) consumer.pushOutcome(outcomeOf(start));
    consumer.release();
  }
}

function scenario(name: string, shape: Shape): Scenario<Modules> {
  const prepare = ({ createJournalRing, JournalConsumer, JournalProducer }: Modules): Prepared => {
    const memory = createJournalRing(CAPACITY_BYTES, shape.origin);
    return {
      memories: [{ memory, layout: LAYOUT }],
      threads: {
        worker: (context) => produce(new JournalProducer(memory), shape, context),
        writer: (context) => consume(new JournalConsumer(memory), shape, context),
      },
    };
  };
  return { name, prepare, operationsMax: 150 };
}

/** A producer ends; main sees that its lines are settled, and starts the next one on the same ring. */
const successor: Scenario<Modules> = {
  name: 'a second worker continues on the ring of the first',
  prepare: (modules) => {
    const { createJournalRing, isReleased, JournalConsumer, JournalProducer } = modules;
    const memory = createJournalRing(CAPACITY_BYTES);
    const shape: Shape = { lines: 1, first: 1, lineBytes: 4, together: 2, wait: block };
    return {
      memories: [{ memory, layout: LAYOUT }],
      threads: {
        worker: () => {
          const producer = new JournalProducer(memory);
          writeLine(producer, 0, shape.lineBytes);
          producer.publish();
        },
        writer: (context) => consume(new JournalConsumer(memory), { ...shape, lines: 2, first: 0 }, context),
        main: ({ idle }) => {
          while (!isReleased(memory)) idle();
        },
        successor: (context) => produce(new JournalProducer(memory), shape, context),
      },
      after: { main: ['worker'], successor: ['main'] },
    };
  },
  operationsMax: 150,
};

export const journalRing: Algorithm<Modules> = {
  name: 'journal ring and its outcomes',
  modules: [FILE],
  breaks: [FILE],
  constants: { RUN_SLOTS, OUTCOME_SLOTS, RUN_MAX_BYTES: 4, EARLY_WRAP_BYTES: 4 },
  harmless: {
    'plain load of PUBLISHED in isReleased': 'the producer that stored it has ended before anybody asks',
  },
  scenarios: [
    scenario('the writer refuses more lines than there are outcome slots', {
      ...{ lines: 3, first: 1, lineBytes: 2, together: 1, wait: block },
    }),
    scenario('the memory fills, and the worker waits in its event loop', {
      ...{ lines: 3, first: 0, lineBytes: 4, together: 2, wait: turnLoop },
    }),
    scenario('the run slots fill while the cursors wrap', {
      ...{ lines: 4, first: 0, lineBytes: 2, together: 2, wait: block, origin: -4 },
    }),
    scenario('the run slots fill with one line more than there are, while the cursors wrap', {
      ...{ lines: 3, first: 0, lineBytes: 2, together: 2, wait: block, origin: -2 },
    }),
    successor,
  ],
  variants: [
    swap(
      'one run more than there are slots',
      FILE,
      'Atomics.load(this.header, RELEASED_RUNS)) >= RUN_SLOTS',
      'Atomics.load(this.header, RELEASED_RUNS)) > RUN_SLOTS',
    ),
    swap(
      'one byte more than the capacity',
      FILE,
      'if (this.heldBytes + bytes <= this.capacityBytes)\n            return true;',
      'if (this.heldBytes + bytes <= this.capacityBytes + 4)\n            return true;',
    ),
    swap(
      'one outcome more than there are slots',
      FILE,
      'Atomics.load(this.header, OUTCOMES_POPPED)) < OUTCOME_SLOTS',
      'Atomics.load(this.header, OUTCOMES_POPPED)) <= OUTCOME_SLOTS',
    ),
    swap(
      'publish before the last run is closed',
      FILE,
      'this.closeRun();\n        if (this.runsClosed === this.runsPublished)',
      'Atomics.store(this.header, PUBLISHED, (this.runsClosed + (this.head === this.runStart ? 0 : 1)) | 0); this.closeRun();\n        if (this.runsClosed === this.runsPublished)',
    ),
    swap(
      'release before the outcome is pushed',
      FILE,
      "assert(this.hasOutcomeRoom(), 'outcome ring has room');",
      'Atomics.store(this.header, RELEASED, this.readCursor);',
    ),
    swap(
      'look for outcomes before looking at the cursor',
      FILE,
      'this.sawReleased(Atomics.load(this.header, RELEASED));\n        // Pairs with the store in `JournalConsumer.pushOutcome`.\n        this.outcomesPushed = Atomics.load(this.header, OUTCOMES_PUSHED);',
      'this.outcomesPushed = Atomics.load(this.header, OUTCOMES_PUSHED);\n        this.sawReleased(Atomics.load(this.header, RELEASED));',
    ),
    swap(
      'release the memory before its run entries',
      FILE,
      'this.releasedCursor = this.readCursor;\n',
      'this.releasedCursor = this.readCursor; Atomics.store(this.header, RELEASED, this.releasedCursor);\n',
    ),
  ],
};
