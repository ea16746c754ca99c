/** The values behind the exposition. `refresh` reads them once per scrape, so one response is of one moment. */
import { type BreakerReading, readBreaker } from '../breaker/breaker.ts';
import { type KeyCensus, KeyTable } from '../idempotency/table.ts';
import type { LimiterCensus, LimiterConfig, ReadCensus } from '../limiter/limiter.ts';
import type { CursorFile } from '../storage/cursor-file.ts';
import { WORKER, type WorkerSlot, WRITER, type WriterSlot } from '../telemetry/counters.ts';
import {
  type HistogramReading,
  mergeHistograms,
  readHistogram,
  WORKER_HISTOGRAM_NAMES,
  WORKER_HISTOGRAMS,
  WRITER_HISTOGRAM_NAMES,
  WRITER_HISTOGRAMS,
} from '../telemetry/histogram.ts';
import type { Samples, Stage } from '../telemetry/recorder.ts';
import { readThreadStats, type ThreadStats } from '../telemetry/thread-stats.ts';
import { DiskUse } from './disk-use.ts';

/** Exact counts of one thread. */
interface CountedBlocks {
  readonly counters: SharedArrayBuffer;
  readonly histograms: SharedArrayBuffer;
}

export interface TelemetrySources {
  readonly version: string;
  readonly phase: string | number;
  /** The uWebSockets.js in use. */
  readonly uws: string;
  /** Back-end of the write-ahead log, or `off`. */
  readonly wal: string;
  readonly queueCapacity: number;
  /** The data directory, and the free space below which the server refuses requests. */
  readonly disk: { readonly dataDir: string; readonly reserveBytes: number };
  /** Memory of the storage breaker. */
  readonly breaker: SharedArrayBuffer;
  /** Names of the client classes by index, called at each scrape; a class without a name is not exposed. */
  readonly classNames: () => readonly (string | undefined)[];
  readonly lostLogLines: () => number;
  /** Every block that counts requests; the exposition shows their sum. */
  readonly ingest: readonly CountedBlocks[];
  readonly writer: CountedBlocks;
  readonly samples: Samples;
  /** Statistics of the permanent threads besides main. The name is a kind, or `kind-number`. */
  readonly stats: readonly { readonly name: string; readonly memory: SharedArrayBuffer }[];
  /** The table of idempotency keys. */
  readonly idempotency: SharedArrayBuffer;
  readonly limiter: {
    readonly memory: SharedArrayBuffer;
    readonly config: LimiterConfig;
    readonly readCensus: ReadCensus;
  };
}

/** Clients listed by their keyed hash. */
const BUSIEST_CLIENTS = 10;

export class Readings {
  readonly sources: TelemetrySources;
  /** As the exporters of the log last wrote them. */
  sinks: readonly CursorFile[] = [];
  readonly samples: Samples;
  census!: LimiterCensus;
  breaker!: BreakerReading;
  keys!: KeyCensus;
  /** Statistics of each thread that has sampled itself, with the thread's name. */
  threads!: readonly [name: string, stats: ThreadStats][];
  readonly disk: DiskUse;
  private readonly ingestCounters: readonly Float64Array[];
  private readonly writerCounters: Float64Array;
  private readonly mainStats: SharedArrayBuffer;
  private readonly keyTable: KeyTable;

  constructor(sources: TelemetrySources, mainStats: SharedArrayBuffer) {
    this.sources = sources;
    this.mainStats = mainStats;
    this.samples = sources.samples;
    this.keyTable = new KeyTable(sources.idempotency);
    this.ingestCounters = sources.ingest.map(({ counters }) => new Float64Array(counters));
    this.writerCounters = new Float64Array(sources.writer.counters);
    this.disk = new DiskUse(this.writerCounters, sources.disk.reserveBytes);
  }

  /**
   * Drains the samples, counts the limiter's clients and the keys, and reads the breaker and the thread statistics.
   * `census`, `breaker`, `keys` and `threads` are undefined before the first call. The constructor leaves it out, because
   * counting reads whole tables and so makes the kernel provide their memory: a server that nobody asks goes without.
   */
  refresh(): void {
    this.samples.drain();
    const { memory, readCensus } = this.sources.limiter;
    this.census = readCensus(memory, BUSIEST_CLIENTS);
    this.breaker = readBreaker(this.sources.breaker);
    this.keys = this.keyTable.census();
    this.threads = this.readThreads();
  }

  /** A counter or gauge, summed over all threads. */
  workers(name: WorkerSlot): number {
    return this.ingestCounters.reduce((sum, counters) => sum + counters[WORKER[name]]!, 0);
  }

  /** A gauge's highest value over all threads. */
  highest(name: WorkerSlot): number {
    return this.ingestCounters.reduce((high, counters) => Math.max(high, counters[WORKER[name]]!), 0);
  }

  writer(name: WriterSlot): number {
    return this.writerCounters[WRITER[name]]!;
  }

  workerHistogram(name: (typeof WORKER_HISTOGRAM_NAMES)[number]): HistogramReading {
    const index = WORKER_HISTOGRAMS[name];
    return mergeHistograms(
      this.sources.ingest.map(({ histograms }) => readHistogram(histograms, WORKER_HISTOGRAM_NAMES, index)),
    );
  }

  writerHistogram(name: (typeof WRITER_HISTOGRAM_NAMES)[number]): HistogramReading {
    return readHistogram(this.sources.writer.histograms, WRITER_HISTOGRAM_NAMES, WRITER_HISTOGRAMS[name]);
  }

  stage(stage: Stage): HistogramReading {
    if (stage === 'journal') return this.writerHistogram('write_ns');
    if (stage === 'sync') return this.writerHistogram('sync_ns');
    return this.samples.stage(stage);
  }

  private readThreads(): [name: string, stats: ThreadStats][] {
    const blocks = [{ name: 'main', memory: this.mainStats }, ...this.sources.stats];
    return blocks.flatMap(({ name, memory }) => {
      const stats = readThreadStats(memory);
      return stats === null ? [] : [[name, stats] as [string, ThreadStats]];
    });
  }

  /** Number of permanent threads by kind, main included. */
  threadKinds(): ReadonlyMap<string, number> {
    const kinds = new Map([['main', 1]]);
    for (const { name } of this.sources.stats) {
      const kind = name.replace(/-\d+$/, '');
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    return kinds;
  }
}
