import { TaskQueue } from '../../../src/dispatch/task-queue.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';

function settledBy(stored: number, cursors: readonly number[]): number[] {
  const queue = new TaskQueue<number>(8);
  for (const cursor of cursors) queue.push(cursor, cursor, 0);
  const settled: number[] = [];
  while (queue.headIsSettled(stored)) settled.push(queue.shift());
  return settled;
}

export const check: StepModule['check'] = () => {
  expectEqual(settledBy(900, [300, 900, 901]), [300, 900], {
    did: 'Three tasks wait at the cursors 300, 900 and 901. The stored cursor moved to 900.',
    so: 'a commit settles every task that it has passed, and no other',
  });
  const last = 2 ** 31 - 1;
  expectEqual(
    settledBy((last + 10) | 0, [last - 5, (last + 5) | 0, (last + 15) | 0]),
    [last - 5, (last + 5) | 0],
    {
      did: 'The cursors step over 2,147,483,647: tasks wait 5 before, 5 past and 15 past it; stored is 10 past it.',
      so: 'the comparison is wrong where the count wraps',
    },
  );
  expectEqual(settledBy(5, []), [], { did: 'The queue is empty.' });
};

const FILE = 'src/dispatch/task-queue.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'a plain comparison',
    file: FILE,
    find: 'difference(storedCursor, this.headCursor) >= 0',
    replace: 'storedCursor >= this.headCursor',
  },
  {
    mistake: 'the last task of a commit waits',
    file: FILE,
    find: 'difference(storedCursor, this.headCursor) >= 0',
    replace: 'difference(storedCursor, this.headCursor) > 0',
  },
];
