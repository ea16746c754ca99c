/**
 * The composition root: owns the data directory, carves the shared memories, starts the threads, and ends them in
 * the order that loses nothing: listener, workers, writer, lock.
 */
import { Worker } from 'node:worker_threads';
import { Bell, createBell } from './base/bell.ts';
import { monotonicMs } from './base/clock.ts';
import { Control, createControlBlock, DISK_FAILED, DRAINING, FAILED, READY } from './base/control.ts';
import type { Logger } from './base/log.ts';
import type { Config } from './config.ts';
import type { Dispatcher, Listening } from './dispatch/dispatcher.ts';
import type { IngestWorkerData } from './dispatch/messages.ts';
import { WorkerPool } from './dispatch/worker-pool.ts';
import { createLimiterMemory } from './limiter/striped-lock.ts';
import { limiterConfigOf } from './limits.ts';
import { createCounterBlock, WORKER_SLOTS, WRITER_SLOTS } from './telemetry/counters.ts';
import { Exposition } from './telemetry/exposition.ts';
import {
  createHistogramBlock,
  WORKER_HISTOGRAM_NAMES,
  WRITER_HISTOGRAM_NAMES,
} from './telemetry/histogram.ts';
import { createSampleMemories, openSamples } from './telemetry/ring-buffer.ts';
import { createThreadStats } from './telemetry/thread-stats.ts';
import { probePort } from './transport/port-probe.ts';
import { loadUws } from './transport/uws.ts';
import { acquireDataDir, type DataDirLock } from './writer/data-dir.ts';
import { nodeFileOps } from './writer/file-ops.ts';
import { createJournalRing } from './writer/journal-ring.ts';
import { countRecovery, type RecoveryReport, recover } from './writer/recovery.ts';
import type { WriterMessage, WriterThreadData } from './writer/writer.ts';

const WRITER_ENTRY = new URL('./threads/writer-worker.js', import.meta.url);
/** After a fatal error of the storage the process ends within a second: this much for answers, the rest to spare. */
const ABANDON_MS = 600;

/** All shared memories, sized once; their sum is printed at start. */
function carveMemory(config: Config) {
  const perWorker = <Memory>(carve: () => Memory): Memory[] => Array.from({ length: config.workers }, carve);
  return {
    control: createControlBlock(),
    bell: createBell(),
    limiter: createLimiterMemory(limiterConfigOf(config)),
    journals: perWorker(() => createJournalRing(config.journalBytes)),
    events: createSampleMemories(config.workers),
    workerCounters: perWorker(() => createCounterBlock(WORKER_SLOTS)),
    workerHistograms: perWorker(() => createHistogramBlock(WORKER_HISTOGRAM_NAMES)),
    workerStats: perWorker(() => createThreadStats()),
    writerCounters: createCounterBlock(WRITER_SLOTS),
    writerHistograms: createHistogramBlock(WRITER_HISTOGRAM_NAMES),
    writerStats: createThreadStats(),
  };
}

type SharedMemories = ReturnType<typeof carveMemory>;

function totalBytes(memories: SharedMemories): number {
  return Object.values(memories)
    .flat()
    .reduce((total, memory) => total + memory.byteLength, 0);
}

export interface RunningServer {
  readonly listening: Listening;
  readonly port: number;
  readonly recovery: RecoveryReport;
  readonly sharedBytes: number;
  /** Resolves with the exit code when the server has ended, for whatever reason. */
  readonly ended: Promise<number>;
  /** Orderly end: answers or refuses what is in flight, flushes, syncs. */
  stop(): void;
  /** Ends at once; what was acknowledged as synced is on disk already. */
  stopNow(): void;
}

class Server implements RunningServer {
  listening!: Listening;
  port = 0;
  recovery!: RecoveryReport;
  sharedBytes = 0;
  readonly ended: Promise<number>;
  private readonly config: Config;
  private readonly log: Logger;
  private readonly memories: SharedMemories;
  private readonly control: Control;
  private lock: DataDirLock | null = null;
  private writer: Worker | null = null;
  private dispatcher: Dispatcher | null = null;
  private exposition: Exposition | null = null;
  private resolveEnded!: (code: number) => void;
  private ending = false;

  constructor(config: Config, log: Logger) {
    this.config = config;
    this.log = log;
    this.memories = carveMemory(config);
    this.sharedBytes = totalBytes(this.memories);
    this.control = new Control(this.memories.control);
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
  }

