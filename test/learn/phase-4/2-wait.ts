import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkLock } from './ordering.ts';

export const check: StepModule['check'] = () =>
  checkLock(
    { count: 2, boundMs: 1e9, sliceMs: 1, word: 0, timeouts: 3, mustGet: true, mustWake: false },
    'Two threads acquired the lock; each may sleep a slice of 1 ms and has all the time it wants.',
    'both get the lock, one after the other',
    'a thread that finds the lock held must try again when it is free',
  );

const FILE = 'src/base/futex-lock.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'the lock is tried once more and no further',
    file: FILE,
    find: '  const deadlineMs = performance.now() + boundMs;\n',
    replace: `  if (Atomics.load(words, index) !== FREE) return false;
  const deadlineMs = performance.now() + boundMs;
`,
  },
  {
    mistake: 'a free word counts as acquired',
    file: FILE,
    find: '    if (Atomics.load(words, index) !== FREE) continue;\n    if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;',
    replace: '    if (Atomics.load(words, index) === FREE) return true;',
    refusedBy: '4.3',
  },
];
