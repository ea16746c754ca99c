import { TaskQueue } from '../../../src/dispatch/task-queue.ts';
import { expectEqual } from '../../../src/learn/failure.ts';
import type { StepModule } from '../../../src/learn/step-module.ts';

const TIMEOUT_MS = 50;

function expiredAt(queue: TaskQueue<string>, nowMs: number): string[] {
  const late: string[] = [];
  for (let turn = 0; turn < 20; turn++) {
    const task = queue.nextExpired(nowMs, TIMEOUT_MS);
    if (task === null) return late;
    late.push(task);
  }
  return [...late, 'and so on without end'];
}

export const check: StepModule['check'] = () => {
  const queue = new TaskQueue<string>(8);
  ['a', 'b', 'c'].forEach((task, index) => {
    queue.push(task, index, index * 20);
  });
  const did = 'Tasks a, b and c were queued at 0, 20 and 40 ms, with a timeout of 50 ms.';
  expectEqual(expiredAt(queue, 75), ['a', 'b'], {
    did: `${did} The test asked at 75 ms.`,
    so: 'exactly those that waited 50 ms are late',
  });
  expectEqual(expiredAt(queue, 75), [], {
    did: `${did} The test asked at 75 ms a second time.`,
    so: 'a request would be answered twice',
  });
  expectEqual(queue.depth, 3, {
    did,
    expected: 'three tasks are still in the queue',
    so: 'storage still owes what timed out',
  });
  for (let k = 0; k < 3; k++) queue.shift();
  queue.push('d', 3, 100);
  expectEqual(expiredAt(queue, 120), [], {
    did: 'a, b and c were settled; d was queued at 100 ms. The test asked at 120 ms.',
  });
  expectEqual(expiredAt(queue, 150), ['d'], {
    did: 'The test asked at 150 ms.',
    so: 'a late task was passed over',
  });
  for (const task of ['e', 'f']) queue.push(task, 4, 200);
  for (let k = 0; k < 3; k++) queue.shift();
  queue.push('g', 6, 300);
  expectEqual(expiredAt(queue, 350), ['g'], {
    did: 'd, e and f were settled; g was queued at 300 ms. The test asked at 350 ms.',
    so: 'tasks that are gone hide those after them',
  });
};

const FILE = 'src/dispatch/task-queue.ts';

export const mutants: StepModule['mutants'] = [
  { mistake: 'each task again and again', file: FILE, find: '    this.expired++;\n', replace: '' },
  {
    mistake: 'settled tasks are checked again',
    file: FILE,
    find: '    if (this.expired < this.head) this.expired = this.head;\n',
    replace: '',
  },
  {
    mistake: 'a moment too late',
    file: FILE,
    find: 'nowMs - this.queuedMs[slot]! < timeoutMs',
    replace: 'nowMs - this.queuedMs[slot]! <= timeoutMs',
  },
];
