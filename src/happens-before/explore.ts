/**
 * Explores the orders in which the threads of a scenario may perform their atomic operations.
 *
 * Depth first. Two states are the same if each thread has done the same operations, reading what the same operations
 * wrote, and if the same operation wrote each word last: then all clocks and values are the same, too. Each state is
 * explored once, with a persistent set of threads, and of orders that differ only in operations that do not depend on each
 * other, one. This is exact: no race is missed. Beyond the limit, random orders follow.
 */
import { type Chooser, type ExecutionState, type Histories, type Limits, STOP } from './chooser.ts';
import { Execution } from './execution.ts';
import { Footprints } from './footprints.ts';
import { ANY_WORD, areIndependent, type NextOperation } from './model-thread.ts';
import { type Positions, persistentSet, positionsOf, smallestSet } from './persistent-sets.ts';
import type { Prepared } from './scenario.ts';

export interface Explored {
  /** The execution with a finding, or null. */
  readonly failed: Execution | null;
  readonly interleavings: number;
  readonly states: number;
  readonly isExhaustive: boolean;
  readonly atomicFields: ReadonlySet<string>;
}

export interface ExploreOptions extends Limits {
  /** Interleavings to explore systematically, and then at random. */
  readonly executionsMax: number;
  readonly randomMax: number;
  readonly seed: number;
}

/** How to begin an execution. */
export interface Beginning {
  prepare(): Prepared;
  /** Called before the threads run, so that their accesses reach this execution. */
  activate(execution: Execution | null): void;
}

/** Numbers histories and locations alike in all executions. */
class NumberedHistories implements Histories {
  readonly footprints = new Footprints();
  private readonly numbers = new Map<string, number>();
  private readonly keys = new Map<string, number>();

  extend(history: number, token: string): number {
    const { size } = this.numbers;
    const number = numberOf(this.numbers, `${history} ${token}`);
    if (this.numbers.size > size) this.footprints.link(number, history);
    return number;
  }

  comesTo(history: number, operation: NextOperation): void {
    this.footprints.add(history, operation);
  }

  keyOf(location: string): number {
    return numberOf(this.keys, location);
  }
}

function numberOf(numbers: Map<string, number>, text: string): number {
  let number = numbers.get(text);
  if (number === undefined) {
    number = numbers.size + 1;
    numbers.set(text, number);
  }
  return number;
}

function stateOf({ threads, writers, waiters }: ExecutionState): string {
  const positions = threads.map(
    ({ history, state, settled, isWoken, hasNews }) =>
      `${history}${state}${settled.length}${isWoken ? 'w' : ''}${hasNews ? 'n' : ''}`,
  );
  return `${positions.join()}|${writers.join()}|${waiters}`;
}

/** A schedule to continue, and the threads that need not run after it until something depends on them, as bits. */
interface Pending {
  readonly schedule: readonly number[];
  readonly sleeping: number;
}

/** A state that was explored; threads are bits. */
interface ExploredState {
  /** Slept whenever the state came. */
  sleeping: number;
  /** The persistent set. */
  set: number;
}

/** A state from which some threads that could move did not. */
interface Reduced {
  readonly state: ExploredState;
  readonly enabled: number;
  readonly positions: Positions;
  readonly schedule: readonly number[];
}

/** The state that all executions of a systematic search share. */
class Search {
  readonly pending: Pending[] = [{ schedule: [], sleeping: 0 }];
  readonly states = new Map<string, ExploredState>();
  readonly histories: NumberedHistories;
  private readonly timeouts: number;
  private reduced: Reduced[] = [];
  /** The version of the footprints for which all sets are persistent. */
  private version = 0;

  constructor(histories: NumberedHistories, timeouts: number) {
    this.histories = histories;
    this.timeouts = timeouts;
  }

  /** A state that comes for the first time. */
  add(
    key: string,
    execution: ExecutionState,
    sleeping: number,
    enabled: number,
    order: readonly number[],
  ): ExploredState {
    const state: ExploredState = { sleeping, set: enabled };
    this.states.set(key, state);
    // A wait that times out depends on every operation.
    if (order.length < 2 || execution.checksEachState || this.timeouts > 0) return state;
    const { footprints } = this.histories;
    const positions = positionsOf(execution, (name) => this.histories.extend(0, name));
    state.set = smallestSet(positions, footprints, enabled, order);
    if ((enabled & ~state.set) !== 0)
      this.reduced.push({ state, enabled, positions, schedule: [...execution.schedule] });
    return state;
  }

  /** Whether no schedule is left. */
  get isComplete(): boolean {
    if (this.pending.length === 0) this.widen();
    return this.pending.length === 0;
  }

  /** Completes the sets that operations seen since then have made too small. */
  private widen(): void {
    const { footprints } = this.histories;
    if (footprints.version === this.version) return;
    this.version = footprints.version;
    this.reduced = this.reduced.filter(({ state, enabled, positions, schedule }) => {
      const set = persistentSet(positions, footprints, state.set);
      let explored = state.sleeping | (state.set & enabled);
      for (const thread of positions.keys()) {
        const bit = 1 << thread;
        if ((set & enabled & bit & ~explored) === 0) continue;
        this.pending.push({ schedule: [...schedule, thread], sleeping: explored });
        explored |= bit;
      }
      state.set = set;
      return (enabled & ~set) !== 0;
    });
  }
}

