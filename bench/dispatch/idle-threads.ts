/** The memory of threads that live and do nothing: `idle-threads.js empty|loaded COUNT`, forked. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import { serveRounds } from '../harness/forks.ts';
import { EMPTY_ENTRY, LOADED_ENTRY } from './thread-per-task.ts';

export interface IdleFigures {
  /** Growth of the resident set, a thread. */
  readonly rssBytes: number;
  /** From the first start until all are idle, a thread. */
  readonly startMs: number;
  /** Threads that the kernel counts more than before, a thread. */
  readonly kernelThreads: number;
}

const kernelThreads = (): number => readdirSync('/proc/self/task').length;

/** @param count each in a process of its own: memory that threads have left is not given back */
async function measure(entry: URL, count: number): Promise<IdleFigures> {
  const before = { rss: process.memoryUsage.rss(), threads: kernelThreads(), ms: monotonicMs() };
  const threads = Array.from({ length: count }, () => new Worker(entry, { workerData: null }));
  await Promise.all(threads.map((thread) => once(thread, 'message')));
  return {
    rssBytes: (process.memoryUsage.rss() - before.rss) / count,
    startMs: (monotonicMs() - before.ms) / count,
    kernelThreads: (kernelThreads() - before.threads) / count,
  };
}

serveRounds(() =>
  measure(process.argv[2] === 'loaded' ? LOADED_ENTRY : EMPTY_ENTRY, Number(process.argv[3])),
);
