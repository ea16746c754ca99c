/**
 * The composition root: owns the data directory, allocates the shared memory and starts the threads. It ends them in
 * the order that loses nothing: listener, workers, writer, lock.
 */
import { Worker } from 'node:worker_threads';
import { CredentialKeeper } from './auth/credential-keeper.ts';
import { type Credentials, tlsFilesOf } from './auth/credentials.ts';
import { Bell } from './base/bell.ts';
import { monotonicMs } from './base/clock.ts';
import { Control, DISK_FAILED, DRAINING, FAILED, READY } from './base/control.ts';
import type { Logger } from './base/log.ts';
import { Breaker, transitionLog } from './breaker/breaker.ts';
import { StallWatch } from './breaker/stall-watch.ts';
import type { Config } from './config/load.ts';
import { limiterConfigOf } from './config/slices.ts';
import { Exposition } from './exposition/exposition.ts';
import { rejectUnusableCertificate } from './http/listener.ts';
import { probePort } from './http/port-probe.ts';
import { loadUws, type Uws } from './http/uws.ts';
import { KEYS_FORGOTTEN, restoreKeys } from './idempotency/restore.ts';
import { LiveFeed } from './live/feed.ts';
import { loadDispatch, loadLimiter, loadTelemetry, loadWriter, phaseOf, slotsOf } from './phases.ts';
import { settleWal } from './settle-wal.ts';
import { waitForWriter } from './slow-stop.ts';
import { acquireDataDir, type DataDirLock } from './storage/data-dir.ts';
import { nodeFileOps } from './storage/file-ops.ts';
import { countRecovery } from './storage/recovery.ts';
import { WORKER } from './telemetry/counters.ts';
import { AcceptThreads } from './threads/accept-threads.ts';
import type { IngestWorkerData } from './threads/messages.ts';
import {
  allocateSharedMemory,
  type Modules,
  type SharedMemories,
  servingData,
  totalBytes,
} from './threads/shared-memory.ts';
import type { WalChoice } from './wal/choose.ts';
import { newGeneration, type OpenedLog, openLog } from './wal/open-log.ts';
import { writeWalSettings } from './writer/write-ahead/wal-settings.ts';
import type { WriterMessage, WriterThreadData } from './writer/writer.ts';

const WRITER_ENTRY = new URL('./threads/writer-worker.js', import.meta.url);
/** Interval of the checks for stalled syncs. */
const STALL_CHECK_MS = 100;
/** After a fatal storage error the process has to end within a second: the time for answers, with some to spare. */
const ABANDON_MS = 600;

export interface RunningServer {
  /** Version and build of uWebSockets.js. */
  readonly uws: string;
  readonly port: number;
  readonly opened: OpenedLog;
  /** Back-end of the write-ahead log, and why it is not a better one. */
  readonly wal: WalChoice;
  readonly sharedBytes: number;
  /** Threads that own connections. */
  readonly workers: number;
  /** Requests that may wait at once. */
  readonly queueCapacity: number;
  /** The current tokens and certificate. */
  readonly credentials: Credentials;
  /** Resolves with the exit code once the server has ended, whatever the reason. */
  readonly ended: Promise<number>;
  /** Ends in order: answers or refuses what is in flight, flushes, syncs. */
  stop(): void;
  /** Reads tokens and certificate again. Invalid ones change nothing, and open connections continue. */
  reload(): void;
}

class Server implements RunningServer {
  uws = '';
  port = 0;
  opened!: OpenedLog;
  readonly wal: WalChoice;
  readonly sharedBytes: number;
  readonly workers: number;
  readonly queueCapacity: number;
  readonly ended: Promise<number>;
  private readonly config: Config;
  private readonly log: Logger;
  private readonly modules: Modules;
  private readonly lostLogLines: () => number;
  private readonly memories: SharedMemories;
  private readonly control: Control;
  private readonly keeper: CredentialKeeper;
  private lock: DataDirLock | null = null;
  private writer: Worker | null = null;
  private acceptThreads: AcceptThreads | null = null;
  private exposition: Exposition | null = null;
  private live: LiveFeed | null = null;
  private resolveEnded!: (code: number) => void;
  private stallTimer: NodeJS.Timeout | undefined;
  private ending = false;
  private hasLoggedFallback = false;

  constructor(config: Config, log: Logger, lostLogLines: () => number, modules: Modules, wal: WalChoice) {
    this.lostLogLines = lostLogLines;
    this.wal = wal;
    this.config = config;
    this.log = log;
    this.modules = modules;
    this.keeper = new CredentialKeeper(config, log);
    this.memories = allocateSharedMemory(config, modules);
    this.sharedBytes = totalBytes(this.memories);
    this.workers = this.memories.acceptThreads;
    this.queueCapacity = modules.dispatch.queueCapacity(config);
    this.control = new Control(this.memories.control);
    this.ended = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
  }

