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

class MessagePool implements HandOver {
  readonly threads: readonly Worker[];
  private readonly moves: boolean;
  private next = 0;

  constructor(moves: boolean, done: Done) {
    this.moves = moves;
    this.threads = Array.from({ length: POOL_THREADS }, () => {
      const thread = new Worker(ENTRY);
      thread.on('message', ({ task, checksum }: TaskAnswer) => done(task, checksum));
      return thread;
    });
  }

  submit(task: number, body: Uint8Array): void {
    const thread = this.threads[this.next]!;
    this.next = (this.next + 1) % this.threads.length;
    if (this.moves) {
      const copy = body.slice();
      thread.postMessage({ task, body: copy } satisfies TaskMessage, [copy.buffer]);
    } else {
      thread.postMessage({ task, body } satisfies TaskMessage);
    }
  }

  flush(): void {}

  readAnswerMs(): number {
    return 0;
  }
}

async function open(moves: boolean, done: Done): Promise<HandOver> {
  const pool = new MessagePool(moves, done);
  await Promise.all(pool.threads.map((thread) => once(thread, 'online')));
  return pool;
}

export const openCopying = ((_, done) => open(false, done)) satisfies OpenHandOver;

export const openMoving = ((_, done) => open(true, done)) satisfies OpenHandOver;
