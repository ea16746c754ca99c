import type { StepModule } from '../../../src/learn/step-module.ts';
import { checkLock } from './ordering.ts';

export const check: StepModule['check'] = () =>
  checkLock(
    { count: 2, boundMs: 1e9, sliceMs: 1000, word: 0, timeouts: 2, mustGet: false, mustWake: false },
    'Two threads acquired the lock and counted in plain memory, in all orders of their atomic operations.',
    'one thread at a time is between lock and unlock, and sees what the last one wrote',
    'the lock does not separate the two threads',
  );

const FILE = 'src/base/futex-lock.ts';

export const mutants: StepModule['mutants'] = [
  {
    mistake: 'look first, then take',
    file: FILE,
    find: '  if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;\n  return lockContended',
    replace: `  if (Atomics.load(words, index) === FREE) {
    Atomics.store(words, index, HELD);
    return true;
  }
  return lockContended`,
  },
  {
    mistake: 'a plain store unlocks',
    file: FILE,
    find: '  if (Atomics.exchange(words, index, FREE) === CONTENDED) Atomics.notify(words, index, 1);\n',
    replace: '  words[index] = FREE;\n  Atomics.notify(words, index, 1);\n',
  },
  {
    mistake: 'the result of the swap is ignored',
    file: FILE,
    find: '  if (Atomics.compareExchange(words, index, FREE, HELD) === FREE) return true;\n  return lockContended',
    replace: '  Atomics.compareExchange(words, index, FREE, HELD);\n  return true || lockContended',
  },
];
