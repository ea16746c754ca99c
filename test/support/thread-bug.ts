/**
 * Preloaded by NODE_OPTIONS into every thread of a server: throws in one ingest thread once a file is there, as a
 * bug in its code would. The product needs no hook for it.
 */
import { existsSync } from 'node:fs';
import { isMainThread, threadId, workerData } from 'node:worker_threads';

export const BUG_FILE_VARIABLE = 'METRICSSTREAM_TEST_BUG_FILE';

const LOOK_MS = 20;
const path = process.env[BUG_FILE_VARIABLE];

function isLastIngestThread(): boolean {
  const data = workerData as { index?: number; config?: { workers: number } } | null;
  return !isMainThread && data?.index !== undefined && data.index === (data.config?.workers ?? 0) - 1;
}

if (path !== undefined && isLastIngestThread()) {
  setInterval(() => {
    if (existsSync(path)) throw new TypeError(`injected: a bug in thread ${threadId}`);
  }, LOOK_MS).unref();
}
