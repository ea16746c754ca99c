/** Entry point of a thread that owns connections: receives requests, has them dispatched, and answers. */
import { parentPort, workerData } from 'node:worker_threads';
import { tlsFilesOf } from '../auth/credentials.ts';
import { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { Control } from '../base/control.ts';
import { Breaker } from '../breaker/breaker.ts';
import { ClientIdentity } from '../http/client-identity.ts';
import { ExchangePool } from '../http/exchange.ts';
import { Listener } from '../http/listener.ts';
import { LiveStreams } from '../http/live-streams.ts';
import { Answers } from '../http/outbox.ts';
import { Receiver } from '../http/receiver.ts';
import type { Page } from '../http/response.ts';
import { Routes } from '../http/routes.ts';
import { loadSameUws } from '../http/uws.ts';
import { renderLivePage } from '../live/page.ts';
import { loadDispatch, loadWriter, slotsOf } from '../phases.ts';
import { WORKER } from '../telemetry/counters.ts';
import { Histograms, WORKER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import { startThreadStats } from '../telemetry/thread-stats.ts';
import type { FromWorker, IngestWorkerData, ToWorker } from './messages.ts';
import { openPipeline, openRecorder } from './serving-context.ts';

const data = workerData as IngestWorkerData;
const { config, memory } = data;
const port = parentPort!;
const post = (message: FromWorker): void => port.postMessage(message);

// Would the thread just end, uWebSockets.js went on to call into it and aborted the process without a reason. So it
// stops where it is, and main says why and ends the process.
function died(error: Error): void {
  post({ kind: 'died', error });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

process.on('uncaughtException', died);

/** How often timeouts are looked for, and whether a drain is done. */
const TICK_MS = 50;
const DRAIN_TICK_MS = 5;
const ABANDON_MS = 100;
/** A drain goes on until no request has come for so long: those on their way when it began are answered too. */
const DRAIN_QUIET_MS = 150;

const control = new Control(memory.control);
const exchanges = new ExchangePool({
  aborted: (exchange) => {
    streams.aborted(exchange);
    receiver.aborted(exchange);
  },
  received: (exchange, chunk, isLast) => receiver.received(exchange, chunk, isLast),
});
const slots = slotsOf(config);
const [dispatch, writer, recorder] = await Promise.all([
  loadDispatch(slots),
  loadWriter(slots),
  openRecorder(data),
]);
const answers = new Answers(
  exchanges,
  control,
  new Breaker(memory.breaker),
  new Float64Array(memory.counters),
  recorder,
);
const dispatcher = await dispatch.openDispatcher({
  config,
  answers,
  control,
  bell: new Bell(memory.bell),
  histograms: new Histograms(memory.histograms, WORKER_HISTOGRAM_NAMES),
  writerCounters: new Float64Array(memory.writerCounters),
  openPipeline: () => openPipeline(data),
  requestThreads: data.requestThreads,
  isSettled: (lane) => writer.isSettled(memory.writer, lane),
  died,
});
const identity = new ClientIdentity(config.clientId, data.tokens);
const receiver = new Receiver(dispatcher, answers, identity, {
  maxBodyBytes: config.maxBodyBytes,
  inflightBodyBytes: Math.floor(config.inflightBodyBytes / dispatch.acceptThreads(config)),
  bodyTimeoutMs: config.bodyTimeoutMs,
});

const scrapes = new Map<number, (page: Page) => void>();
let scrapeId = 0;

function scrape(accept: string): Promise<Page> {
  return new Promise((resolve) => {
    scrapes.set(++scrapeId, resolve);
    post({ kind: 'scrape', id: scrapeId, accept });
  });
}

const streams = new LiveStreams(answers, {
  open: (id) => post({ kind: 'live_open', id }),
  close: () => post({ kind: 'live_close' }),
});

const allCounters = data.allCounters.map((block) => new Float64Array(block));

function health(): Record<string, unknown> {
  const sum = (slot: number): number => allCounters.reduce((total, counters) => total + counters[slot]!, 0);
  return {
    status: 'ok',
    version: data.version,
    phase: config.phase,
    uptimeSeconds: Math.floor((monotonicMs() - data.startedMs) / 1e3),
    queueDepth: sum(WORKER.queue_tasks_now),
    queueCapacity: data.queueCapacity,
  };
}

const stopThreadStats = startThreadStats(data.stats);
const routes = new Routes(
  exchanges,
  answers,
  receiver,
  { control, scrape, health, livePage: renderLivePage(), streams },
  { maxHeaderBytes: config.maxHeaderBytes, clientHeader: identity.header },
);
const listener = new Listener(loadSameUws(data.uwsPath), tlsFilesOf(config), (app) => routes.register(app));
const descriptor = listener.prepare();
listener.adopt();
post({ kind: 'ready', descriptor });

function prepareCertificate(): void {
  try {
    post({ kind: 'certificate', descriptor: listener.prepare(), error: null });
  } catch (error) {
    post({ kind: 'certificate', descriptor: null, error: (error as Error).message });
  }
}

const tick = setInterval(() => {
  const nowMs = monotonicMs();
  receiver.expire(nowMs);
  dispatcher.expire(nowMs);
}, TICK_MS);

let receivedSeen = -1;
let quietFromMs = 0;

/** Ends the thread once nothing is in flight, at `deadlineMs` in any case. */
function drain(deadlineMs: number): void {
  streams.endAll();
  const nowMs = monotonicMs();
  if (nowMs >= deadlineMs) {
    receiver.refuseAll();
    dispatcher.expireAll(nowMs);
  }
  const received = answers.counters[WORKER.requests_received]!;
  if (received !== receivedSeen) quietFromMs = nowMs + DRAIN_QUIET_MS;
  receivedSeen = received;
  const busy = nowMs < quietFromMs || dispatcher.pending > 0 || answers.pending > 0 || !receiver.idle;
  if (nowMs < deadlineMs && busy) {
    setTimeout(drain, DRAIN_TICK_MS, deadlineMs);
    return;
  }
  // One more turn sends what the lines above prepared.
  setImmediate(end);
}

async function end(): Promise<void> {
  clearInterval(tick);
  stopThreadStats();
  await listener.close();
  port.close();
}

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'drain':
      drain(monotonicMs() + message.timeoutMs);
      break;
    case 'tokens':
      identity.setTokens(message.tokens);
      break;
    case 'prepare_certificate':
      prepareCertificate();
      break;
    case 'adopt_certificate':
      listener.adopt();
      break;
    case 'discard_certificate':
      listener.discard();
      break;
    case 'abandon':
      // Long enough for the writer's last outcomes, well within the second in which the process has to end.
      drain(monotonicMs() + ABANDON_MS);
      break;
    case 'scraped':
      scrapes.get(message.id)?.(message.page);
      scrapes.delete(message.id);
      break;
    case 'live_opened':
      streams.opened(message.id, message.text);
      break;
    case 'live':
      streams.send(message.text);
      break;
  }
});
