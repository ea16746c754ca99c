/**
 * Which threads suffice to continue a state.
 *
 * A set of threads is persistent if nothing that the others do before one of them moves depends on their next operations.
 * Then every order begins, up to the order of independent operations, with a thread of the set. Source: P. Godefroid,
 * "Partial-Order Methods for the Verification of Concurrent Systems" (1996), chapter 4.
 *
 * The others' operations are those that the executions so far have shown (`footprints.ts`). `explore.ts` looks at each
 * reduced state again when more are known. That misses none: the first operation of another thread that would make a set
 * too small does not depend on the set, so it is also possible, and is seen, after a thread of the set has moved.
 */
import type { ExecutionState } from './chooser.ts';
import type { Footprints } from './footprints.ts';
import { ANY_WORD, type ModelThread, type NextOperation, type ThreadState } from './model-thread.ts';

/** A thread between two operations. */
interface Position {
  readonly state: ThreadState;
  readonly history: number;
  /** Its next operation, or that which would wake it. */
  readonly operation: NextOperation;
  /** Threads whose end it waits for, as bits. */
  readonly waitsFor: number;
}

export type Positions = readonly Position[];

const ANY_STORE: NextOperation = { word: ANY_WORD, writes: false };
const ANYTHING: NextOperation = { word: ANY_WORD, writes: true };

function operationOf({ state, next, nextStep }: ModelThread): NextOperation {
  if (state === 'blocked') return { word: next.word, writes: true };
  if (state === 'turn') return ANYTHING;
  return state === 'idle' ? ANY_STORE : nextStep;
}

/** @param rootOf the history of a thread that has not started yet */
export function positionsOf({ threads }: ExecutionState, rootOf: (name: string) => number): Positions {
  return threads.map((thread) => {
    const { state, history, name, startsAfter } = thread;
    const waitsFor = threads
      .filter((other) => startsAfter.includes(other.name) && other.state !== 'ended')
      .reduce((bits, { index }) => bits | (1 << index), 0);
    return {
      state,
      history: state === 'new' ? rootOf(name) : history,
      operation: operationOf(thread),
      waitsFor: state === 'new' ? waitsFor : 0,
    };
  });
}

/** The least persistent set around `members`, as bits; threads that cannot move now are among them. */
export function persistentSet(positions: Positions, footprints: Footprints, members: number): number {
  let set = members;
  for (let before = 0; before !== set; ) {
    before = set;
    for (const [index, { state, operation, waitsFor }] of positions.entries()) {
      if ((set & (1 << index)) === 0) continue;
      // A thread that has not started moves once the others have ended.
      if (state === 'new') set |= waitsFor;
      else set |= dependents(positions, footprints, operation);
    }
  }
  return set;
}

function dependents(positions: Positions, footprints: Footprints, operation: NextOperation): number {
  let set = 0;
  for (const [index, { state, history }] of positions.entries())
    if (state !== 'ended' && footprints.mayDepend(history, operation)) set |= 1 << index;
  return set;
}

function count(bits: number): number {
  let rest = bits;
  let ones = 0;
  for (; rest !== 0; rest &= rest - 1) ones++;
  return ones;
}

/** The persistent set with the fewest threads that can move. @param enabled these, as bits; the first of `order` is preferred */
export function smallestSet(
  positions: Positions,
  footprints: Footprints,
  enabled: number,
  order: readonly number[],
): number {
  let best = enabled;
  for (const thread of order) {
    const set = persistentSet(positions, footprints, 1 << thread);
    if (count(set & enabled) < count(best & enabled)) best = set;
    if (count(best & enabled) === 1) break;
  }
  return best;
}
