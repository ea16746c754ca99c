/**
 * NODE_OPTIONS preloads this into every thread of a server. Once a file exists, it throws in one ingest thread, or in
 * the next request's own thread, as a bug in its code would. If the file names a thread, main terminates that one
 * instead. The product needs no hook for it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isMainThread, threadId, type Worker, workerData } from 'node:worker_threads';

export const BUG_FILE_VARIABLE = 'METRICSSTREAM_TEST_BUG_FILE';

/** Contents of the file: the thread to terminate, or nothing. */
export type Terminated = 'writer' | 'ingest' | '';

const LOOK_MS = 20;
const path = process.env[BUG_FILE_VARIABLE];

function terminated(): Terminated | undefined {
  if (path === undefined || !existsSync(path)) return undefined;
  return readFileSync(path, 'utf8') as Terminated;
}

function isLastIngestThread(): boolean {
  const data = workerData as { index?: number; config?: { workers: number; phase: number } } | null;
  // In the phases before the pool one thread owns all connections; there the bug is in a request's own thread.
  return (
    data?.index !== undefined &&
    data.config !== undefined &&
    data.config.phase >= 6 &&
    data.index === data.config.workers - 1
  );
}

function isRequestThread(): boolean {
  return !isMainThread && (workerData as { request?: unknown } | null)?.request !== undefined;
}

if (path !== undefined && isRequestThread() && terminated() === '') {
  // Throw later than the preload itself, so that the thread fails and not its start.
  setImmediate(() => {
    throw new TypeError(`injected: a bug in thread ${threadId}`);
  });
}

if (path !== undefined && isLastIngestThread()) {
  setInterval(() => {
    if (terminated() === '') throw new TypeError(`injected: a bug in thread ${threadId}`);
  }, LOOK_MS).unref();
}

if (path !== undefined && isMainThread) {
  const threads: Worker[] = [];
  process.on('worker', (thread) => threads.push(thread));
  const timer = setInterval(() => {
    const which = terminated();
    if (which === undefined || which === '') return;
    clearInterval(timer);
    // The server starts its writer before the threads that serve.
    void (which === 'writer' ? threads[0] : threads.at(-1))?.terminate();
  }, LOOK_MS).unref();
}