  async start(version: string): Promise<void> {
    const { config, memories } = this;
    const startedMs = monotonicMs();
    const uws = loadUws(config.maxHeaderBytes);
    this.uws = `${uws.version} (${uws.build})`;
    if (uws.passedOver !== null) this.log.warn(`uWebSockets.js is installed but not used: ${uws.passedOver}`);
    rejectUnusableCertificate(uws.module, tlsFilesOf(config));
    // Before the data directory is touched: most starts that fail do so because the port is in use.
    await probePort(config.host, config.port);
    try {
      this.lock = await acquireDataDir(config.dataDir);
      this.opened = this.openLog();
      countRecovery(memories.writerCounters, this.opened.recovery);
      this.restoreKeys();
      await this.startWriter();
      this.watchDirectory(this.lock);
      this.watchStalls();
      this.exposition = this.createExposition(version, uws.version);
      this.exposition.start();
      this.live = this.createLiveFeed(version, this.exposition);
      this.live.start();
      this.acceptThreads = new AcceptThreads(uws.module, config, this.workerData(version, startedMs, uws), {
        scrape: (form) => this.exposition!.render(form),
        live: this.live,
        parserFallback: (reason) => this.parserFellBack(reason),
        secretFailed: (reason) => this.secretFailed(reason),
        died: (error) => this.threadDied(error),
      });
      this.port = await this.acceptThreads.start();
      this.control.lifecycle = READY;
    } catch (error) {
      await this.lock?.release();
      throw error;
    }
  }

  private restoreKeys(): void {
    const { idempotency, writerCounters } = this.memories;
    const { unread, ...facts } = restoreKeys(nodeFileOps, idempotency, writerCounters, this.config);
    if (facts.segments > 0) this.log.info(facts, 'read idempotency keys back from the segments');
    if (unread.length > 0) this.log.warn({ segments: unread }, KEYS_FORGOTTEN);
  }

  private openLog(): OpenedLog {
    const { config, memories, wal } = this;
    const { journals, common } = memories.writer;
    if (wal.backend === 'off') return openLog(nodeFileOps, config.dataDir, null);
    const generation = newGeneration();
    const fileBytes = writeWalSettings(common, {
      backend: wal.backend,
      generation,
      fileBytes: config.walBytes,
    });
    return openLog(nodeFileOps, config.dataDir, { count: journals.length, generation, fileBytes });
  }

  private workerData(version: string, startedMs: number, uws: Uws): IngestWorkerData[] {
    const { config, memories, queueCapacity } = this;
    const { acceptThreads, counters: allCounters } = memories;
    const requestThreads = Array.from({ length: memories.requestThreads }, (_, lane) =>
      servingData(config, memories, acceptThreads + lane),
    );
    return Array.from({ length: acceptThreads }, (_, index) => ({
      ...servingData(config, memories, index),
      index,
      acceptThreads,
      uwsPath: uws.path,
      wal: this.wal.backend,
      version,
      startedMs,
      queueCapacity,
      stats: memories.acceptStats[index]!,
      allCounters,
      requestThreads,
      tokens: this.keeper.current.tokens,
    }));
  }

