/**
 * Queue latency beside the API's: from the log until a sink holds the metrics, as `export` and `consume` count it in their own
 * histograms. The difference between two readings belongs to the run; values are upper bounds of buckets.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { LoadError } from './errors.ts';
import type { LatencySummary } from './plan.ts';

/** Buckets with labels appear with the first observation only. */
const TYPE = /^# TYPE metricsstream_(\w+)_queue_latency_seconds histogram$/m;
const BUCKET = /^metricsstream_\w+_queue_latency_seconds_bucket\{.*?le="([^"]+)".*?\} (\S+)$/gm;
/** Bytes, commits or messages that wait. */
const WAITING =
  /^metricsstream_(?:export_lag_bytes|consume_(?:pending|unacknowledged)_messages)(?:\{.*?\})? (\S+)$/gm;
const POLL_MS = 200;
/** Both processes update these gauges once a second; some more for the update itself. */
const GAUGE_AGE_MAX_MS = 1_500;
const MS_PER_SECOND = 1e3;

interface Reading {
  /** Cumulative counts by upper bound in seconds. */
  readonly buckets: ReadonlyMap<number, number>;
  readonly isDrained: boolean;
  /** `export` or `consume`. */
  readonly process: string;
}

/** Without the mean: the buckets do not tell it. */
type QueueSummary = Omit<LatencySummary, 'meanMs'>;

export interface QueueLatency {
  readonly process: string;
  readonly latency: QueueSummary;
}

/** @throws LoadError */
async function read(url: string): Promise<Reading> {
  const text = await fetch(url).then(
    (response) => response.text(),
    (error: Error) => {
      throw new LoadError(
        `--queue-metrics ${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`,
      );
    },
  );
  const [, process] = TYPE.exec(text) ?? [];
  if (process === undefined) {
    throw new LoadError(`--queue-metrics ${url}: name /metrics of export or consume (--metrics-port)`);
  }
  return {
    buckets: new Map(
      [...text.matchAll(BUCKET)].map(([, bound, count]) => [
        bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound),
        Number(count),
      ]),
    ),
    isDrained: [...text.matchAll(WAITING)].every(([, value]) => Number(value) === 0),
    process,
  };
}

export class QueueWatch {
  private readonly urls: readonly string[];
  private readonly before: readonly Reading[];

  private constructor(urls: readonly string[], before: readonly Reading[]) {
    this.urls = urls;
    this.before = before;
  }

  /** @throws LoadError when a process does not answer */
  static async start(urls: readonly string[]): Promise<QueueWatch> {
    return new QueueWatch(urls, await Promise.all(urls.map(read)));
  }

  /** Waits until the queues are empty, at most `withinMs`. */
  async finish(withinMs: number): Promise<QueueLatency[]> {
    const after = await this.drained(performance.now() + withinMs);
    return after.map(({ process, buckets }, k) => ({
      process,
      latency: summaryOf(this.before[k]!.buckets, buckets),
    }));
  }

  /**
   * A gauge of 0 may be older than the last requests. And once the first process has passed them on, the gauge of the next one
   * may be older than that. So all stay 0 for the age of a gauge, once for each process.
   */
  private async drained(deadline: number): Promise<Reading[]> {
    const enoughMs = GAUGE_AGE_MAX_MS * this.urls.length;
    let drainedSinceMs = performance.now();
    for (;;) {
      const askedMs = performance.now();
      const readings = await Promise.all(this.urls.map(read));
      if (!readings.every(({ isDrained }) => isDrained)) drainedSinceMs = performance.now();
      if (askedMs - drainedSinceMs >= enoughMs || askedMs >= deadline) return readings;
      await delay(POLL_MS);
    }
  }
}

function summaryOf(before: Reading['buckets'], after: Reading['buckets']): QueueSummary {
  const counts = [...after]
    .map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)] as const)
    .sort(([a], [b]) => a - b);
  const count = counts.at(-1)?.[1] ?? 0;
  const at = (share: number): number => {
    const [bound = 0] = counts.find(([, upTo]) => upTo >= count * share) ?? [];
    return bound * MS_PER_SECOND;
  };
  return {
    count,
    ...{ p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), p999Ms: at(0.999), maxMs: at(1) },
  };
}
