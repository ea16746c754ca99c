import { TaskQueue } from '../../../src/dispatch/task-queue.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';

export const check: StepModule['check'] = () => {
  const queue = new TaskQueue<string>(4);
  const out: (string | null)[] = [];
  for (let round = 0; round < 4; round++) {
    for (const letter of ['a', 'b', 'c']) queue.push(`${letter}${round}`, round, 0);
    expectEqual(queue.depth, 3, {
      did: 'The test pushed three tasks into an empty queue.',
      so: 'the queue did not count them',
    });
    for (let k = 0; k < 3; k++) out.push(queue.shift());
  }
  const expected = [0, 1, 2, 3].flatMap((round) => [`a${round}`, `b${round}`, `c${round}`]);
  expectEqual(out, expected, {
    did: 'Four times the test pushed three tasks and shifted three.',
    so: 'tasks do not come out as they went in',
  });
  queue.push('x', 7, 40);
  expectEqual([queue.headCursor, queue.headAgeMs(100)], [7, 60], {
    did: 'The test pushed a task with cursor 7 at 40 ms, and asked at 100 ms for its cursor and its age.',
  });
  const held = (queue as unknown as { tasks: readonly (string | null)[] }).tasks.filter(
    (task) => task !== null,
  );
  expectEqual(held, ['x'], {
    did: 'The test listed the tasks that the queue still holds.',
    so: 'a task that came out stays in memory',
  });
};

const FILE = 'src/dispatch/task-queue.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'a new task goes to the front',
    file: FILE,
    find: 'const slot = this.tail & this.mask;',
    replace: 'const slot = this.head & this.mask;',
  },
  { mistake: 'the place keeps its task', file: FILE, find: '    this.tasks[slot] = null;\n', replace: '' },
  { mistake: 'the time is not kept', file: FILE, find: '    this.queuedMs[slot] = nowMs;\n', replace: '' },
];
