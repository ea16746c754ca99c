import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkLock } from './ordering.ts';

export const check: StepModule['check'] = () =>
  checkLock(
    { count: 3, boundMs: 1e9, sliceMs: 1e9, word: 0, timeouts: 0, mustGet: true, mustWake: true },
    'Three threads acquired the lock; a sleeper wakes only by a notify.',
    'all three get the lock',
    'a sleeper is never woken',
  );

const FILE = 'src/base/futex-lock.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'unlock wakes nobody',
    file: FILE,
    find: ' === CONTENDED) Atomics.notify(words, index, 1);',
    replace: ' === FREE) Atomics.notify(words, index, 1);',
  },
  {
    mistake: 'a woken thread leaves HELD, and the next sleeper is forgotten',
    file: FILE,
    find: '    if (Atomics.exchange(words, index, CONTENDED) === FREE) return true;\n',
    replace: `    if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;
    Atomics.compareExchange(words, index, HELD, CONTENDED);
`,
  },
  {
    mistake: 'the sleeper is not announced',
    file: FILE,
    find: 'Atomics.wait(words, index, CONTENDED, Math.min(leftMs, sliceMs));',
    replace:
      'Atomics.store(words, index, HELD); Atomics.wait(words, index, HELD, Math.min(leftMs, sliceMs));',
  },
];
