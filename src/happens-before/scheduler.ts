/**
 * Runs the threads of a scenario in one real thread, one at a time, in an order that a chooser decides.
 *
 * Threads change only at atomic operations (and at plain ones that the layout lets be unordered). This suffices: if a
 * program has a race, it shows in some order of the atomic operations, whatever lies between them.
 */
import {
  type Chooser,
  type ExecutionState,
  type Found,
  foreverAsleep,
  type Histories,
  type Limits,
  operationId,
  STOP,
} from './chooser.ts';
import { ANY_WORD, ModelThread, PAUSE } from './model-thread.ts';
import type { Prepared } from './scenario.ts';
import { WaitQueue } from './wait-queue.ts';

const THREADS_MAX = 8;
/** Atomic operations of one execution, by all threads: ends threads that wake each other for ever. */
const TOTAL_OPERATIONS_MAX = 20_000;

class Violation extends Error {}

export class Scheduler implements ExecutionState {
  readonly threads: readonly ModelThread[];
  readonly schedule: number[] = [];
  readonly found: Found[] = [];
  /** Stacks of the operations to capture, by their id. */
  readonly stacks = new Map<string, string>();
  readonly waiters = new WaitQueue();
  readonly writers: number[] = [];
  protected readonly prepared: Prepared;
  protected readonly histories: Histories;
  protected readonly limits: Limits;
  protected current!: ModelThread;
  /** Accesses now are those of the checker, which are not modelled. */
  protected isObserving = false;
  private readonly chooser: Chooser;
  private chosen: number | null = null;
  private timeoutsLeft: number;
  private hasStopped = false;
  private operations = 0;
  private readonly captures: ReadonlySet<string>;
  /** A thread that has just started pauses at its first atomic operation, so that all threads have one to choose from. */
  private isStarting = false;

  /** @param captures operations to note the stacks of */
  constructor(
    chooser: Chooser,
    histories: Histories,
    limits: Limits,
    captures: ReadonlySet<string>,
    prepared: Prepared,
  ) {
    this.chooser = chooser;
    this.histories = histories;
    this.limits = limits;
    this.timeoutsLeft = limits.timeouts;
    this.prepared = prepared;
    this.captures = captures;
    const { threads, after = {} } = this.prepared;
    const names = Object.keys(threads);
    if (names.length > THREADS_MAX)
      throw new Error(`a scenario has at most ${THREADS_MAX} threads, this one ${names.length}`);
    this.threads = names.map(
      (name, index) => new ModelThread(index, name, threads[name]!, after[name] ?? [], names.length),
    );
  }

  get checksEachState(): boolean {
    return this.prepared.check !== undefined;
  }

  run(): void {
    while (!this.hasStopped && this.found.length === 0) {
      this.startThreads();
      if (this.found.length > 0) break;
      this.chosen ??= this.choose();
      if (this.chosen === STOP) break;
      const thread = this.threads[this.chosen]!;
      this.chosen = null;
      if (thread.state === 'blocked') this.timeOut(thread);
      this.resume(thread);
    }
  }

  /** Starts each thread whose `startsAfter` threads have ended. It runs up to its first atomic operation. */
  private startThreads(): void {
    const ended = new Set(this.threads.filter(({ state }) => state === 'ended').map(({ name }) => name));
    for (const thread of this.threads) {
      if (thread.state !== 'new' || !thread.startsAfter.every((name) => ended.has(name))) continue;
      for (const other of this.threads)
        if (thread.startsAfter.includes(other.name)) thread.acquire(other.clock);
      thread.history = this.histories.extend(0, thread.name);
      this.isStarting = true;
      this.resume(thread);
      this.isStarting = false;
    }
  }

  /** Runs `work` without modelling its accesses to shared memory. */
  private observe<T>(work: () => T): T {
    this.isObserving = true;
    try {
      return work();
    } finally {
      this.isObserving = false;
    }
  }

  private resume(thread: ModelThread): void {
    thread.restart();
    this.current = thread;
    try {
      const result = thread.body({ expect: this.expect, turn: this.turn, idle: this.idle });
      if (!thread.isPaused) this.end(thread, result);
    } catch (error) {
      if (error !== PAUSE && !thread.isPaused) this.fail(thread, error);
    }
  }

  private end(thread: ModelThread, result: unknown): void {
    thread.state = 'ended';
    thread.result = result;
    thread.history = this.histories.extend(thread.history, 'end');
  }

  private fail(thread: ModelThread, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    const kind = error instanceof Violation ? 'invariant' : 'exception';
    const sentence = kind === 'invariant' ? `${thread.name}: ${text}` : `${thread.name} threw: ${text}`;
    this.found.push({ kind, text: sentence, thread: thread.index, operation: thread.log.length - 1 });
  }

  private readonly expect = (holds: boolean, sentence: string): void => {
    if (!holds) throw new Violation(sentence);
  };

