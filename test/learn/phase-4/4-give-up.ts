import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkLock } from './ordering.ts';

export const check: StepModule['check'] = async () => {
  await checkLock(
    { count: 2, boundMs: 1, sliceMs: 1, word: 1, timeouts: 2, mustGet: false, mustWake: true },
    'A thread that held the lock has died. Two others wait for it, 1 ms each.',
    'both give up and return false',
    'a thread waits for ever for a lock that nobody will release',
  );
  await checkLock(
    { count: 3, boundMs: 1e9, sliceMs: 1e9, word: 0, timeouts: 0, mustGet: true, mustWake: true },
    'Three threads with all the time they want acquired the lock.',
    'nobody gives up while time is left',
    'a thread gave up too early',
  );
};

const FILE = 'src/base/futex-lock.ts';

export const mutants: StepModule['mutants'] = [
  { mistake: 'no end', file: FILE, find: '    if (leftMs <= 0) return false;\n', replace: '' },
  {
    mistake: 'gives up after one sleep and claims the lock',
    file: FILE,
    find: '    if (leftMs <= 0) return false;\n',
    replace: '    if (leftMs <= 0) return true;\n',
  },
];
