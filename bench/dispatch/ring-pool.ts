/**
 * Handed to a fixed pool through rings in shared memory: a worker is woken once for all that a turn submitted, if it
 * sleeps at all, and wakes the submitter once for all that it answered.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Bell, createBell } from '../../src/base/bell.ts';
import { createTaskRing, TaskSubmitter } from './task-ring.ts';
import { POOL_THREADS } from './tasks.ts';
import type { Done, HandOver, OpenHandOver } from './ways.ts';

const ENTRY = new URL('./ring-worker.js', import.meta.url);

export interface RingWorkerData {
  readonly ring: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
}

/** One worker, and the numbers of the tasks that are out with it, oldest first. */
class RingWorker {
  readonly thread: Worker;
  private readonly ring: TaskSubmitter;
  private readonly bell: Bell;
  private readonly tasks: number[] = [];
  private readonly done: Done;
  private waiting = false;
  private readonly answered = (sum: number): void => this.done(this.tasks.shift()!, sum);
  private readonly woken = (): void => {
    this.waiting = false;
    this.takeAnswers();
  };

  constructor(slotBytes: number, done: Done) {
    const data: RingWorkerData = { ring: createTaskRing(slotBytes), bell: createBell() };
    this.thread = new Worker(ENTRY, { workerData: data });
    this.ring = new TaskSubmitter(data.ring);
    this.bell = new Bell(data.bell);
    this.done = done;
  }

  submit(task: number, body: Uint8Array): void {
    this.tasks.push(task);
    this.ring.submit(body);
  }

  flush(): void {
    if (this.ring.publish()) this.bell.ring();
    this.arm();
  }

  private arm(): void {
    while (!this.waiting && this.ring.outstanding) {
      const wake = this.ring.waitForAnswers();
      if (wake === null) return this.takeAnswers();
      this.waiting = true;
      wake.then(this.woken);
    }
  }

  private takeAnswers(): void {
    this.ring.takeAnswers(this.answered);
    this.arm();
  }
}

class RingPool implements HandOver {
  private readonly workers: readonly RingWorker[];
  private next = 0;
  private flushing = false;

  constructor(slotBytes: number, done: Done) {
    this.workers = Array.from({ length: POOL_THREADS }, () => new RingWorker(slotBytes, done));
  }

  get threads(): readonly Worker[] {
    return this.workers.map(({ thread }) => thread);
  }

  submit(task: number, body: Uint8Array): void {
    this.workers[this.next]!.submit(task, body);
    this.next = (this.next + 1) % this.workers.length;
  }

  flush(): void {
    if (this.flushing) return;
    this.flushing = true;
    // While answers are taken, each lets a task follow; all of them are handed over at once after the last.
    queueMicrotask(() => {
      this.flushing = false;
      for (const worker of this.workers) worker.flush();
    });
  }

  readAnswerMs(): number {
    return 0;
  }
}

export const openHandOver = (async (slotBytes, done) => {
  const pool = new RingPool(slotBytes, done);
  await Promise.all(pool.threads.map((thread) => once(thread, 'online')));
  return pool;
}) satisfies OpenHandOver;