  async start(version: string): Promise<void> {
    const { config, memories } = this;
    const startedMs = monotonicMs();
    const uws = loadUws(config.handover);
    this.port = await probePort(config.host, config.port);
    this.lock = await acquireDataDir(config.dataDir);
    try {
      this.recovery = recover(nodeFileOps, config.dataDir);
      countRecovery(memories.writerCounters, this.recovery);
      await this.startWriter();
      this.exposition = this.createExposition(version, uws.version);
      this.exposition.start();
      const workerData = Array.from({ length: config.workers }, (_, index): IngestWorkerData => {
        const { control, bell, limiter, workerCounters: counters } = memories;
        const journal = memories.journals[index]!;
        const events = memories.events[index]!;
        const histograms = memories.workerHistograms[index]!;
        const stats = memories.workerStats[index]!;
        const memory = { control, bell, limiter, journal, events, histograms, stats, counters };
        return { index, config, port: this.port, handover: uws.handover, version, startedMs, memory };
      });
      this.dispatcher = new WorkerPool(uws, workerData, {
        scrape: (accept) => this.exposition!.render(accept),
        died: (error) => this.threadDied(error),
      });
      this.listening = await this.dispatcher.start();
      this.control.life = READY;
    } catch (error) {
      await this.lock.release();
      throw error;
    }
  }

  private startWriter(): Promise<void> {
    const { config, memories } = this;
    const workerData: WriterThreadData = {
      config,
      journals: memories.journals,
      bell: memories.bell,
      control: memories.control,
      counters: memories.writerCounters,
      histograms: memories.writerHistograms,
      stats: memories.writerStats,
      nextCommit: this.recovery.nextCommit,
      nextSegment: this.recovery.nextSegment,
    };
    const writer = new Worker(WRITER_ENTRY, { workerData, name: 'writer' });
    this.writer = writer;
    return new Promise((resolve, reject) => {
      writer.on('message', (message: WriterMessage) => {
        if (message.kind === 'ready') resolve();
        else if (message.kind === 'fatal') void this.storageFailed(message);
        else if (message.kind === 'log') this.log[message.level](message.fields, message.text);
      });
      writer.on('error', (error) => {
        reject(error);
        this.threadDied(error);
      });
      writer.on('exit', () => {
        if (!this.ending) this.threadDied(new Error('the writer thread ended'));
      });
    });
  }

  private createExposition(version: string, uws: string): Exposition {
    const { config, memories } = this;
    return new Exposition({
      version,
      phase: config.phase,
      uws,
      queueCapacity: config.queueTasks,
      ingest: memories.workerCounters.map((counters, index) => ({
        counters,
        histograms: memories.workerHistograms[index]!,
      })),
      writer: { counters: memories.writerCounters, histograms: memories.writerHistograms },
      samples: openSamples(memories.events),
      stats: [
        ...memories.workerStats.map((memory, index) => ({ name: `ingest-${index}`, memory })),
        { name: 'writer', memory: memories.writerStats },
      ],
      limiter: { memory: memories.limiter, config: limiterConfigOf(config) },
    });
  }

  stop(): void {
    if (this.ending) return;
    void this.end(0, DRAINING, () => this.dispatcher!.drain(this.config.drainTimeoutMs));
  }

  private async storageFailed(fatal: Extract<WriterMessage, { kind: 'fatal' }>): Promise<void> {
    this.log.fatal(fatal, 'storage failed: the range named here may or may not be on disk; ending');
    if (!this.ending) await this.end(1, FAILED, () => this.dispatcher!.abandon(ABANDON_MS));
  }

  private async end(
    code: number,
    life: typeof DRAINING | typeof FAILED,
    endWorkers: () => Promise<void>,
  ): Promise<void> {
    this.ending = true;
    this.control.life = life;
    await endWorkers();
    await this.stopWriter();
    this.exposition?.stop();
    await this.lock?.release();
    this.resolveEnded(this.control.disk === DISK_FAILED ? 1 : code);
  }

  private stopWriter(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.writer!.once('exit', () => resolve()));
    this.control.stopWriter();
    new Bell(this.memories.bell).ring();
    return stopped;
  }

  /** A thread's death is the process's: what it owned cannot be trusted any more, and a restart recovers. */
  private threadDied(error: Error): void {
    this.log.fatal({ err: error }, 'a thread died; ending, the next start recovers');
    this.stopNow();
  }

  stopNow(): void {
    // Workers with open sockets make an ordinary exit abort with a core dump; the kernel frees all that we hold.
    process.kill(process.pid, 'SIGKILL');
  }
}

export async function startServer(config: Config, log: Logger, version: string): Promise<RunningServer> {
  const server = new Server(config, log);
  await server.start(version);
  return server;
}
