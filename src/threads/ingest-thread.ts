/** A thread that owns connections: wires http to the dispatcher of its phase, and follows the messages of main. */
import { type MessagePort, Worker } from 'node:worker_threads';
import { tlsFilesOf } from '../auth/credentials.ts';
import { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { Control } from '../base/control.ts';
import { Breaker } from '../breaker/breaker.ts';
import { limiterConfigOf } from '../config/slices.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { ServedRequest } from '../dispatch/served-request.ts';
import { ClientIdentity } from '../http/client-identity.ts';
import { CompressedCharge } from '../http/compressed-charge.ts';
import { Listener } from '../http/listener.ts';
import { LiveStreams } from '../http/live-streams.ts';
import { Receiver } from '../http/receiver.ts';
import { announceKeepAlive } from '../http/response.ts';
import { Routes } from '../http/routes.ts';
import { loadSameUws } from '../http/uws.ts';
import type { Limiter } from '../limiter/limiter.ts';
import { renderLivePage } from '../live/page.ts';
import { loadDispatch, loadWriter, slotsOf } from '../phases.ts';
import { WORKER } from '../telemetry/counters.ts';
import { Histograms, WORKER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import { startThreadStats } from '../telemetry/thread-stats.ts';
import type { FromWorker, IngestWorkerData, RequestThreadData, ToWorker } from './messages.ts';
import { Scrapes } from './scrapes.ts';
import { openLimiter, openPipeline, openRecorder } from './serving-context.ts';

const REQUEST_ENTRY = new URL('./request-worker.js', import.meta.url);
/** How often the thread checks for timeouts. */
const TICK_MS = 50;
const DRAIN_TICK_MS = 5;
/** Long enough for the writer's last outcomes, and well within the second in which the process has to end. */
const ABANDON_MS = 100;
/** A drain goes on until no request has come for this long, so that requests on their way get an answer too. */
const DRAIN_QUIET_MS = 150;

type Died = (error: Error) => void;

function startRequestThread({ requestThreads }: IngestWorkerData, lane: number, request: ServedRequest) {
  // A part of a buffer, such as that of Node's pool, cannot be transferred alone.
  const isWhole = request.body.byteLength === request.body.buffer.byteLength;
  const body = isWhole ? request.body : new Uint8Array(request.body);
  const data: RequestThreadData = { ...requestThreads[lane]!, request: { ...request, body } };
  return new Worker(REQUEST_ENTRY, {
    workerData: data,
    transferList: [body.buffer as ArrayBuffer],
    name: `request-${lane}`,
  });
}

async function openDispatcher(data: IngestWorkerData, port: MessagePort, died: Died): Promise<Dispatcher> {
  const { config, memory } = data;
  const slots = slotsOf(config);
  const [dispatch, writer, recorder] = await Promise.all([
    loadDispatch(slots),
    loadWriter(slots),
    openRecorder(data),
  ]);
  return dispatch.openDispatcher({
    config,
    control: new Control(memory.control),
    breaker: new Breaker(memory.breaker),
    bell: new Bell(memory.bell),
    counters: new Float64Array(memory.counters),
    histograms: new Histograms(memory.histograms, WORKER_HISTOGRAM_NAMES),
    recorder,
    writerCounters: new Float64Array(memory.writerCounters),
    openPipeline: () =>
      openPipeline(data, {
        parserFallback: (reason) =>
          port.postMessage({ kind: 'parser_fallback', reason } satisfies FromWorker),
        secretFailed: (reason) => port.postMessage({ kind: 'secret_failed', reason } satisfies FromWorker),
      }),
    startRequestThread: (lane, request) => startRequestThread(data, lane, request),
    isSettled: (lane) => writer.isSettled(memory.writer, lane),
    died,
  });
}

export class IngestThread {
  private readonly data: IngestWorkerData;
  private readonly port: MessagePort;
  private readonly dispatcher: Dispatcher;
  private readonly identity: ClientIdentity;
  private readonly receiver: Receiver;
  private readonly streams: LiveStreams;
  private readonly listener: Listener;
  private readonly allCounters: readonly Float64Array[];
  private readonly stopThreadStats: () => void;
  private readonly scrapes = new Scrapes((form) => this.post({ kind: 'scrape', form }));
  private tick: NodeJS.Timeout | undefined;
  private receivedSeen = -1;
  private quietFromMs = 0;

  static async open(data: IngestWorkerData, port: MessagePort, died: Died): Promise<IngestThread> {
    announceKeepAlive(data.config.keepAliveMs);
    const [dispatcher, limiter] = await Promise.all([openDispatcher(data, port, died), openLimiter(data)]);
    return new IngestThread(data, port, dispatcher, limiter);
  }

  private constructor(data: IngestWorkerData, port: MessagePort, dispatcher: Dispatcher, limiter: Limiter) {
    const { config } = data;
    this.data = data;
    this.port = port;
    this.dispatcher = dispatcher;
    this.allCounters = data.allCounters.map((block) => new Float64Array(block));
    this.identity = new ClientIdentity(config.clientId, config.trustedProxies, data.tokens);
    const charge = new CompressedCharge(limiter, limiterConfigOf(config));
    this.receiver = new Receiver(dispatcher, this.identity, charge, {
      maxBodyBytes: config.maxBodyBytes,
      inflightBodyBytes: Math.floor(config.inflightBodyBytes / data.acceptThreads),
      bodyTimeoutMs: config.bodyTimeoutMs,
      decompressionQueue: Math.floor(config.decompressionQueue / data.acceptThreads),
      decompressionTimeoutMs: config.requestTimeoutMs,
    });
    this.streams = new LiveStreams(dispatcher.outbox, dispatcher.gate, {
      open: (id) => this.post({ kind: 'live_open', id }),
      close: () => this.post({ kind: 'live_close' }),
    });
    const routes = new Routes(
      this.receiver,
      dispatcher,
      {
        control: new Control(data.memory.control),
        scrape: (accept) => this.scrapes.page(accept),
        health: () => this.health(),
        livePage: renderLivePage(config.exploreUrl),
        streams: this.streams,
        addresses: this.identity.addresses,
      },
      { maxHeaderBytes: config.maxHeaderBytes, clientHeader: this.identity.header },
    );
    this.listener = new Listener(
      loadSameUws(data.uwsPath),
      { tls: tlsFilesOf(config), keepAliveMs: config.keepAliveMs },
      (app) => routes.register(app),
    );
    this.stopThreadStats = startThreadStats(data.stats);
  }

  /** Accepts connections and tells main so. */
  start(): void {
    this.port.on('message', (message: ToWorker) => this.handle(message));
    this.tick = setInterval(() => {
      const nowMs = monotonicMs();
      this.receiver.expire(nowMs);
      this.dispatcher.expire(nowMs);
    }, TICK_MS);
    const descriptor = this.listener.prepare();
    this.listener.adopt();
    this.post({ kind: 'ready', descriptor });
  }

  private post(message: FromWorker): void {
    this.port.postMessage(message);
  }

  private handle(message: ToWorker): void {
    switch (message.kind) {
      case 'drain':
        return this.drain(monotonicMs() + message.timeoutMs);
      case 'abandon':
        return this.drain(monotonicMs() + ABANDON_MS);
      case 'tokens':
        return this.identity.setTokens(message.tokens);
      case 'prepare_certificate':
        return this.prepareCertificate();
      case 'adopt_certificate':
        return this.listener.adopt();
      case 'discard_certificate':
        return this.listener.discard();
      case 'scraped':
        return this.scrapes.rendered(message.form, message.page);
      case 'live_opened':
        return this.streams.opened(message.id, message.text);
      case 'live':
        return this.streams.send(message.text);
    }
  }

  private health(): Record<string, unknown> {
    const { data, allCounters } = this;
    return {
      status: 'ok',
      version: data.version,
      phase: data.config.phase,
      wal: data.wal,
      uptimeSeconds: Math.floor((monotonicMs() - data.startedMs) / 1e3),
      queueDepth: allCounters.reduce((sum, counters) => sum + counters[WORKER.queue_tasks_now]!, 0),
      queueCapacity: data.queueCapacity,
    };
  }

  private prepareCertificate(): void {
    try {
      this.post({ kind: 'certificate', descriptor: this.listener.prepare(), error: null });
    } catch (error) {
      this.post({ kind: 'certificate', descriptor: null, error: (error as Error).message });
    }
  }

  /** Ends the thread once nothing is in flight, and at `deadlineMs` in any case. */
  private drain(deadlineMs: number): void {
    const { dispatcher, receiver } = this;
    this.streams.endAll();
    const nowMs = monotonicMs();
    if (nowMs >= deadlineMs) {
      receiver.refuseAll();
      dispatcher.expireAll(nowMs);
    }
    if (nowMs < deadlineMs && this.isBusy(nowMs)) {
      setTimeout(() => this.drain(deadlineMs), DRAIN_TICK_MS);
      return;
    }
    // One more turn sends the responses that the lines above prepared.
    setImmediate(() => this.end());
  }

  private isBusy(nowMs: number): boolean {
    const { dispatcher, receiver } = this;
    const { counters, pending } = dispatcher.outbox;
    const received = counters[WORKER.requests_received]!;
    if (received !== this.receivedSeen) this.quietFromMs = nowMs + DRAIN_QUIET_MS;
    this.receivedSeen = received;
    return nowMs < this.quietFromMs || dispatcher.pending > 0 || pending > 0 || !receiver.idle;
  }

  private async end(): Promise<void> {
    clearInterval(this.tick);
    this.stopThreadStats();
    await this.listener.close();
    this.port.close();
  }
}
