/** Entry point of a request's own thread: serves the one request it was started with, answers, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { Control, DRAINING } from '../base/control.ts';
import { Intake } from '../dispatch/intake.ts';
import { storeNow } from '../dispatch/store-now.ts';
import { Exchange } from '../http/exchange.ts';
import { recordSample } from '../http/outbox.ts';
import { Histograms, WORKER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import type { RequestAnswer, RequestThreadData, ServedRequest } from './messages.ts';
import { openPipeline, openRecorder } from './serving-context.ts';

/** How often a thread that waits for lines answered 504 looks whether the server ends. */
const LATE_LOOK_MS = 100;

const data = workerData as RequestThreadData & { readonly request: ServedRequest };
const { config, memory } = data;
const { body, ...request } = data.request;

const control = new Control(memory.control);
const bell = new Bell(memory.bell);
const [pipeline, recorder] = await Promise.all([openPipeline(data), openRecorder(data)]);
const intake = new Intake(
  pipeline,
  new Float64Array(memory.counters),
  new Histograms(memory.histograms, WORKER_HISTOGRAM_NAMES),
  config,
  // What a 503 tells of the queue: every lane but this one may be free.
  { depth: 1, capacity: config.requestThreads },
  control,
);
// An exchange without a connection: the accepting thread holds the one that has it.
const exchange = new Exchange({ aborted: () => {}, received: () => {} });
Object.assign(exchange, request);
intake.count(body.length);
intake.input.set(body);
// The limiter's clock is now: threads overtake each other between a body's last byte and here.
let timedOut = false;
if (intake.take(exchange, body.length, monotonicMs(), Date.now())) {
  const outcome = storeNow(pipeline.journal, pipeline.cursor, bell, config.requestTimeoutMs);
  timedOut = outcome === null;
  if (outcome === null) intake.setTimedOut(exchange);
  else intake.setSettled(exchange, outcome);
}
recordSample(recorder, exchange, monotonicMs());
recorder.publish();
const { status, head, close } = exchange;
parentPort!.postMessage({ status, head, body: exchange.body, close } satisfies RequestAnswer);

// The lane is taken until storage is done with its lines; what became of them is still worth counting.
while (timedOut && control.lifecycle < DRAINING) {
  const late = storeNow(pipeline.journal, pipeline.cursor, bell, LATE_LOOK_MS);
  if (late === null) continue;
  intake.countLate(exchange, late);
  timedOut = false;
}
