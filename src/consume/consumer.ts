/**
 * `consume` as a whole: creates the durable consumer, runs the workers in threads, watches the queue, and deletes messages
 * that every consumer has acknowledged.
 */
import { Worker as Thread } from 'node:worker_threads';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { Registry } from 'prom-client';
import type { Logger } from '../base/log.ts';
import { MS_PER_SECOND } from '../base/units.ts';
import { CLOSED, readBreaker, STATE_NAMES } from '../breaker/breaker.ts';
import { Backoff } from '../export/backoff.ts';
import { SinkError } from '../export/sink.ts';
import { type NatsLink, openNats } from '../nats/connect.ts';
import { NatsErrorCode, natsCode, natsErrorText } from '../nats/errors.ts';
import { ApplyError } from './applier.ts';
import { ensureDurable, readQueue } from './durable.ts';
import { Leftovers } from './leftovers.ts';
import type { ConsumeMetrics } from './metrics.ts';
import { PostgresApplier } from './postgres-applier.ts';
import { createSinkBreakerMemory } from './sink-breaker.ts';
import { Trimmer } from './trimmer.ts';
import { Troubles } from './troubles.ts';
import type { StateReport, WorkerReport, WorkerState } from './worker-report.ts';
import type { WorkerThreadData } from './worker-thread.ts';

const ENTRY = new URL('./worker-thread.js', import.meta.url);
const WATCH_MS = 1_000;
const TRIM_MS = 5_000;
/** A queue that has been waiting for so long is worth a line. */
const PROGRESS_MS = 5_000;
const API_TIMEOUT_MS = 2_000;
/** A worker that reported nothing for so long is stuck. Its fetches end every second. */
const SILENT_MS = 30_000;
/** Subjects of troubles. */
const SINK = 'sink';
const QUARANTINE = 'quarantine';

export type ConsumerOptions = Omit<WorkerThreadData, 'breaker' | 'number'>;

interface WorkerHealth {
  state: WorkerState;
  held: number;
  heldBytes: number;
  error: string;
  batches: number;
  metrics: number;
  reportedMs: number;
}

export class StreamConsumer {
  private readonly options: ConsumerOptions;
  private readonly logger: Logger;
  private readonly metrics: ConsumeMetrics;
  private readonly breaker = createSinkBreakerMemory();
  private readonly threads: Thread[] = [];
  private readonly workers: WorkerHealth[] = [];
  private trimmer: Trimmer | null = null;
  /** The connection of `trimmer`. */
  private trimmedSession = 0;
  /** For messages that the trimmer finds; connects only for them. */
  private readonly applier: PostgresApplier;
  private readonly troubles: Troubles;
  /** Why the stream did not answer the last time, or ''. */
  private watchError = '';
  private trimError = '';
  /** Reports of the workers that something could not be stored. */
  private failures = 0;
  private loggedStuckText = '';
  private nextTrimMs = 0;
  private pending = 0;
  private storedMessages = 0;
  private storedMetrics = 0;
  private nextProgressMs = performance.now() + PROGRESS_MS;
  /** When the stream stored the newest message that the sink holds. */
  private heldUpToMs = Date.now();
  private isStopping = false;

  constructor(options: ConsumerOptions, logger: Logger, metrics: ConsumeMetrics) {
    this.options = options;
    this.logger = logger;
    this.metrics = metrics;
    this.troubles = new Troubles(logger);
    const { to, postgres } = options;
    this.applier = new PostgresApplier({
      ...{ url: new URL(to), options: postgres, logger, registry: new Registry() },
    });
  }

  /** Runs until `signal` aborts. @throws SinkError when a person must act */
  async run(signal: AbortSignal): Promise<void> {
    const { address, durable, workers } = this.options;
    const opened = await this.open(signal);
    if (opened === null) return;
    const { link, jsm } = opened;
    const leftovers = this.leftovers(jsm);
    this.trimmer = new Trimmer(jsm, address.stream, durable, (message) => leftovers.settle(message));
    this.logger.info({ stream: address.text, durable, workers }, 'consuming');
    const watch = setInterval(() => void this.watch(link, jsm), WATCH_MS);
    try {
      const ended = Promise.all(Array.from({ length: workers }, (_, k) => this.startWorker(k)));
      signal.addEventListener('abort', () => this.stop(), { once: true });
      if (signal.aborted) this.stop();
      await ended;
    } finally {
      clearInterval(watch);
      await this.applier.close();
      await link.close();
    }
  }

  private leftovers(jsm: JetStreamManager): Leftovers {
    const { logger, metrics } = this;
    return new Leftovers({
      ...{ jsm, stream: this.options.address.stream, applier: this.applier },
      onStored: (sequence, { first, last }, lines) => {
        metrics.add('recovered_messages', 1);
        metrics.add('metrics', lines);
        logger.warn(
          { sequence, first, last },
          'stored a message that the stream would not deliver again, although the sink lacked it',
        );
      },
      onQuarantined: (sequence, reason) => this.quarantined(sequence, reason),
    });
  }

