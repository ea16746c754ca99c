import type {
  Field,
  Layout,
  Prepared,
  Scenario,
  ThreadContext,
} from '../../../src/happens-before/scenario.ts';
import { FULL, STORED } from '../../../src/journal/journal.ts';
import type * as lane from '../../../src/wal/lane.ts';
import type * as laneConsumer from '../../../src/wal/lane-consumer.ts';
import type * as laneMemory from '../../../src/wal/lane-memory.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = Pick<typeof lane, 'Lane'> &
  Pick<typeof laneConsumer, 'LaneConsumer'> &
  Pick<typeof laneMemory, 'DATA_OFFSET' | 'laneIsSettled'>;
type LaneType = InstanceType<Modules['Lane']>;
type Consumer = InstanceType<Modules['LaneConsumer']>;

const LANE = 'wal/lane.js';
const CONSUMER = 'wal/lane-consumer.js';
const MEMORY = 'wal/lane-memory.js';
const LINE = 64;
const BLOCK_BYTES = 128;
const ENTRY_SLOTS = 4;
/** Records take a block each. */
const CAPACITY_MAX_BYTES = 8 * BLOCK_BYTES;
const LINE_BYTES = 8;

const word = (name: string, line: number, at = 0): Field => ({ name, byte: line * LINE + 4 * at, bytes: 4 });

const LAYOUT: Layout = [
  word('PUBLISHED', 0),
  word('FAILED', 1),
  {
    ...word('COPIED', 2),
    late: 'for observers',
    lateReaders: ['main'],
  },
  word('RELEASED', 2, 1),
  word('CHECKPOINT', 3),
  word('WANTED', 4),
  word('REOPEN', 5),
  word('IDLE', 6),
  { name: 'state for the next holder', byte: 7 * LINE, bytes: 3 * 8 },
  {
    ...{ name: 'counts of the producer', byte: 7 * LINE + 3 * 8, bytes: 3 * 8 },
    ...{ late: 'figures for the metrics may lag', lateReaders: ['copier'] },
  },
  { name: 'doubt', byte: 7 * LINE + 6 * 8, bytes: 3 * 8 },
  { name: 'entries', byte: 10 * LINE, bytes: ENTRY_SLOTS * 32 },
  { name: 'data', byte: 6 * BLOCK_BYTES, bytes: CAPACITY_MAX_BYTES },
];

interface LaneShape {
  readonly ring?: () => void;
  /** Number of the write that fails. */
  readonly failing?: number;
  readonly fileRecords?: number;
}

/** A lane whose device writes at once. */
function openLane({ Lane }: Modules, memory: SharedArrayBuffer, shape: LaneShape = {}): LaneType {
  const { ring = () => {}, failing = 0, fileRecords = 2 } = shape;
  let writes = 0;
  return new Lane({
    ...{ memory, lane: 0, generation: 7, path: 'none', fileBytes: (1 + fileRecords) * BLOCK_BYTES, start: 0 },
    open: (_path, bytes, completed) => ({
      depth: 1,
      write: (offset, length, _fileOffset, tag) => {
        // The device reads the memory.
        bytes.slice(offset, offset + length);
        writes++;
        completed(tag, writes === failing ? -5 : length);
        return 0;
      },
      poll: () => {},
      close: () => {},
    }),
    writing: () => {},
    cost: { storedAtMs: 0, fixedMs: 0, bytesPerMs: 0 },
    stored: () => {},
    failed: () => {},
    ring,
    now: () => 0,
  });
}

function writeLine(journal: LaneType, n: number): number {
  const offset = journal.claim(LINE_BYTES);
  if (offset === FULL) return FULL;
  for (let byte = 0; byte < LINE_BYTES; byte++) journal.bytes[offset + byte] = n;
  return journal.commit(offset + LINE_BYTES, 1);
}