  /** Decides who continues; ends the execution when nobody can. */
  private choose(): number {
    const { threads } = this;
    if (!this.checkInvariant(() => this.prepared.check?.())) return STOP;
    const enabled: number[] = [];
    for (const { index, state, timeoutMs } of threads) {
      const mayTimeOut = state === 'blocked' && this.timeoutsLeft > 0 && timeoutMs < Number.POSITIVE_INFINITY;
      if (state === 'ready' || mayTimeOut) enabled.push(index);
    }
    const chosen = this.chooser.choose(this, enabled, this.current.index);
    if (enabled.length === 0) {
      this.finish();
      return STOP;
    }
    if (chosen === STOP) this.hasStopped = true;
    else this.schedule.push(chosen);
    return chosen;
  }

  private finish(): void {
    const { threads } = this;
    const asleep = threads.filter(({ state }) => state !== 'ended');
    const sleeper = asleep.find(({ state }) => state !== 'new');
    if (sleeper === undefined) {
      const results = Object.fromEntries(threads.map(({ name, result }) => [name, result]));
      this.checkInvariant(() => this.prepared.checkEnd?.(results));
      return;
    }
    const text = foreverAsleep(asleep.map(({ name }) => name));
    // A blocked thread has not logged the wait it sleeps in.
    this.found.push({ kind: 'asleep', text, thread: sleeper.index, operation: sleeper.log.length });
  }

  private checkInvariant(check: () => void): boolean {
    try {
      this.observe(check);
      return true;
    } catch (error) {
      const { index, log } = this.current;
      const text = error instanceof Error ? error.message : String(error);
      this.found.push({ kind: 'invariant', text, thread: index, operation: log.length - 1 });
      return false;
    }
  }

  /** A point at which another thread may continue. Throws PAUSE if one does. */
  private point(thread: ModelThread): void {
    if (thread.isGranted) {
      thread.isGranted = false;
      return;
    }
    if (!this.isStarting) {
      this.chosen = this.choose();
      if (this.chosen === thread.index) {
        this.chosen = null;
        return;
      }
    }
    this.pause(thread);
  }

  protected pause(thread: ModelThread): never {
    thread.isPaused = true;
    throw PAUSE;
  }

  private timeOut(thread: ModelThread): void {
    this.waiters.removeSleeper(thread.index);
    this.timeoutsLeft--;
    thread.timeMs += thread.timeoutMs;
    thread.log.push('timed-out');
    thread.isWoken = true;
    thread.history = this.histories.extend(thread.history, 'timed out');
  }

  /** Ends a turn of the thread's event loop. */
  private readonly turn = (): void => {
    const thread = this.running();
    if (thread.repeats) return thread.runCallbacks(thread.log[thread.cursor++] as number[]);
    this.begin(thread, ANY_WORD, false);
    const { settled } = thread;
    if (settled.length === 0) {
      thread.state = 'turn';
      thread.operationsAwake = 0;
      this.pause(thread);
    }
    thread.settled = [];
    thread.history = this.histories.extend(thread.history, `turn ${settled.length}`);
    thread.runCallbacks(this.log(thread, settled));
  };

  private readonly idle = (): void => {
    const thread = this.running();
    if (thread.repeats) {
      thread.cursor++;
      return;
    }
    this.begin(thread, ANY_WORD, false);
    this.capture(thread);
    if (!thread.hasNews) {
      thread.state = 'idle';
      thread.operationsAwake = 0;
      this.pause(thread);
    }
    this.endIdling(thread);
    thread.cursor++;
  };

  private endIdling(thread: ModelThread): void {
    thread.hasNews = false;
    thread.history = this.histories.extend(thread.history, 'idle');
    thread.log.push(undefined);
  }

  /** Tells the other threads that `thread` has stored something. */
  protected announceStore(thread: ModelThread): void {
    for (const other of this.threads) {
      if (other === thread) continue;
      other.hasNews = true;
      if (other.state !== 'idle') continue;
      this.endIdling(other);
      other.state = 'ready';
      other.isWoken = true;
    }
  }

  /** Before an operation at which threads may change. */
  protected begin(thread: ModelThread, word: number, writes: boolean): void {
    thread.next = { word, writes };
    this.histories.comesTo(thread.history, thread.next);
    this.point(thread);
    thread.operations++;
    thread.operationsAwake++;
    this.operations++;
    if (thread.operationsAwake <= this.limits.operationsMax && this.operations <= TOTAL_OPERATIONS_MAX)
      return;
    const text = `${thread.name} does not sleep: ${thread.operationsAwake} atomic operations, and it still loops`;
    this.capture(thread);
    this.found.push({ kind: 'spinning', text, thread: thread.index, operation: thread.log.length });
    this.pause(thread);
  }

  protected running(): ModelThread {
    if (this.current.isPaused) throw PAUSE;
    return this.current;
  }

  protected log<T>(thread: ModelThread, result: T): T {
    thread.log.push(result);
    thread.cursor++;
    return result;
  }

  /** Notes the stack of the thread's next operation, if it is one to show. */
  protected capture(thread: ModelThread): void {
    const id = operationId(thread.index, thread.log.length);
    if (this.captures.size > 0 && this.captures.has(id)) this.stacks.set(id, new Error('here').stack ?? '');
  }
}