  private startWriter(): Promise<void> {
    const { config, memories } = this;
    const workerData: WriterThreadData = {
      config,
      memory: memories.writer,
      bell: memories.bell,
      control: memories.control,
      breaker: memories.breaker,
      counters: memories.writerCounters,
      histograms: memories.writerHistograms,
      stats: memories.writerStats,
      recovered: this.opened.recovery,
      directory: this.lock!.directory,
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

  private watchDirectory(lock: DataDirLock): void {
    if (lock.unprotected !== null) {
      const reason = lock.unprotected;
      this.log.warn({ reason }, 'servers in other network namespaces are not kept out of the data directory');
    }
    lock.watch(this.opened.recovery.log, {
      warn: (text) => this.log.warn(text),
      lost: (reason) => void this.storageFailed({ kind: 'fatal', reason, doubtful: null }),
    });
  }

  private watchStalls(): void {
    const { breaker: memory, bell } = this.memories;
    const breaker = new Breaker(memory);
    breaker.onTransition = (transition) => {
      const { level, fields, text } = transitionLog(transition);
      this.log[level](fields, text);
      // Wakes the writer if it sleeps, so that it tries storage again.
      new Bell(bell).ring();
    };
    const watch = new StallWatch(breaker, this.config.syncTimeoutMs);
    this.stallTimer = setInterval(() => watch.check(monotonicMs()), STALL_CHECK_MS).unref();
  }

  private createExposition(version: string, uws: string): Exposition {
    const { config, memories } = this;
    return new Exposition({
      version,
      phase: config.phase,
      uws,
      wal: this.wal.backend,
      queueCapacity: this.queueCapacity,
      disk: { dataDir: config.dataDir, reserveBytes: config.minFreeBytes },
      breaker: memories.breaker,
      classNames: () => this.keeper.classes.names(),
      lostLogLines: this.lostLogLines,
      ingest: memories.counters.map((counters, index) => ({
        counters,
        histograms: memories.histograms[index]!,
      })),
      writer: { counters: memories.writerCounters, histograms: memories.writerHistograms },
      idempotency: memories.idempotency,
      samples: this.modules.telemetry.openSamples(memories.samples),
      stats: [
        ...memories.acceptStats.map((memory, index) => ({ name: `ingest-${index}`, memory })),
        { name: 'writer', memory: memories.writerStats },
      ],
      limiter: {
        memory: memories.limiter,
        config: limiterConfigOf(config),
        readCensus: this.modules.limiter.readCensus,
      },
    });
  }

  private createLiveFeed(version: string, { readings }: Exposition): LiveFeed {
    const { config } = this;
    return new LiveFeed(readings, this.memories.breaker, {
      version,
      phase: config.phase,
      phaseName: phaseOf(config.phase).name,
      workers: this.workers,
      ack: config.ack,
      queueCapacity: this.queueCapacity,
    });
  }

  get credentials(): Credentials {
    return this.keeper.current;
  }

  reload(): void {
    if (!this.ending) void this.keeper.reload(this.acceptThreads!);
  }

  stop(): void {
    if (this.ending) return;
    void this.end(0, DRAINING, () => this.acceptThreads!.drain(this.config.drainTimeoutMs));
  }

  /** Logs the first thread's reason; the others have the same. */
  private parserFellBack(reason: string): void {
    if (this.hasLoggedFallback) return;
    this.hasLoggedFallback = true;
    this.log.warn(
      { reason },
      'the SIMD parser cannot run here; the single-pass parser replaces it, at about twice the CPU time',
    );
  }

  private secretFailed(reason: string): void {
    this.log.error(
      { reason },
      'requests with an Idempotency-Key get 503 until .idempotency-secret in the data directory can be read or created',
    );
  }

  private async storageFailed(fatal: Extract<WriterMessage, { kind: 'fatal' }>): Promise<void> {
    this.log.fatal(fatal, 'storage failed: the range named here may or may not be on disk; ending');
    if (!this.ending) await this.end(1, FAILED, () => this.acceptThreads!.abandon(ABANDON_MS));
  }

  private async end(
    code: number,
    lifecycle: typeof DRAINING | typeof FAILED,
    endWorkers: () => Promise<void>,
  ): Promise<void> {
    this.ending = true;
    this.control.lifecycle = lifecycle;
    await endWorkers();
    if (lifecycle === DRAINING) this.reportCutOff();
    await this.stopWriter();
    clearInterval(this.stallTimer);
    this.exposition?.stop();
    this.live?.stop();
    await this.lock?.release();
    this.resolveEnded(this.control.disk === DISK_FAILED ? 1 : code);
  }

  /** Logs what a scrape can no longer show. */
  private reportCutOff(): void {
    const requests = this.memories.counters.reduce(
      (sum, block) => sum + new Float64Array(block)[WORKER.timeouts_drain]!,
      0,
    );
    if (requests === 0) return;
    this.log.warn({ requests }, 'the drain time ran out: requests were refused or answered 504');
  }

  private stopWriter(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.writer!.once('exit', () => resolve()));
    this.control.stopWriter();
    new Bell(this.memories.bell).ring();
    return waitForWriter(stopped, this.config.ack, this.log);
  }

  /** If a thread dies, the process ends: nobody can trust what the thread owned, and the next start recovers. */
  private threadDied(error: Error): void {
    this.log.fatal({ err: error }, 'a thread died; ending, the next start recovers');
    endProcess();
  }
}

/** Ends the process at once. Everything that was acknowledged as synced is on disk. */
export function endProcess(): never {
  // An ordinary exit aborts with a core dump if workers have open sockets. The kernel frees all that we hold.
  process.kill(process.pid, 'SIGKILL');
  // Reached by process 1 of a container only: the kernel does not deliver its own SIGKILL, but abort() ends it.
  process.abort();
}

/** @param lostLogLines log lines that could not be written so far, for `GET /metrics` */
export async function startServer(
  given: Config,
  log: Logger,
  lostLogLines: () => number,
  version: string,
): Promise<RunningServer> {
  const { config, wal } = await settleWal(given);
  const slots = slotsOf(config);
  const [dispatch, limiter, telemetry, writer] = await Promise.all([
    loadDispatch(slots),
    loadLimiter(slots),
    loadTelemetry(slots),
    loadWriter(slots),
  ]);
  const server = new Server(config, log, lostLogLines, { dispatch, limiter, telemetry, writer }, wal);
  await server.start(version);
  return server;
}
