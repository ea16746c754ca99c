import type * as futexLock from '../../../src/base/futex-lock.ts';
import type { Prepared, Scenario } from '../../../src/happens-before/scenario.ts';
import { type Algorithm, swap } from '../algorithm.ts';
import { LINE_I32, linesOf, memoryFor, SHARED_DATA, type SharedDataModule } from './shared-data.ts';

type Modules = Pick<typeof futexLock, 'lock' | 'unlock'> & SharedDataModule;

const FILE = 'base/futex-lock.js';
const LOCK = 0;
const COUNT = LINE_I32;
const LAYOUT = linesOf('LOCK', 'COUNT under the lock');

/** Each thread adds 1 to a plain word under the lock, `times` times. */
function counting(
  { lock, open, unlock }: Modules,
  threads: readonly string[],
  times: number,
  boundMs: number,
): Prepared {
  const memory = memoryFor(LAYOUT);
  const count = () => {
    const { i32 } = open(memory);
    let acquired = 0;
    for (let turn = 0; turn < times; turn++) {
      if (!lock(i32, LOCK, boundMs)) continue;
      i32[COUNT]! += 1;
      acquired++;
      unlock(i32, LOCK);
    }
    return acquired;
  };
  return {
    memories: [{ memory, layout: LAYOUT }],
    threads: Object.fromEntries(threads.map((name) => [name, count])),
    checkEnd: (results) => {
      const { i32 } = open(memory);
      const acquired = Object.values(results).reduce((sum: number, times) => sum + (times as number), 0);
      if (i32[COUNT] !== acquired) throw new Error(`${acquired} critical sections counted ${i32[COUNT]}`);
      if (i32[LOCK] !== 0) throw new Error('the lock is free at the end');
    },
  };
}

const BOUND_MS = 1;
/** One sleep of the default length. */
const SHORT_BOUND_MS = 0.25;

const twice: Scenario<Modules> = {
  name: 'two threads enter twice, and no wake-up may be lost',
  prepare: (modules) => counting(modules, ['a', 'b'], 2, BOUND_MS),
  operationsMax: 40,
};

const three: Scenario<Modules> = {
  name: 'three threads enter once',
  prepare: (modules) => counting(modules, ['a', 'b', 'c'], 1, BOUND_MS),
  operationsMax: 40,
};

const givesUp: Scenario<Modules> = {
  name: 'waits time out, and a thread gives up',
  prepare: (modules) => counting(modules, ['a', 'b', 'c'], 1, SHORT_BOUND_MS),
  timeouts: 2,
  operationsMax: 40,
};

export const futexLockAlgorithm: Algorithm<Modules> = {
  name: 'futex lock',
  modules: [FILE, SHARED_DATA],
  breaks: [FILE],
  constants: { SPINS: 1 },
  scenarios: [twice, three, givesUp],
  variants: [
    swap(
      'a waiter that does not announce itself',
      FILE,
      'Atomics.exchange(words, index, CONTENDED) === FREE',
      'Atomics.compareExchange(words, index, FREE, HELD) === FREE',
    ),
    swap(
      'a woken waiter that takes the lock as if nobody else waited',
      FILE,
      'Atomics.exchange(words, index, CONTENDED) === FREE',
      'Atomics.compareExchange(words, index, FREE, HELD) === FREE || Atomics.compareExchange(words, index, HELD, CONTENDED) === FREE',
    ),
    swap(
      'unlock in two steps',
      FILE,
      'Atomics.exchange(words, index, FREE) === CONTENDED',
      '(Atomics.load(words, index) === CONTENDED) | (Atomics.store(words, index, FREE), 0)',
    ),
    swap(
      'give up and free the lock of another',
      FILE,
      'return false;',
      '{ Atomics.store(words, index, FREE); return false; }',
    ),
  ],
};