/** Stores lines one after the other, each as a record. */
function produce(journal: LaneType, from: number, to: number, { expect, idle }: ThreadContext): void {
  for (let n = from; n < to; n++) {
    let cursor = writeLine(journal, n);
    while (cursor === FULL) {
      idle();
      journal.publish();
      cursor = writeLine(journal, n);
    }
    journal.publish();
    while (((journal.storedCursor() - cursor) | 0) < 0) {
      idle();
      journal.publish();
    }
    expect(journal.outcome(cursor) === STORED, `line ${n} is stored`);
  }
}

/** Copies until `lines` records have come, `together` at a time, as the thread that writes segments does. */
function copy(consumer: Consumer, lines: number, together: number, { expect, idle }: ThreadContext): void {
  while (consumer.taken < lines && consumer.failure === 0) {
    const first = consumer.taken;
    while (consumer.taken - first < together && consumer.next()) {
      const { runOffset, runBytes, runLines, taken } = consumer;
      expect(runBytes === LINE_BYTES && runLines === 1, `record ${taken} holds one line`);
      for (let byte = 0; byte < LINE_BYTES; byte++)
        expect(consumer.bytes[runOffset + byte] === taken, `line ${taken} is whole`);
    }
    if (consumer.taken === first) idle();
    else consumer.release();
    if (consumer.checkpointIsWanted() || consumer.taken > first) consumer.checkpoint(consumer.taken);
  }
}

function scenario(
  name: string,
  records: number,
  threads: (modules: Modules, memory: SharedArrayBuffer) => Prepared['threads'],
  more: Omit<Prepared, 'threads' | 'memories'> = {},
): Scenario<Modules> {
  return {
    name,
    operationsMax: 200,
    prepare: (modules) => {
      const memory = new SharedArrayBuffer(modules.DATA_OFFSET + records * BLOCK_BYTES);
      return { memories: [{ memory, layout: LAYOUT }], threads: threads(modules, memory), ...more };
    },
  };
}

const fills = scenario('the memory and the file fill while the copier copies', 2, (modules, memory) => ({
  worker: (context) => produce(openLane(modules, memory), 1, 4, context),
  copier: (context) => copy(new modules.LaneConsumer(memory), 3, 2, context),
}));

const memoryFills = scenario('the memory fills while the copier copies', 1, (modules, memory) => ({
  worker: (context) => produce(openLane(modules, memory, { fileRecords: 8 }), 1, 3, context),
  copier: (context) => copy(new modules.LaneConsumer(memory), 2, 1, context),
}));

const fileFills = scenario('the file fills while the copier copies', 8, (modules, memory) => ({
  worker: (context) => produce(openLane(modules, memory, { fileRecords: 1 }), 1, 3, context),
  copier: (context) => copy(new modules.LaneConsumer(memory), 2, 2, context),
}));

const behindBy = (records: number): Scenario<Modules> =>
  scenario(
    `the copier is behind by ${records} records, and the worker waits in its event loop`,
    records,
    (modules, memory) => ({
      worker: ({ turn }) => {
        const journal = openLane(modules, memory, { fileRecords: records });
        for (let n = 1; n < records; n++) {
          writeLine(journal, n);
          journal.publish();
        }
        const cursor = writeLine(journal, records);
        journal.publish();
        while (((journal.storedCursor() - cursor) | 0) < 0) turn();
      },
      copier: (context) => copy(new modules.LaneConsumer(memory), records, records, context),
    }),
  );

const blocks = scenario('the file is full, and the worker blocks', 4, (modules, memory) => ({
  worker: ({ expect }) => {
    const journal = openLane(modules, memory, { fileRecords: 1 });
    for (let n = 1; n <= 2; n++) {
      const cursor = writeLine(journal, n);
      journal.publish();
      for (let stored = journal.storedCursor(); ((stored - cursor) | 0) < 0; stored = journal.storedCursor())
        journal.blockUntilStored(stored, 5_000);
      expect(journal.outcome(cursor) === STORED, `line ${n} is stored`);
    }
  },
  copier: (context) => copy(new modules.LaneConsumer(memory), 2, 1, context),
}));

