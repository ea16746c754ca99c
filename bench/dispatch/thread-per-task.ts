/** Each task in a new thread, which ends with it: one that loads nothing, or one that loads what a request's does. */
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import type { Done, HandOver, OpenHandOver } from './ways.ts';

export const EMPTY_ENTRY = new URL('./empty-thread.js', import.meta.url);
export const LOADED_ENTRY = new URL('./loaded-thread.js', import.meta.url);

class ThreadPerTask implements HandOver {
  private readonly entry: URL;
  private readonly done: Done;
  private answerMs = 0;

  constructor(entry: URL, done: Done) {
    this.entry = entry;
    this.done = done;
  }

  submit(task: number, body: Uint8Array): void {
    const startMs = monotonicMs();
    const copy = body.slice();
    const thread = new Worker(this.entry, { workerData: copy, transferList: [copy.buffer] });
    let sum: number | undefined;
    thread.once('message', (checksum: number) => {
      sum = checksum;
      this.answerMs += monotonicMs() - startMs;
    });
    thread.once('exit', () => {
      if (sum === undefined) throw new Error(`the thread of task ${task} ended without an answer`);
      this.done(task, sum);
    });
  }

  flush(): void {}

  readAnswerMs(): number {
    const taken = this.answerMs;
    this.answerMs = 0;
    return taken;
  }
}

export const openEmpty = (async (_, done) => new ThreadPerTask(EMPTY_ENTRY, done)) satisfies OpenHandOver;

export const openLoaded = (async (_, done) => new ThreadPerTask(LOADED_ENTRY, done)) satisfies OpenHandOver;
