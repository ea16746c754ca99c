/** The state of one modelled thread within an execution. */
import type { ThreadBody } from './scenario.ts';

/** `new` waits for the end of other threads, `turn` for an asynchronous wait to settle, `idle` for a store by another thread. */
export type ThreadState = 'new' | 'ready' | 'blocked' | 'turn' | 'idle' | 'ended';

/**
 * A thread's next operation, described by the memory through which other operations depend on it.
 * `word` numbers eight bytes. NO_WORD: no other operation depends on it. ANY_WORD: every other operation may.
 */
export interface NextOperation {
  readonly word: number;
  readonly writes: boolean;
}

const NO_WORD = 0;
export const ANY_WORD = -1;
const LOCAL: NextOperation = { word: NO_WORD, writes: false };
const TIMEOUT: NextOperation = { word: ANY_WORD, writes: true };

/** True if the order of two operations makes no difference. */
export function areIndependent(a: NextOperation, b: NextOperation): boolean {
  if (a.word === NO_WORD || b.word === NO_WORD || !(a.writes || b.writes)) return true;
  return a.word !== b.word && a.word !== ANY_WORD && b.word !== ANY_WORD;
}

type Callback = (value: string) => void;

/** Thrown through the code of a thread to pause it. */
export const PAUSE = Symbol('pause');

export class ModelThread {
  readonly index: number;
  readonly name: string;
  readonly body: ThreadBody;
  /** Threads that have to end before this one starts. */
  readonly startsAfter: readonly string[];
  state: ThreadState = 'new';
  /** Counts of all threads whose operations happen before this thread's next one. */
  readonly clock: number[];
  /** Results of its operations so far: repeated when its code runs again from the start. */
  readonly log: unknown[] = [];
  /** Position in `log` of the next operation to repeat. */
  cursor = 0;
  /** Its next atomic operation was chosen to be next. */
  isGranted = false;
  /** It continues after its last operation, not at its next one. */
  isWoken = true;
  /** PAUSE passes through its code now: ignore what a `catch` or `finally` does. */
  isPaused = false;
  /** Identifies what it has done and read; see `explore.ts`. */
  history = 0;
  /** Atomic operations so far, and since it last slept. */
  operations = 0;
  operationsAwake = 0;
  /** The operation before which it has paused. */
  next: NextOperation = LOCAL;
  /** Another thread has stored something since it last was idle; true before that. */
  hasNews = true;
  /** Virtual time: advances when a wait times out. */
  timeMs = 0;
  /** The timeout of the wait that it sleeps in. */
  timeoutMs = Number.POSITIVE_INFINITY;
  result: unknown = undefined;
  /** Asynchronous waits that have settled, whose callbacks wait for a turn. */
  settled: number[] = [];
  private callbacks = new Map<number, Callback[]>();

  constructor(
    index: number,
    name: string,
    body: ThreadBody,
    startsAfter: readonly string[],
    threads: number,
  ) {
    this.index = index;
    this.name = name;
    this.body = body;
    this.startsAfter = startsAfter;
    this.clock = new Array<number>(threads).fill(0);
    this.clock[index] = 1;
  }

  /** Its next step. After a wake-up it first runs on to its next operation. */
  get nextStep(): NextOperation {
    if (this.state === 'blocked') return TIMEOUT;
    return this.isWoken ? LOCAL : this.next;
  }

  get repeats(): boolean {
    return this.cursor < this.log.length;
  }

  /** Before its code runs again from the start. */
  restart(): void {
    this.state = 'ready';
    this.cursor = 0;
    this.isGranted = !this.isWoken;
    this.isWoken = this.isPaused = false;
    this.callbacks = new Map();
  }

  /** Everything that `clock` covers happens before the next operation. */
  acquire(clock: readonly number[] | null): void {
    if (clock === null) return;
    for (let thread = 0; thread < clock.length; thread++)
      if (clock[thread]! > this.clock[thread]!) this.clock[thread] = clock[thread]!;
  }

  /** The clock to leave with a value; later operations are not part of it. */
  release(): number[] {
    const clock = [...this.clock];
    this.clock[this.index]! += 1;
    return clock;
  }

  /** A stand-in for the promise of `Atomics.waitAsync`, whose callbacks run in a turn. */
  promiseOf(task: number): { then(callback: Callback): void } {
    return {
      // biome-ignore lint/suspicious/noThenProperty: it stands in for a promise
      then: (callback) => {
        this.callbacks.set(task, [...(this.callbacks.get(task) ?? []), callback]);
      },
    };
  }

  runCallbacks(tasks: readonly number[]): void {
    for (const task of tasks) for (const callback of this.callbacks.get(task) ?? []) callback('ok');
  }
}