/** The copier sleeps on a bell of which only the wake-up counts. */
const sleeps = scenario(
  'the copier goes to sleep while a record comes',
  8,
  (modules, memory) => ({
    worker: () => {
      let rings = 0;
      const ring = (): void => {
        rings++;
      };
      const journal = openLane(modules, memory, { ring, fileRecords: 8 });
      writeLine(journal, 1);
      journal.publish();
      return rings;
    },
    copier: () => {
      const consumer = new modules.LaneConsumer(memory);
      consumer.sleep();
      const found = consumer.next();
      if (found) consumer.wake();
      return found;
    },
  }),
  {
    checkEnd: ({ worker, copier }) => {
      if (worker === 0 && copier === false)
        throw new Error('the copier sleeps, and nobody has rung for the record');
    },
  },
);

const fails = scenario('the file is replaced, then a write fails', 2, (modules, memory) => ({
  worker: () => {
    const journal = openLane(modules, memory, { failing: 2 });
    for (let n = 1; n <= 2; n++) {
      writeLine(journal, n);
      journal.publish();
    }
  },
  copier: (context) => {
    const consumer = new modules.LaneConsumer(memory);
    consumer.replaceFile();
    while (consumer.failure === 0) context.idle();
    const { lines, from, to } = consumer.doubt;
    context.expect(lines === 1 && to - from === BLOCK_BYTES, 'the doubt is about one record');
  },
}));

const successor = scenario(
  'a second worker holds the lane of the first',
  4,
  (modules, memory) => ({
    worker: (context) => produce(openLane(modules, memory), 1, 2, context),
    copier: (context) => copy(new modules.LaneConsumer(memory), 2, 2, context),
    main: ({ idle }) => {
      while (!modules.laneIsSettled(memory)) idle();
    },
    successor: (context) => produce(openLane(modules, memory), 2, 3, context),
  }),
  { after: { main: ['worker'], successor: ['main'] } },
);

export const writeAheadLane: Algorithm<Modules> = {
  name: 'write-ahead lane',
  modules: [LANE, CONSUMER, MEMORY],
  breaks: [LANE, CONSUMER, MEMORY],
  constants: { ENTRY_SLOTS, BLOCK_BYTES, RECORD_BYTES: 64, FILE_SHARE: 1 },
  harmless: {
    'no Atomics.waitAsync of RELEASED in copierIsBehind':
      'the lane then submits at once: clients are refused later instead of slowed down now',
    'plain store of COPIED in release': 'no thread of the server loads it',
  },
  scenarios: [fills, memoryFills, fileFills, sleeps, behindBy(4), behindBy(2), blocks, fails, successor],
  variants: [
    swap(
      'wait for the checkpoint after the one that publish has seen',
      LANE,
      'Atomics.wait(words, CHECKPOINT, checkpoint, timeoutMs);',
      'Atomics.wait(words, CHECKPOINT, Atomics.load(words, CHECKPOINT), timeoutMs);',
    ),
    swap(
      'a record more than the memory holds',
      LANE,
      '((end - released) | 0) <= this.views.capacityBytes',
      '((end - released) | 0) <= 2 * this.views.capacityBytes',
    ),
    swap(
      'publish before the record is written',
      LANE,
      'const sequence = ++this.closed;',
      'const sequence = ++this.closed; Atomics.store(words, PUBLISHED, sequence | 0);',
    ),
    swap(
      'release before the lines are read',
      CONSUMER,
      'this.takenCursor = this.words[entry + ENTRY_END];',
      'this.takenCursor = this.words[entry + ENTRY_END]; Atomics.store(this.words, RELEASED, this.takenCursor);',
    ),
    swap(
      'the doubt after the failure',
      LANE,
      'recordDoubt(this.views, this.acknowledged + 1, this.submitted, this.usableBytes);\n',
      '\n',
    ),
    swap(
      'look whether the copier sleeps before publishing',
      LANE,
      'state[STATE_HEAD] = this.stored;',
      'state[STATE_HEAD] = this.stored; const sleeps = this.copierSleeps(); this.copierSleeps = () => sleeps;',
    ),
  ],
};
