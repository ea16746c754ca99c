import type * as breaker from '../../../src/breaker/breaker.ts';
import type { Field, Layout, Prepared, Scenario, ThreadBody } from '../../../src/happens-before/scenario.ts';
import { type Algorithm, swap } from '../algorithm.ts';

type Modules = Pick<
  typeof breaker,
  'Breaker' | 'CLOSED' | 'createBreakerMemory' | 'FOREGROUND' | 'HALF_OPEN' | 'OPEN' | 'readBreaker'
>;

const FILE = 'breaker/breaker.js';
const LOCK_FILE = 'base/futex-lock.js';
const LINE = 64;
const WORD = 4;

const word = (name: string, line: number, at: number, more: Partial<Field> = {}): Field => ({
  name,
  byte: line * LINE + at * WORD,
  bytes: WORD,
  ...more,
});

const LAYOUT: Layout = [
  word('STATE', 0, 0),
  word('LOCK', 1, 0),
  { name: 'settings', byte: 2 * LINE, bytes: 4 * WORD },
  word('RETRY_MS', 3, 0, {
    late: 'read after a load of STATE that says OPEN: at least as new; checked again under the lock',
    lateReaders: ['writer', 'main', 'probe', 'other probe'],
  }),
  { name: 'progress', byte: 3 * LINE + WORD, bytes: 4 * WORD },
  {
    ...{ name: 'transition counts', byte: 3 * LINE + 5 * WORD, bytes: 3 * WORD },
    ...{ late: 'a scrape may lag by a transition', lateReaders: ['main'] },
  },
  word('STALLS', 3, 8),
  { name: 'window', byte: 4 * LINE, bytes: 2 * LINE },
  { name: 'SYNCING', byte: 6 * LINE, bytes: 3 * LINE },
];

const CONFIG = { failures: 2, errorPercent: 50, windowMs: 1_000, openMs: 100 };
const NOW_MS = 1_000;
const DUE_MS = 2_000;

type Bodies = (open: () => InstanceType<Modules['Breaker']>) => Readonly<Record<string, ThreadBody>>;

function scenario(
  name: string,
  bodies: (modules: Modules, memory: SharedArrayBuffer) => ReturnType<Bodies>,
  checkEnd: (modules: Modules, memory: SharedArrayBuffer, results: Readonly<Record<string, unknown>>) => void,
  prepareMemory: (modules: Modules, memory: SharedArrayBuffer) => void = () => {},
): Scenario<Modules> {
  const prepare = (modules: Modules): Prepared => {
    const memory = modules.createBreakerMemory(CONFIG);
    prepareMemory(modules, memory);
    return {
      memories: [{ memory, layout: LAYOUT }],
      threads: bodies(modules, memory),
      checkEnd: (results) => checkEnd(modules, memory, results),
    };
  };
  return { name, prepare, operationsMax: 120 };
}

function assertThat(holds: boolean, sentence: string): void {
  if (!holds) throw new Error(sentence);
}

/** Leaves the breaker half open. */
function halfOpen({ Breaker, HALF_OPEN }: Modules, memory: SharedArrayBuffer): void {
  const own = new Breaker(memory);
  own.failed(own.episode, NOW_MS, 'EIO');
  own.failed(own.episode, NOW_MS, 'EIO');
  assertThat(own.tryHalfOpen(DUE_MS) && own.state === HALF_OPEN, 'the breaker is half open');
}

const failures = scenario(
  'two threads fail at once, and main reads',
  ({ Breaker, readBreaker }, memory) => {
    const fails = (): number => {
      const own = new Breaker(memory);
      let transitions = 0;
      own.onTransition = () => transitions++;
      own.failed(own.episode, NOW_MS, 'EIO');
      return transitions;
    };
    return {
      writer: fails,
      other: fails,
      main: ({ expect }) => {
        new Breaker(memory).episode satisfies number;
        const { state, transitions } = readBreaker(memory);
        expect(transitions[state]! > 0 || state === 0, 'the state and its count fit');
      },
    };
  },
  ({ Breaker, OPEN }, memory, { writer, other }) => {
    assertThat(new Breaker(memory).state === OPEN, 'two failures open it');
    assertThat((writer as number) + (other as number) === 1, 'one thread made the transition');
  },
);

