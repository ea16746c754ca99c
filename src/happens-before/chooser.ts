/** The interface between an execution and the exploration that runs it, and its findings. */
import type { ModelThread, NextOperation } from './model-thread.ts';
import type { Failure } from './scenario.ts';
import type { Access, Shadow } from './shadow.ts';
import type { WaitQueue } from './wait-queue.ts';

/** Returned by a chooser to end the execution. */
export const STOP = -1;

/** The state of an execution between two operations. */
export interface ExecutionState {
  readonly threads: readonly ModelThread[];
  /** The threads chosen so far. */
  readonly schedule: readonly number[];
  /** The last writer of each atomic location, by the location's key. */
  readonly writers: readonly number[];
  readonly waiters: WaitQueue;
  /** An invariant is checked between any two operations, so that the order of independent ones makes a difference. */
  readonly checksEachState: boolean;
}

export interface Chooser {
  /** The thread that continues, out of `enabled`; `current` ran last. STOP ends the execution. */
  choose(execution: ExecutionState, enabled: readonly number[], current: number): number;
}

/** Gives a token, seen after a history, the number of the longer history. */
export interface Histories {
  extend(history: number, token: string): number;
  /** A thread with this history comes to an operation. */
  comesTo(history: number, operation: NextOperation): void;
  keyOf(location: string): number;
}

export interface Limits {
  readonly timeouts: number;
  readonly operationsMax: number;
}

/** A finding before its places in the source are known. */
export type Found =
  | { readonly kind: 'race'; readonly shadow: Shadow; readonly first: Access; readonly second: Access }
  | {
      readonly kind: Failure['kind'];
      readonly text: string;
      /** The operation to show. */
      readonly thread: number;
      readonly operation: number;
    };

/** Identifies an operation of an execution, to find its place in the source when it is run again. */
export function operationId(thread: number, operation: number): string {
  return `${thread}:${operation}`;
}

/** Says that nobody wakes these threads. */
export function foreverAsleep(names: readonly string[]): string {
  const [verb, object] = names.length === 1 ? ['sleeps', 'it'] : ['sleep', 'them'];
  return `${names.join(' and ')} ${verb} for ever: nobody is left to wake ${object}`;
}
