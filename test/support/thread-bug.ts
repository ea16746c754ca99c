/**
 * Preloaded by NODE_OPTIONS into every thread of a server: throws in one ingest thread once a file is there, or in a
 * request's own thread that starts then, as a bug in its code would. The product needs no hook for it.
 */
import { existsSync } from 'node:fs';
import { isMainThread, threadId, workerData } from 'node:worker_threads';

export const BUG_FILE_VARIABLE = 'METRICSSTREAM_TEST_BUG_FILE';

const LOOK_MS = 20;
const path = process.env[BUG_FILE_VARIABLE];

function isLastIngestThread(): boolean {
  const data = workerData as { index?: number; config?: { workers: number; phase: number } } | null;
  // In the phases before the pool one thread owns all connections, and the bug is in a request's own.
  return data?.index !== undefined && data.config?.phase === 6 && data.index === data.config.workers - 1;
}

function isRequestThread(): boolean {
  return !isMainThread && (workerData as { request?: unknown } | null)?.request !== undefined;
}

if (path !== undefined && isRequestThread() && existsSync(path)) {
  // Later than here, so that it is the thread's own doing rather than the preload's.
  setImmediate(() => {
    throw new TypeError(`injected: a bug in thread ${threadId}`);
  });
}

if (path !== undefined && isLastIngestThread()) {
  setInterval(() => {
    if (existsSync(path)) throw new TypeError(`injected: a bug in thread ${threadId}`);
  }, LOOK_MS).unref();
}
