import { TaskQueue } from '../../../src/dispatch/task-queue.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';

export const check: StepModule['check'] = () => {
  const queue = new TaskQueue<number>(5);
  const full: boolean[] = [];
  for (let k = 0; k < 5; k++) {
    full.push(queue.isFull);
    queue.push(k, k, 0);
  }
  expectEqual([...full, queue.isFull], [false, false, false, false, false, true], {
    did: 'The test pushed five tasks into a queue of five and asked before each, and at the end, whether it is full.',
    so: 'the bound is not where it was asked for',
  });
  queue.shift();
  expectEqual(queue.isFull, false, {
    did: 'The test shifted one task.',
    so: 'a place that is free is not used',
  });
};

const FILE = 'src/dispatch/task-queue.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the bound is the size of the arrays',
    file: FILE,
    find: 'return this.tail - this.head >= this.capacity;',
    replace: 'return this.tail - this.head > this.mask;',
  },
  {
    mistake: 'counts what ever came',
    file: FILE,
    find: 'return this.tail - this.head >= this.capacity;',
    replace: 'return this.tail >= this.capacity;',
  },
];