  /** Tries until the stream answers, because it may be electing its leader. Null once `signal` aborts. */
  private async open(signal: AbortSignal): Promise<{ link: NatsLink; jsm: JetStreamManager } | null> {
    const { address, files, durable, ackWaitMs } = this.options;
    const backoff = new Backoff();
    let link: NatsLink | null = null;
    while (!signal.aborted) {
      try {
        link ??= await openNats(address, files, 'metricsstream consume');
        const jsm = await jetstreamManager(link.connection, { checkAPI: false, timeout: API_TIMEOUT_MS });
        await ensureDurable(jsm, address, durable, ackWaitMs);
        this.watchError = '';
        return { link, jsm };
      } catch (error) {
        if (!(error instanceof SinkError) || error.verdict !== 'retry') throw error;
        if (error.message !== this.watchError) this.logger.warn(`${error.message}; trying again`);
        this.watchError = error.message;
        await backoff.wait(backoff.next(), signal);
      }
    }
    await link?.close();
    return null;
  }

  private stop(): void {
    this.isStopping = true;
    for (const thread of this.threads) thread.postMessage('stop');
  }

  /** Resolves when the thread has ended; rejects if it failed. */
  private startWorker(number: number): Promise<void> {
    const data: WorkerThreadData = { ...this.options, breaker: this.breaker, number };
    const thread = new Thread(ENTRY, { workerData: data, name: `consume-${number}` });
    this.threads[number] = thread;
    this.workers[number] = {
      state: 'starting',
      held: 0,
      heldBytes: 0,
      error: '',
      batches: 0,
      metrics: 0,
      reportedMs: performance.now(),
    };
    thread.on('message', (report: WorkerReport) => this.received(number, report));
    return new Promise((resolve, reject) => {
      thread.once('error', (error) => reject(this.workerFailed(number, error)));
      thread.once('exit', (code) => {
        if (this.isStopping || code === 0) resolve();
        else reject(new SinkError('fatal', `worker ${number} of consume ended with code ${code}`));
      });
    });
  }

  /** The error comes as a copy without its class. An error that a person can act on is one line; a defect keeps its stack. */
  private workerFailed(number: number, error: Error): SinkError {
    const isDefect = !('verdict' in error) && !('code' in error);
    if (isDefect) this.logger.error({ worker: number, stack: error.stack }, 'a worker failed unexpectedly');
    return new SinkError('fatal', `worker ${number} of consume ended: ${error.message}`, { cause: error });
  }

  private received(number: number, report: WorkerReport): void {
    const { logger, metrics } = this;
    const health = this.workers[number]!;
    health.reportedMs = performance.now();
    switch (report.kind) {
      case 'log':
        logger[report.level]({ worker: number, ...report.fields }, report.text);
        break;
      case 'metrics':
        metrics.ofWorker(number, report.metrics);
        break;
      case 'batch':
        metrics.batch(report);
        health.batches++;
        health.metrics += report.lines;
        this.storedMessages += report.messages;
        this.storedMetrics += report.lines;
        this.heldUpToMs = Math.max(this.heldUpToMs, Date.now() - Math.min(...report.streamMs));
        this.trimmer?.add(report.stored);
        this.troubles.pass(SINK);
        break;
      case 'state':
        this.enteredState(number, report);
        break;
      case 'sink failed':
        this.failures += 1;
        this.troubles.occur(SINK, report.error);
        break;
      case 'returned':
        metrics.add('returned_messages', report.messages);
        break;
      case 'quarantine failed':
        this.failures += 1;
        this.troubles.occur(QUARANTINE, report.error);
        break;
      case 'quarantined':
        this.trimmer?.add(report.stored);
        this.quarantined(report.sequence, report.reason);
    }
  }

  private quarantined(sequence: number, reason: string): void {
    this.troubles.pass(QUARANTINE);
    this.metrics.add('quarantined_messages', 1);
    this.logger.error(
      { sequence },
      `put a message into the quarantine: ${reason}; retry it with consume --retry-quarantine`,
    );
  }

  private enteredState(number: number, { state, held, heldBytes, error }: StateReport): void {
    Object.assign(this.workers[number]!, { state, held, heldBytes, error });
    if (error === '') this.troubles.pass(`worker ${number}`);
    else this.troubles.occur(`worker ${number}`, error);
  }

