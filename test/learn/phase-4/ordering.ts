/** Two threads behind the learner's lock, in all orders of their atomic operations. */
import { fileURLToPath } from 'node:url';
import { checkOrdering } from '../../../src/happens-before/check-ordering.ts';
import type { Layout, Scenario } from '../../../src/happens-before/scenario.ts';
import { StepFailure } from '../../../src/learn/failure.ts';
import { wordsOfRace } from '../races.ts';
import type * as Counter from './counter.ts';
import { COUNTER } from './counter.ts';

const MODULE = fileURLToPath(new URL('./counter.js', import.meta.url));

/** Enough for each mutant below; the whole space of three threads takes minutes. */
const EXECUTIONS_MAX = 600;
const RANDOM_MAX = 100;

const LAYOUT: Layout = [
  { name: 'the lock word', byte: 0, bytes: 4 },
  { name: 'the counter behind the lock', byte: 4 * COUNTER, bytes: 4 },
];

interface Threads {
  readonly count: number;
  readonly boundMs: number;
  /** Longest sleep of a waiter. */
  readonly sliceMs: number;
  /** The word at the start; 1: a thread that died holds the lock. */
  readonly word: number;
  readonly timeouts: number;
  readonly mustGet: boolean;
  /** A sleeper whose slice does not end counts as a failure. */
  readonly mustWake: boolean;
}

/** Each thread acquires the lock, counts in plain memory and releases it. */
function scenarioOf(threads: Threads): Scenario<typeof Counter> {
  return {
    name: 'threads that count behind a lock',
    timeouts: threads.timeouts,
    prepare({ countBehindLock }) {
      const memory = new SharedArrayBuffer(128);
      new Int32Array(memory)[0] = threads.word;
      const body = (): boolean => countBehindLock(memory, threads.boundMs, threads.sliceMs);
      const names = ['thread A', 'thread B', 'thread C'].slice(0, threads.count);
      return {
        memories: [{ memory, layout: LAYOUT }],
        threads: Object.fromEntries(names.map((name) => [name, body])),
        checkEnd(results) {
          const got = Object.values(results).filter((result) => result === true).length;
          const counted = new Int32Array(memory)[COUNTER];
          if (counted !== got) throw new Error(`${got} threads got the lock, and the counter is ${counted}`);
          if (threads.mustGet && got < threads.count) {
            throw new Error(
              `a thread gave up although the lock became free: ${got} of ${threads.count} got it`,
            );
          }
        },
      };
    },
  };
}

/** @throws StepFailure with the first finding */
export async function checkLock(threads: Threads, did: string, expected: string, so: string): Promise<void> {
  const { races, failures } = await checkOrdering({
    module: MODULE,
    scenario: scenarioOf(threads),
    // One look before a thread sleeps shows as much as a hundred.
    constants: { SPINS: 1 },
    executionsMax: EXECUTIONS_MAX,
    randomMax: RANDOM_MAX,
  });
  const [race] = races;
  if (race !== undefined) {
    throw new StepFailure({
      did,
      expected,
      so: 'two threads are between lock and unlock at once, or one does not see what the last one wrote',
      ...wordsOfRace(race),
    });
  }
  const failure = failures.find(({ kind }) => threads.mustWake || kind !== 'asleep');
  if (failure === undefined) return;
  const got = failure.text
    .replaceAll(/\s*\n\s*/g, '; ')
    .replaceAll(/(?:\.learn|\.artifacts|\.\.)[^ ]*?\/(src|test)\//g, '$1/');
  throw new StepFailure({ did, expected, got, so });
}
