/** Entry point of a request's own thread: serves the one request that it starts with, answers, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { Control, DRAINING } from '../base/control.ts';
import { Intake } from '../dispatch/intake.ts';
import type { RequestAnswer } from '../dispatch/served-request.ts';
import { storeNow } from '../dispatch/store-now.ts';
import { Exchange } from '../http/exchange.ts';
import { recordSample } from '../http/outbox.ts';
import { raiseInliningBudget } from '../parser/inlining.ts';
import { Histograms, WORKER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import type { RequestThreadData } from './messages.ts';
import { openPipeline, openRecorder } from './serving-context.ts';

/** How often a thread that waits for late lines checks whether the server ends. */
const LATE_TICK_MS = 100;

const data = workerData as RequestThreadData;
const { config, memory } = data;
const { body, ...request } = data.request;

raiseInliningBudget();
const control = new Control(memory.control);
const bell = new Bell(memory.bell);
const [pipeline, recorder] = await Promise.all([
  // Not logged: there would be a line for each request.
  openPipeline(data, { parserFallback: () => {}, secretFailed: () => {} }),
  openRecorder(data),
]);
const intake = new Intake(
  pipeline,
  new Float64Array(memory.counters),
  new Histograms(memory.histograms, WORKER_HISTOGRAM_NAMES),
  config,
  // A 503 from here can only say that this request holds one of the lanes.
  { depth: 1, capacity: config.requestThreads },
  control,
);
// An exchange without a connection: the accepting thread holds the one that has it.
const exchange = new Exchange({ aborted: () => {}, received: () => {}, released: () => {} });
Object.assign(exchange, request);
intake.countBody(body.length);
// The limiter gets the time now, since threads overtake each other between a body's last byte and here.
let hasTimedOut = false;
if (intake.process(exchange, body, monotonicMs(), Date.now())) {
  const outcome = storeNow(pipeline.journal, exchange.cursor, bell, config.requestTimeoutMs);
  hasTimedOut = outcome === null;
  if (outcome === null) intake.prepareTimedOut(exchange);
  else intake.prepareSettled(exchange, outcome);
}
recordSample(recorder, exchange, monotonicMs());
recorder.publish();
const { status, head, close } = exchange;
parentPort!.postMessage({ status, head, body: exchange.body, close } satisfies RequestAnswer);

// This thread keeps its lane until storage has settled the lines, and counts the late outcome.
while (hasTimedOut && control.lifecycle < DRAINING) {
  const late = storeNow(pipeline.journal, exchange.cursor, bell, LATE_TICK_MS);
  if (late === null) continue;
  intake.countLate(exchange, late);
  hasTimedOut = false;
}