const trials = scenario(
  'requests ask for permits while a trial closes it',
  ({ Breaker }, memory) => {
    const asks = (): boolean => new Breaker(memory).acquirePermit(DUE_MS);
    return {
      worker: asks,
      other: asks,
      writer: () => {
        const own = new Breaker(memory);
        own.succeeded(own.episode, DUE_MS);
      },
    };
  },
  ({ Breaker, CLOSED }, memory, { worker, other }) => {
    assertThat(new Breaker(memory).state === CLOSED, 'the trial closes it');
    assertThat(worker === true && other === true, 'no request is refused');
  },
  halfOpen,
);

const probes = scenario(
  'two threads find it due',
  ({ Breaker }, memory) => {
    const probe = (): boolean => new Breaker(memory).tryHalfOpen(DUE_MS);
    return { probe, 'other probe': probe };
  },
  (_, __, results) => {
    const made = Object.values(results).filter((made) => made === true).length;
    assertThat(made === 1, `${made} threads made one transition`);
  },
  ({ Breaker }, memory) => new Breaker(memory).trip('a sync stalls', NOW_MS),
);

const sync = scenario(
  'a sync runs and ends, main looks for stalls, and a probe comes too early',
  ({ Breaker, FOREGROUND }, memory) => ({
    writer: () => {
      const own = new Breaker(memory);
      own.syncBegins(FOREGROUND, NOW_MS);
      own.syncEnded(FOREGROUND);
      own.postpone(NOW_MS);
      return own.tryHalfOpen(DUE_MS);
    },
    main: () => {
      const own = new Breaker(memory);
      if (own.syncSince(FOREGROUND) !== 0) own.trip('a sync stalls', NOW_MS);
      own.countStall();
    },
    probe: () => new Breaker(memory).isDue(NOW_MS),
  }),
  ({ Breaker, CLOSED, HALF_OPEN, OPEN }, memory, { writer }) => {
    const { state } = new Breaker(memory);
    if (writer === true) assertThat(state === HALF_OPEN || state === OPEN, 'a probe made it half open');
    else assertThat(state === CLOSED || state === OPEN, 'nobody made it half open');
  },
);

const old = scenario(
  'an outcome comes from before the breaker opened',
  ({ Breaker }, memory) => ({
    writer: () => new Breaker(memory).failed(0, DUE_MS, 'EIO'),
    worker: () => new Breaker(memory).acquirePermit(DUE_MS),
  }),
  ({ Breaker, HALF_OPEN }, memory) => {
    assertThat(new Breaker(memory).state === HALF_OPEN, 'the old failure changes nothing');
  },
  halfOpen,
);

export const breakerAlgorithm: Algorithm<Modules> = {
  name: 'breaker',
  modules: [FILE],
  breaks: [FILE],
  constants: { SPINS: 0, LANES_MAX: 0 },
  scenarios: [failures, trials, probes, sync, old],
  variants: [
    swap(
      'count a failure without the lock',
      FILE,
      'failed(episode, nowMs, cause) {\n        if (!this.lock())\n            return;',
      'failed(episode, nowMs, cause) {',
    ),
    swap(
      'unlock before the window is cleared',
      FILE,
      'if (closes)\n                this.close();\n        }\n        this.unlock();',
      'if (closes) { this.unlock(); this.close(); }\n        }\n        if (!closes) this.unlock();',
    ),
    swap(
      'no second look under the lock',
      FILE,
      'const opens = this.stateNow === OPEN && this.openForMs(nowMs) === 0;',
      'const opens = true;',
    ),
    swap(
      'an old outcome counts',
      FILE,
      'if (words[STATE] === episode) {\n            words[FAILED_IN_A_ROW] += 1;',
      'if (true) {\n            words[FAILED_IN_A_ROW] += 1;',
    ),
    swap(
      'use a permit without the lock',
      FILE,
      'if (!lock(this.words, LOCK, PERMIT_LOCK_BOUND_MS))\n            return false;',
      '',
    ),
    swap(
      'a lock that does not wait',
      LOCK_FILE,
      'return lockContended(words, index, boundMs, sliceMs);',
      'return true;',
    ),
  ],
};
