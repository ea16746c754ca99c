import type * as bell from '../../../src/base/bell.ts';
import type { Layout, Prepared, Scenario } from '../../../src/happens-before/scenario.ts';
import { type Algorithm, swap } from '../algorithm.ts';
import { LINE_I32, linesOf, memoryFor, SHARED_DATA, type SharedDataModule } from './shared-data.ts';

type Modules = Pick<typeof bell, 'Bell' | 'createBell'> & SharedDataModule;

const FILE = 'base/bell.js';
const BELL_LAYOUT: Layout = linesOf('BELL', 'ASLEEP');
const WORK_LAYOUT = linesOf('work of a', 'work of b');
const SLEEP_MS = 5;

/** Producers publish `rounds` pieces of work each and ring; the consumer sleeps while there is none. */
function ringing(
  { Bell, createBell, open }: Modules,
  producers: readonly string[],
  rounds: number,
): Prepared {
  const memory = createBell();
  const work = memoryFor(WORK_LAYOUT);
  const produce = (line: number) => () => {
    const { atomics, i32 } = open(work);
    const own = new Bell(memory);
    for (let round = 1; round <= rounds; round++) {
      atomics.store(i32, line * LINE_I32, round);
      own.ring();
    }
  };
  const consume = () => {
    const { atomics, i32 } = open(work);
    const own = new Bell(memory);
    for (;;) {
      const seen = own.seen();
      if (producers.every((_, line) => atomics.load(i32, line * LINE_I32) === rounds)) return;
      own.sleep(seen, SLEEP_MS);
    }
  };
  return {
    memories: [
      { memory, layout: BELL_LAYOUT },
      { memory: work, layout: WORK_LAYOUT },
    ],
    threads: {
      consumer: consume,
      ...Object.fromEntries(producers.map((name, line) => [name, produce(line)])),
    },
  };
}

const one: Scenario<Modules> = {
  name: 'one producer rings twice',
  prepare: (modules) => ringing(modules, ['a'], 2),
  operationsMax: 60,
};

const two: Scenario<Modules> = {
  name: 'two producers ring once',
  prepare: (modules) => ringing(modules, ['a', 'b'], 1),
  operationsMax: 60,
};

export const bellAlgorithm: Algorithm<Modules> = {
  name: 'bell',
  modules: [FILE, SHARED_DATA],
  breaks: [FILE],
  scenarios: [one, two],
  variants: [
    swap(
      'wait for the present value instead of the one seen before looking for work',
      FILE,
      'Atomics.wait(this.words, BELL, seen, timeoutMs)',
      'Atomics.wait(this.words, BELL, Atomics.load(this.words, BELL), timeoutMs)',
    ),
    swap('sleep without saying so', FILE, 'Atomics.store(this.words, ASLEEP, 1);', ''),
    swap(
      'look for a sleeper before ringing',
      FILE,
      'Atomics.add(this.words, BELL, 1);',
      'const asleep = Atomics.load(this.words, ASLEEP); Atomics.add(this.words, BELL, 1); if (asleep === 0) return;',
    ),
  ],
};