/**
 * Follows a schedule, then continues depth first and leaves the other choices pending.
 *
 * Sleep sets: if two operations do not depend on each other, the second order of both leads nowhere new, so a thread
 * whose operation was explored before sleeps until an operation that depends on it. A state that comes again is explored
 * only for threads that slept there before and do not now. Source: P. Godefroid, "Partial-Order Methods for the
 * Verification of Concurrent Systems" (1996), chapter 5.
 */
class DepthFirst implements Chooser {
  private readonly schedule: readonly number[];
  private readonly search: Search;
  private sleeping: number;
  private lastStep: NextOperation = { word: ANY_WORD, writes: true };

  constructor({ schedule, sleeping }: Pending, search: Search) {
    this.schedule = schedule;
    this.sleeping = sleeping;
    this.search = search;
  }

  choose(execution: ExecutionState, enabled: readonly number[], current: number): number {
    const { threads } = execution;
    const step = execution.schedule.length;
    let chosen = this.schedule[step];
    if (chosen === undefined) {
      for (const { index, nextStep } of threads)
        if (!areIndependent(nextStep, this.lastStep)) this.sleeping &= ~(1 << index);
      chosen = this.explore(execution, enabled, current);
    }
    if (chosen !== STOP) this.lastStep = threads[chosen]!.nextStep;
    return chosen;
  }

  private explore(execution: ExecutionState, enabled: readonly number[], current: number): number {
    const { search, sleeping } = this;
    // Continuing with the same thread saves running its code again.
    const order = [...enabled].sort((a, b) => Number(b === current) - Number(a === current));
    const bits = enabled.reduce((set, thread) => set | (1 << thread), 0);
    const key = stateOf(execution);
    const before = search.states.get(key);
    const state = before ?? search.add(key, execution, sleeping, bits, order);
    const mayRun = before === undefined ? state.set : state.set & before.sleeping;
    state.sleeping &= sleeping;
    const open = order.filter((thread) => (mayRun & ~sleeping & (1 << thread)) !== 0);
    const [chosen, ...rest] = open;
    if (chosen === undefined) return STOP;
    let explored = sleeping | (1 << chosen);
    for (const other of rest) {
      search.pending.push({ schedule: [...execution.schedule, other], sleeping: explored });
      explored |= 1 << other;
    }
    return chosen;
  }
}

/** Changes the thread at a third of the points. */
class RandomOrder implements Chooser {
  private state: number;

  constructor(seed: number) {
    this.state = Math.imul(seed, 0x9e3779b1) | 1;
  }

  /** Xorshift: G. Marsaglia, "Xorshift RNGs" (2003). */
  private next(below: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % below;
  }

  choose(_: ExecutionState, enabled: readonly number[], current: number): number {
    if (enabled.includes(current) && this.next(3) > 0) return current;
    return enabled[this.next(enabled.length)] ?? STOP;
  }
}

/** Repeats a schedule. */
class Repeat implements Chooser {
  private readonly schedule: readonly number[];

  constructor(schedule: readonly number[]) {
    this.schedule = schedule;
  }

  choose({ schedule }: ExecutionState): number {
    return this.schedule[schedule.length] ?? STOP;
  }
}

export function explore(beginning: Beginning, options: ExploreOptions): Explored {
  const histories = new NumberedHistories();
  const search = new Search(histories, options.timeouts);
  const atomicFields = new Set<string>();
  const run = (chooser: Chooser): Execution => {
    const execution = begin(beginning, chooser, histories, options, NOTHING);
    for (const field of execution.atomicFields) atomicFields.add(field);
    return execution;
  };
  let interleavings = 0;
  const explored = (failed: Execution | null, isExhaustive: boolean): Explored => {
    return { failed, interleavings, states: search.states.size, isExhaustive, atomicFields };
  };
  while (interleavings < options.executionsMax && !search.isComplete) {
    interleavings++;
    const execution = run(new DepthFirst(search.pending.pop()!, search));
    if (execution.found.length > 0) return explored(execution, false);
  }
  if (search.isComplete) return explored(null, true);
  for (let turn = 0; turn < options.randomMax; turn++) {
    interleavings++;
    const execution = run(new RandomOrder(options.seed + turn));
    if (execution.found.length > 0) return explored(execution, false);
  }
  return explored(null, false);
}

const NOTHING: ReadonlySet<string> = new Set();

/** Runs an execution again and notes the stacks of the operations in `captures`. */
export function repeat(
  { schedule }: Execution,
  captures: ReadonlySet<string>,
  limits: Limits,
  beginning: Beginning,
): Execution {
  return begin(beginning, new Repeat(schedule), new NumberedHistories(), limits, captures);
}

function begin(
  { prepare, activate }: Beginning,
  chooser: Chooser,
  histories: Histories,
  limits: Limits,
  captures: ReadonlySet<string>,
): Execution {
  activate(null);
  const execution = new Execution(chooser, histories, limits, captures, prepare());
  activate(execution);
  execution.run();
  return execution;
}
