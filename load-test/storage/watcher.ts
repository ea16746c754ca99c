/** The thread that watches the files, seen from the main thread. */
import { Worker } from 'node:worker_threads';
import { FATE_ACCEPTED } from '../generator/messages.ts';
import { LatencyHistogram } from '../latency.ts';
import type { StorageLatency } from '../plan.ts';
import type { WatcherData, WatcherReport, WatcherStop } from './watcher-messages.ts';

const ENTRY = new URL('./watcher-thread.js', import.meta.url);

export interface Watcher {
  /** Ends watching once every sample was found, or after `withinMs`. */
  finish(withinMs: number, fates: readonly Uint8Array[]): Promise<StorageLatency>;
  terminate(): Promise<unknown>;
}

/** Resolves when the thread watches. */
export async function startWatcher(data: WatcherData): Promise<Watcher> {
  const worker = new Worker(ENTRY, { workerData: data, name: 'storage-watcher' });
  const failed = new Promise<never>((_, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the thread that watches the files ended')));
  });
  failed.catch(() => {});
  const nextMessage = () => new Promise<unknown>((resolve) => worker.once('message', resolve));
  await Promise.race([nextMessage(), failed]);
  const reported = Promise.race([nextMessage(), failed]) as Promise<WatcherReport>;
  reported.catch(() => {});
  return {
    async finish(withinMs, fates) {
      worker.postMessage({ kind: 'stop', withinMs } satisfies WatcherStop);
      return describe(await reported, fates);
    },
    terminate: () => worker.terminate(),
  };
}

function describe(report: WatcherReport, fates: readonly Uint8Array[]): StorageLatency {
  const { found, skipped, pending } = report;
  const threads = fates.length;
  const lost = pending.filter(
    (number) => fates[number % threads]?.[Math.floor(number / threads)] === FATE_ACCEPTED,
  );
  const latency = new LatencyHistogram();
  const polls = new LatencyHistogram();
  latency.add(report.latency);
  polls.add(report.polls);
  const result: StorageLatency = {
    latency: latency.report(),
    sampled: found + skipped + lost.length,
    found,
    skipped,
    resolutionP50Ms: polls.percentileMs(50),
    resolutionP99Ms: polls.percentileMs(99),
  };
  latency.destroy();
  polls.destroy();
  return result;
}
