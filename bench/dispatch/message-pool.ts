/** Handed to a fixed pool by postMessage: the body as structured clone makes a copy of it, or copied once and moved. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { POOL_THREADS } from './tasks.ts';
import type { Done, HandOver, OpenHandOver } from './ways.ts';

const ENTRY = new URL('./message-worker.js', import.meta.url);

export interface TaskMessage {
  readonly task: number;
  readonly body: Uint8Array;
}

export interface TaskAnswer {
  readonly task: number;
  readonly checksum: number;
}

async function open(moves: boolean, done: Done): Promise<HandOver> {
  const threads = Array.from({ length: POOL_THREADS }, () => new Worker(ENTRY));
  for (const thread of threads)
    thread.on('message', ({ task, checksum }: TaskAnswer) => done(task, checksum));
  await Promise.all(threads.map((thread) => once(thread, 'online')));
  let next = 0;
  return {
    submit: (task, body) => {
      const thread = threads[next]!;
      next = (next + 1) % threads.length;
      if (moves) {
        const copy = body.slice();
        thread.postMessage({ task, body: copy } satisfies TaskMessage, [copy.buffer]);
      } else {
        thread.postMessage({ task, body } satisfies TaskMessage);
      }
    },
  };
}

export const openCopying = ((_, done) => open(false, done)) satisfies OpenHandOver;

export const openMoving = ((_, done) => open(true, done)) satisfies OpenHandOver;
