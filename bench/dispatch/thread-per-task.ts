/** Each task in a new thread, which ends with it: one that loads nothing, or one that loads what a request's does. */
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import type { Done, HandOver, OpenHandOver } from './ways.ts';

export const EMPTY_ENTRY = new URL('./empty-thread.js', import.meta.url);
export const LOADED_ENTRY = new URL('./loaded-thread.js', import.meta.url);

function openHandOver(entry: URL, done: Done): HandOver {
  let answerMs = 0;
  return {
    submit: (task, body) => {
      const startMs = monotonicMs();
      const copy = body.slice();
      const thread = new Worker(entry, { workerData: copy, transferList: [copy.buffer] });
      let sum: number | undefined;
      thread.once('message', (checksum: number) => {
        sum = checksum;
        answerMs += monotonicMs() - startMs;
      });
      thread.once('exit', () => {
        if (sum === undefined) throw new Error(`the thread of task ${task} ended without an answer`);
        done(task, sum);
      });
    },
    readAnswerMs: () => {
      const taken = answerMs;
      answerMs = 0;
      return taken;
    },
  };
}

export const openEmpty = (async (_, done) => openHandOver(EMPTY_ENTRY, done)) satisfies OpenHandOver;

export const openLoaded = (async (_, done) => openHandOver(LOADED_ENTRY, done)) satisfies OpenHandOver;
