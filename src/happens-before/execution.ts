/** One execution of a scenario: the operations on shared memory that its threads perform, checked one by one. */
import type { Chooser, Histories, Limits } from './chooser.ts';
import { ANY_WORD, type ModelThread } from './model-thread.ts';
import type { Field, Prepared } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { type Access, type Location, Shadow } from './shadow.ts';
import type { Waiter } from './wait-queue.ts';

/** Numbers the operations of all threads apart: more than one thread performs. */
const WRITER_STRIDE = 2 ** 20;

export class Execution extends Scheduler {
  readonly atomicFields = new Set<string>();
  private readonly shadows = new Map<SharedArrayBuffer, Shadow>();
  private tasks = 0;

  constructor(
    chooser: Chooser,
    histories: Histories,
    limits: Limits,
    captures: ReadonlySet<string>,
    prepared: Prepared,
  ) {
    super(chooser, histories, limits, captures, prepared);
    for (const [index, { memory, layout }] of prepared.memories.entries())
      this.shadows.set(memory, new Shadow(memory, index, layout, this.readsLate));
  }

  private readonly readsLate = ({ lateReaders = [] }: Field, thread: number): boolean =>
    lateReaders.includes(this.threads[thread]!.name);

  /** The shadow of a memory, or null if accesses to it are not modelled now. */
  shadowOf(memory: SharedArrayBuffer): Shadow | null {
    return this.isObserving ? null : (this.shadows.get(memory) ?? null);
  }

  /** A plain access. `apply` performs it on the real memory. */
  plain<T>(shadow: Shadow, byte: number, bytes: number, isWrite: boolean, how: string, apply: () => T): T {
    const thread = this.running();
    if (thread.repeats) return thread.log[thread.cursor++] as T;
    const isPoint = shadow.isPoint(byte, isWrite, thread.index);
    if (isPoint)
      this.begin(
        thread,
        shadow.isUnordered(byte, bytes) ? this.wordAt(shadow, byte) : ANY_WORD,
        isWrite || !shadow.isUnordered(byte, bytes),
      );
    this.touch(thread, shadow, byte, bytes, isWrite, false, how);
    const result = apply();
    if (isPoint || (isWrite && shadow.isReadLate(byte))) {
      this.trace(thread, shadow.location(byte, this.keyOf), !isWrite, isWrite);
      // Other stores belong to the step before, which need not write: they wake nobody.
      if (isPoint && isWrite) this.announceStore(thread);
    }
    return this.log(thread, result);
  }

  /**
   * An atomic operation on one element.
   * @param writes whether it stored, decided by its result
   */
  atomic<T>(
    shadow: Shadow,
    byte: number,
    bytes: number,
    how: string,
    reads: boolean,
    writes: (result: T) => boolean,
    apply: () => T,
  ): T {
    const thread = this.running();
    if (thread.repeats) return thread.log[thread.cursor++] as T;
    this.begin(thread, this.wordAt(shadow, byte), how !== 'Atomics.load');
    const location = this.atomicLocation(shadow, byte);
    location.bytes = Math.max(location.bytes, bytes);
    if (reads) thread.acquire(location.release);
    const result = apply();
    const isWrite = writes(result);
    this.touch(thread, shadow, byte, bytes, isWrite, true, how);
    if (isWrite) location.release = thread.release();
    this.trace(thread, location, reads, isWrite);
    if (isWrite) this.announceStore(thread);
    return this.log(thread, result);
  }

  private wordAt(shadow: Shadow, byte: number): number {
    return shadow.wordAt(byte, this.keyOf);
  }

  private atomicLocation(shadow: Shadow, byte: number): Location {
    this.atomicFields.add(shadow.nameOf(byte));
    return shadow.location(byte, this.keyOf);
  }

