import type * as control from '../../../src/base/control.ts';
import type { Scenario } from '../../../src/happens-before/scenario.ts';
import { type Algorithm, swap } from '../algorithm.ts';
import { linesOf, memoryFor, SHARED_DATA, type SharedDataModule } from './shared-data.ts';

type Modules = typeof control & SharedDataModule;

const FILE = 'base/control.js';
const LAYOUT = linesOf('LIFECYCLE', 'DISK', 'STOP_WRITER');
const WORK = linesOf('work');

/** Main stops the writer after the last work; the worker sees the state of the disk that goes with its outcome. */
const stopping: Scenario<Modules> = {
  name: 'main stops the writer, which looks for work once more',
  operationsMax: 60,
  prepare: ({ Control, createControlBlock, DISK_OK, DISK_REFUSING, DRAINING, open, READY }) => {
    const memory = createControlBlock();
    const work = memoryFor(WORK);
    return {
      memories: [
        { memory, layout: LAYOUT },
        { memory: work, layout: WORK },
      ],
      threads: {
        main: () => {
          const own = new Control(memory);
          own.lifecycle = READY;
          open(work).i32[0] = 1;
          own.lifecycle = DRAINING;
          own.stopWriter();
        },
        writer: ({ expect, idle }) => {
          const own = new Control(memory);
          own.changeDisk(DISK_OK, DISK_REFUSING);
          own.changeDisk(DISK_REFUSING, DISK_OK);
          while (!own.writerShouldStop) idle();
          expect(open(work).i32[0] === 1, 'the last look finds all work');
          expect(own.lifecycle === DRAINING, 'it stops while the process drains');
        },
        worker: ({ expect }) => {
          const own = new Control(memory);
          const { disk, lifecycle } = own;
          expect(lifecycle <= DRAINING, 'the state of the process is one that was stored');
          expect(disk === DISK_OK || disk === DISK_REFUSING, 'the state of the disk is one that was stored');
        },
      },
    };
  },
};

/** The writer changes its mind about a full disk while a worker's write to the write-ahead log fails. */
const failing: Scenario<Modules> = {
  name: 'a worker fails while the writer refuses and resumes',
  operationsMax: 60,
  prepare: ({ Control, createControlBlock, DISK_FAILED, DISK_OK, DISK_REFUSING }) => {
    const memory = createControlBlock();
    return {
      memories: [{ memory, layout: LAYOUT }],
      threads: {
        worker: () => {
          new Control(memory).disk = DISK_FAILED;
        },
        writer: () => {
          const own = new Control(memory);
          own.changeDisk(DISK_OK, DISK_REFUSING);
          own.changeDisk(DISK_REFUSING, DISK_OK);
        },
        main: ({ expect }) => expect(new Control(memory).disk === DISK_FAILED, 'the failure stays'),
      },
      after: { main: ['worker', 'writer'] },
    };
  },
};

export const controlBlock: Algorithm<Modules> = {
  name: 'control block',
  modules: [FILE, SHARED_DATA],
  breaks: [FILE],
  scenarios: [stopping, failing],
  variants: [
    swap(
      'a writer that stores what it has decided',
      FILE,
      'return Atomics.compareExchange(this.words, DISK, from, to) === from;',
      'return Atomics.load(this.words, DISK) === from && Atomics.store(this.words, DISK, to) === to;',
    ),
    swap(
      'a writer that keeps the value it has seen',
      FILE,
      'return Atomics.load(this.words, STOP_WRITER) === 1;',
      'return (this.seen ??= Atomics.load(this.words, STOP_WRITER)) === 1;',
    ),
  ],
};
