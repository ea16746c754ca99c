/**
 * What threads that live and do nothing take: `idle-threads.js empty|loaded COUNT`, forked. Starts them, sends the
 * figures, and ends when the channel closes.
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
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

const entry = process.argv[2] === 'loaded' ? LOADED_ENTRY : EMPTY_ENTRY;
const count = Number(process.argv[3]);
const before = { rss: process.memoryUsage.rss(), threads: kernelThreads(), ms: monotonicMs() };
const threads = Array.from({ length: count }, () => new Worker(entry, { workerData: null }));
await Promise.all(threads.map((thread) => once(thread, 'message')));
const figures: IdleFigures = {
  rssBytes: (process.memoryUsage.rss() - before.rss) / count,
  startMs: (monotonicMs() - before.ms) / count,
  kernelThreads: (kernelThreads() - before.threads) / count,
};
process.once('disconnect', () => process.exit(0));
process.send?.(figures);
