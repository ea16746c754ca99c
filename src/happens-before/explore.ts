/**
 * Explores the orders in which the threads of a scenario may perform their atomic operations.
 *
 * Depth first. Two states are the same if each thread has done the same operations, reading what the same operations
 * wrote, and if the same operation wrote each word last: then all clocks and values are the same, too. So each state is
 * explored once, and orders that differ only in operations that do not depend on each other are merged. This is exact: no
 * race is missed. Beyond the limit of executions, random orders follow.
 */
import { type Chooser, type ExecutionState, type Histories, type Limits, STOP } from './chooser.ts';
import { Execution } from './execution.ts';
import type { Prepared } from './scenario.ts';

export interface Explored {
  /** The execution with a finding, or null. */
  readonly failed: Execution | null;
  readonly executions: number;
  readonly interleavings: number;
  readonly isExhaustive: boolean;
  readonly atomicFields: ReadonlySet<string>;
}

export interface ExploreOptions extends Limits {
  /** Executions that search systematically, and then at random. */
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
  private readonly numbers = new Map<string, number>();
  private readonly keys = new Map<string, number>();

  extend(history: number, token: string): number {
    return numberOf(this.numbers, `${history} ${token}`);
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

/** The graph of states, to count the orders that lead through it. */
class StateGraph {
  private readonly numbers = new Map<string, number>();
  private readonly successors: Set<number>[] = [];

  /** The number of a state, and whether it is new; adds the step that leads to it. */
  visit(state: string, from: number): { readonly number: number; readonly isNew: boolean } {
    let number = this.numbers.get(state);
    const isNew = number === undefined;
    if (number === undefined) {
      number = this.successors.length;
      this.numbers.set(state, number);
      this.successors.push(new Set());
    }
    if (from >= 0) this.successors[from]!.add(number);
    return { number, isNew };
  }

  /** Paths from the first state to an end. */
  countPaths(): number {
    const { successors } = this;
    const counts = new Array<number>(successors.length).fill(-1);
    const stack = [0];
    while (stack.length > 0) {
      const state = stack.at(-1)!;
      const open = [...successors[state]!].filter((next) => counts[next]! < 0);
      if (counts[state]! < 0 && open.length === 0) {
        const paths = [...successors[state]!].reduce((sum, next) => sum + counts[next]!, 0);
        counts[state] = Math.max(1, paths);
      }
      if (open.length === 0) stack.pop();
      else stack.push(...open);
    }
    return counts[0] ?? 0;
  }
}

/** Follows a schedule, then continues depth first and leaves the other choices in `pending`. */
class DepthFirst implements Chooser {
  private readonly schedule: readonly number[];
  private readonly pending: number[][];
  private readonly graph: StateGraph;
  private from = -1;

  constructor(schedule: readonly number[], pending: number[][], graph: StateGraph) {
    this.schedule = schedule;
    this.pending = pending;
    this.graph = graph;
  }

  choose(execution: ExecutionState, enabled: readonly number[], current: number): number {
    const step = execution.schedule.length;
    const { number, isNew } = this.graph.visit(stateOf(execution), this.from);
    this.from = number;
    if (step < this.schedule.length) return this.schedule[step]!;
    if (!isNew) return STOP;
    // Continuing with the same thread saves running its code again.
    const chosen = enabled.includes(current) ? current : (enabled[0] ?? STOP);
    for (const other of enabled) if (other !== chosen) this.pending.push([...execution.schedule, other]);
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
  const graph = new StateGraph();
  const atomicFields = new Set<string>();
  const run = (chooser: Chooser): Execution => {
    const execution = begin(beginning, chooser, histories, options, NOTHING);
    for (const field of execution.atomicFields) atomicFields.add(field);
    return execution;
  };
  const pending: number[][] = [[]];
  let executions = 0;
  for (let schedule = pending.pop(); schedule !== undefined; schedule = pending.pop()) {
    if (executions === options.executionsMax) break;
    executions++;
    const execution = run(new DepthFirst(schedule, pending, graph));
    if (execution.found.length > 0)
      return { failed: execution, executions, interleavings: executions, isExhaustive: false, atomicFields };
    if (pending.length === 0)
      return {
        failed: null,
        executions,
        interleavings: graph.countPaths(),
        isExhaustive: true,
        atomicFields,
      };
  }
  for (let turn = 0; turn < options.randomMax; turn++) {
    executions++;
    const execution = run(new RandomOrder(options.seed + turn));
    if (execution.found.length > 0)
      return { failed: execution, executions, interleavings: executions, isExhaustive: false, atomicFields };
  }
  return { failed: null, executions, interleavings: executions, isExhaustive: false, atomicFields };
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