  private touch(
    thread: ModelThread,
    shadow: Shadow,
    byte: number,
    bytes: number,
    isWrite: boolean,
    isAtomic: boolean,
    how: string,
  ): void {
    const { index, clock, log } = thread;
    const operation = log.length;
    const second: Access = {
      thread: index,
      clock: clock[index]!,
      operation,
      isWrite,
      isAtomic,
      byte,
      bytes,
      how,
    };
    this.capture(thread);
    const first = shadow.touch(second, thread.clock);
    if (first === null) return;
    this.found.push({ kind: 'race', shadow, first, second });
    this.pause(thread);
  }

  private readonly keyOf = (name: string): number => this.histories.keyOf(name);

  /** Adds an operation to the thread's history: where its value came from determines all that follows. */
  private trace(thread: ModelThread, location: Location, reads: boolean, isWrite: boolean): void {
    const token = reads ? `${location.key}<${location.writer}` : `${location.key}`;
    thread.history = this.histories.extend(thread.history, token);
    if (!isWrite) return;
    location.writer = (thread.index + 1) * WRITER_STRIDE + thread.log.length;
    this.writers[location.key] = location.writer;
  }

  /** `Atomics.wait`. @param isEqual whether the word still has the expected value */
  wait(shadow: Shadow, byte: number, bytes: number, timeoutMs: number, isEqual: () => boolean): string {
    const thread = this.running();
    if (thread.repeats) return thread.log[thread.cursor++] as string;
    const location = this.beginWait(thread, shadow, byte, bytes, 'Atomics.wait');
    this.trace(thread, location, true, false);
    if (!isEqual()) return this.log(thread, 'not-equal');
    this.waiters.add({ thread: thread.index, shadow, byte, task: null });
    thread.state = 'blocked';
    thread.timeoutMs = timeoutMs;
    thread.operationsAwake = 0;
    this.pause(thread);
  }

  /** `Atomics.waitAsync`: a stand-in for its promise, or null if the word has another value. */
  waitAsync(shadow: Shadow, byte: number, bytes: number, isEqual: () => boolean) {
    const thread = this.running();
    let task: number | null = null;
    if (thread.repeats) task = thread.log[thread.cursor++] as number | null;
    else {
      this.trace(thread, this.beginWait(thread, shadow, byte, bytes, 'Atomics.waitAsync'), true, false);
      if (isEqual()) {
        task = ++this.tasks;
        this.waiters.add({ thread: thread.index, shadow, byte, task });
      }
      this.log(thread, task);
    }
    return task === null ? null : thread.promiseOf(task);
  }

  private beginWait(thread: ModelThread, shadow: Shadow, byte: number, bytes: number, how: string): Location {
    this.begin(thread, this.wordAt(shadow, byte), true);
    const location = this.atomicLocation(shadow, byte);
    thread.acquire(location.release);
    this.touch(thread, shadow, byte, bytes, false, true, how);
    return location;
  }

  /**
   * `Atomics.notify`: wakes the first `count` waiters. It orders nothing here: the woken thread has to load the word. So
   * code that passes does not depend on a wake-up being more than a hint.
   */
  notify(shadow: Shadow, byte: number, count: number): number {
    const thread = this.running();
    if (thread.repeats) return thread.log[thread.cursor++] as number;
    this.begin(thread, this.wordAt(shadow, byte), true);
    this.capture(thread);
    const woken = this.waiters.take(shadow, byte, count);
    for (const waiter of woken) this.wake(waiter);
    const token = `notify ${woken.map((waiter) => waiter.thread).join()}`;
    thread.history = this.histories.extend(thread.history, token);
    return this.log(thread, woken.length);
  }

  private wake({ thread: index, task }: Waiter): void {
    const thread = this.threads[index]!;
    if (task === null) {
      thread.log.push('ok');
      thread.isWoken = true;
      thread.state = 'ready';
      thread.history = this.histories.extend(thread.history, 'woken');
      return;
    }
    thread.settled.push(task);
    if (thread.state === 'turn') thread.state = 'ready';
  }

  /** Virtual milliseconds of the current thread. */
  now(): number {
    if (this.isObserving) return 0;
    const thread = this.running();
    if (thread.repeats) return thread.log[thread.cursor++] as number;
    return this.log(thread, thread.timeMs);
  }
}
