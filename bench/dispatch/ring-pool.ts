/**
 * Handed to a fixed pool through rings in shared memory: a worker is woken once for all that a turn submitted, if it
 * sleeps at all, and wakes the submitter once for all that it answered.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Bell, createBell } from '../../src/base/bell.ts';
import { createTaskRing, TaskSubmitter } from './task-ring.ts';
import { POOL_THREADS } from './tasks.ts';
import type { Done, OpenHandOver } from './ways.ts';

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

export const openHandOver = (async (slotBytes, done) => {
  const workers = Array.from({ length: POOL_THREADS }, () => new RingWorker(slotBytes, done));
  await Promise.all(workers.map(({ thread }) => once(thread, 'online')));
  let next = 0;
  let flushing = false;
  return {
    submit: (task, body) => {
      workers[next]!.submit(task, body);
      next = (next + 1) % workers.length;
    },
    flush: () => {
      if (flushing) return;
      flushing = true;
      // While answers are taken, each lets a task follow; all of them are handed over at once after the last.
      queueMicrotask(() => {
        flushing = false;
        for (const worker of workers) worker.flush();
      });
    },
  };
}) satisfies OpenHandOver;
