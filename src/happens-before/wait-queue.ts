/** The threads that wait for a notification, first come, first woken. */
import type { Shadow } from './shadow.ts';

export interface Waiter {
  readonly thread: number;
  readonly shadow: Shadow;
  readonly byte: number;
  /** Number of an asynchronous wait; null: the thread sleeps. */
  readonly task: number | null;
}

export class WaitQueue {
  private waiters: readonly Waiter[] = [];

  add(waiter: Waiter): void {
    this.waiters = [...this.waiters, waiter];
  }

  /** Removes and returns the first `count` waiters on a word. */
  take(shadow: Shadow, byte: number, count: number): readonly Waiter[] {
    const taken = this.waiters
      .filter((waiter) => waiter.shadow === shadow && waiter.byte === byte)
      .slice(0, count);
    this.waiters = this.waiters.filter((waiter) => !taken.includes(waiter));
    return taken;
  }

  /** Removes the thread that sleeps, whose wait has timed out. */
  removeSleeper(thread: number): void {
    this.waiters = this.waiters.filter((waiter) => waiter.thread !== thread || waiter.task !== null);
  }

  /** Equal for equal queues. */
  toString(): string {
    return this.waiters
      .map(({ thread, shadow, byte, task }) => `${thread}:${shadow.index}:${byte}:${task === null}`)
      .join();
  }
}