  /** Reads the queue for metrics, and trims the stream now and then. */
  private async watch(link: NatsLink, jsm: JetStreamManager): Promise<void> {
    const { address, durable } = this.options;
    const { metrics, failures } = this;
    metrics.set('breaker_state', readBreaker(this.breaker).state);
    metrics.set('workers', this.workers.filter(({ state }) => state !== 'stopped').length);
    try {
      const reading = await link.guard(() => readQueue(jsm, address.stream, durable));
      metrics.queue(reading);
      this.followLag(reading.pending + reading.unacknowledged, this.failures !== failures);
      this.logProgress();
      metrics.set('up', 1);
      this.watchError = '';
    } catch (error) {
      metrics.set('up', 0);
      await this.watchFailed(link, jsm, error);
    }
    this.logStuck();
    if (performance.now() >= this.nextTrimMs) await this.trim(link.session);
  }

  /** A stream that was deleted and made again has no consumer any more, and no worker would ever fetch. */
  private async watchFailed(link: NatsLink, jsm: JetStreamManager, error: unknown): Promise<void> {
    const { address, durable, ackWaitMs } = this.options;
    const text = natsErrorText(error, address);
    // A worker has often said the same by then.
    if (text !== this.watchError && !this.troubles.includes(text)) this.logger.warn(text);
    this.watchError = text;
    if (natsCode(error) !== NatsErrorCode.CONSUMER_NOT_FOUND) return;
    try {
      await link.guard(() => ensureDurable(jsm, address, durable, ackWaitMs));
      this.logger.warn(
        { durable },
        'made the consumer again, which somebody has deleted: the stream delivers all it has, and what the sink holds is skipped',
      );
    } catch (failure) {
      // The next reading tries again.
      this.watchError = natsErrorText(failure, address);
    }
  }

  /** Once when a worker stops to report, and once when it goes on. */
  private logStuck(): void {
    const { stuckText } = this;
    if (stuckText === this.loggedStuckText) return;
    this.loggedStuckText = stuckText;
    if (stuckText === '') this.logger.info('all workers report again');
    else this.logger.error(stuckText);
  }

  /** Which worker hangs, or ''. */
  private get stuckText(): string {
    const now = performance.now();
    const stuck = this.workers.findIndex(({ reportedMs }) => now - reportedMs > SILENT_MS);
    if (stuck < 0) return '';
    return `worker ${stuck} has reported nothing for ${SILENT_MS / MS_PER_SECOND} s; if that lasts, start consume again`;
  }

  /** @param hasFailed a worker could not store something after the queue was asked: it may be missing in the answer */
  private followLag(pending: number, hasFailed: boolean): void {
    this.pending = pending;
    if (pending === 0 && !hasFailed) {
      this.heldUpToMs = Date.now();
      // Another process has stored what this one could not.
      if (readBreaker(this.breaker).state === CLOSED) this.troubles.pass(SINK);
      this.troubles.pass(QUARANTINE);
    }
    this.metrics.set('lag_seconds', Math.max(0, Date.now() - this.heldUpToMs) / MS_PER_SECOND);
  }

  private logProgress(): void {
    const { pending, storedMessages, storedMetrics, nextProgressMs } = this;
    if (pending > 0 && performance.now() < nextProgressMs) return;
    this.nextProgressMs = performance.now() + PROGRESS_MS;
    if (pending === 0) return;
    this.logger.info(
      { stream: this.options.address.text },
      `${storedMessages} messages with ${storedMetrics} metrics stored, ${pending} messages wait`,
    );
  }

  /** @param session of the connection: after a break, the server may be a restored copy */
  private async trim(session: number): Promise<void> {
    // Not again before this one has ended.
    this.nextTrimMs = Number.POSITIVE_INFINITY;
    if (session !== this.trimmedSession) this.trimmer?.forget();
    this.trimmedSession = session;
    try {
      this.metrics.add('trimmed_messages', (await this.trimmer?.trim()) ?? 0);
      this.trimError = '';
    } catch (error) {
      if (!this.isStopping) this.trimFailed(error);
    }
    this.nextTrimMs = performance.now() + TRIM_MS;
  }

  private trimFailed(error: unknown): void {
    if (error instanceof ApplyError) {
      this.troubles.occur(SINK, error.message);
      return;
    }
    const text = natsErrorText(error, this.options.address);
    if (text !== this.trimError) {
      this.logger.warn(`cannot delete acknowledged messages, so the stream fills up: ${text}`);
    }
    this.trimError = text;
  }

  /** Why some worker does no work now, or null. */
  get problem(): string | null {
    const { stuckText } = this;
    if (stuckText !== '') return stuckText;
    return this.troubles.reason ?? (this.watchError === '' ? null : this.watchError);
  }

  /** Members of `GET /health`. */
  get facts(): Readonly<Record<string, unknown>> {
    return {
      breaker: STATE_NAMES[readBreaker(this.breaker).state],
      pending: this.pending,
      workers: this.workers.map(({ reportedMs, ...health }, worker) => ({ worker, ...health })),
    };
  }
}
