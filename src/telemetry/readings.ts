/** What the exposition shows, read from shared memory once per scrape so that one answer is of one moment. */
import { takeCensus } from '../limiter/census.ts';
import type { LimiterCensus, LimiterConfig } from '../limiter/limiter.ts';
import { Aggregator, SAMPLED_STAGES } from './aggregator.ts';
import { WORKER, type WorkerSlot, WRITER, type WriterSlot } from './counters.ts';
import {
  type HistogramReading,
  mergeHistograms,
  readHistogram,
  WORKER_HISTOGRAM_NAMES,
  WORKER_HISTOGRAMS,
  WRITER_HISTOGRAM_NAMES,
  WRITER_HISTOGRAMS,
} from './histogram.ts';
import { readThreadStats, type ThreadStats } from './thread-stats.ts';

export interface ThreadTelemetry {
  readonly counters: SharedArrayBuffer;
  readonly histograms: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
}

export interface WorkerTelemetry extends ThreadTelemetry {
  readonly events: SharedArrayBuffer;
}

export interface TelemetrySources {
  readonly version: string;
  readonly phase: string | number;
  /** Which uWebSockets.js was loaded. */
  readonly uws: string;
  readonly queueCapacity: number;
  readonly workers: readonly WorkerTelemetry[];
  readonly writer: ThreadTelemetry;
  readonly limiter: { readonly memory: SharedArrayBuffer; readonly config: LimiterConfig };
}

/** Clients listed by name (their keyed hash). */
const BUSIEST_CLIENTS = 10;

/** Stages of a request, in their order; journal and sync are timed once per commit. */
export const STAGES = [...SAMPLED_STAGES, 'journal', 'sync'] as const;
export type Stage = (typeof STAGES)[number];

export class Readings {
  readonly sources: TelemetrySources;
  readonly aggregator: Aggregator;
  census!: LimiterCensus;
  private readonly workerCounters: readonly Float64Array[];
  private readonly writerCounters: Float64Array;
  private readonly mainStats: SharedArrayBuffer;

  constructor(sources: TelemetrySources, mainStats: SharedArrayBuffer) {
    this.sources = sources;
    this.mainStats = mainStats;
    this.aggregator = new Aggregator(sources.workers.map(({ events }) => events));
    this.workerCounters = sources.workers.map(({ counters }) => new Float64Array(counters));
    this.writerCounters = new Float64Array(sources.writer.counters);
    this.refresh();
  }

  /** Drains the event rings and counts the limiter's clients anew. */
  refresh(): void {
    this.aggregator.drain();
    this.census = takeCensus(this.sources.limiter.memory, BUSIEST_CLIENTS);
  }

  /** A counter or gauge, summed over the workers. */
  workers(name: WorkerSlot): number {
    return this.workerCounters.reduce((sum, counters) => sum + counters[WORKER[name]]!, 0);
  }

  /** A gauge's highest value among the workers. */
  highest(name: WorkerSlot): number {
    return this.workerCounters.reduce((high, counters) => Math.max(high, counters[WORKER[name]]!), 0);
  }

  writer(name: WriterSlot): number {
    return this.writerCounters[WRITER[name]]!;
  }

  workerHistogram(name: (typeof WORKER_HISTOGRAM_NAMES)[number]): HistogramReading {
    const index = WORKER_HISTOGRAMS[name];
    return mergeHistograms(
      this.sources.workers.map(({ histograms }) => readHistogram(histograms, WORKER_HISTOGRAM_NAMES, index)),
    );
  }

  writerHistogram(name: (typeof WRITER_HISTOGRAM_NAMES)[number]): HistogramReading {
    return readHistogram(this.sources.writer.histograms, WRITER_HISTOGRAM_NAMES, WRITER_HISTOGRAMS[name]);
  }

  stage(stage: Stage): HistogramReading {
    if (stage === 'journal') return this.writerHistogram('write_ns');
    if (stage === 'sync') return this.writerHistogram('sync_ns');
    return this.aggregator.stage(stage);
  }

  /** Statistics of each thread that has taken some, by the thread's name. */
  threads(): [name: string, stats: ThreadStats][] {
    const blocks: [string, SharedArrayBuffer][] = [
      ['main', this.mainStats],
      ...this.sources.workers.map(({ stats }, index): [string, SharedArrayBuffer] => [
        `ingest-${index}`,
        stats,
      ]),
      ['writer', this.sources.writer.stats],
    ];
    return blocks.flatMap(([name, memory]) => {
      const stats = readThreadStats(memory);
      return stats === null ? [] : [[name, stats] as [string, ThreadStats]];
    });
  }
}
