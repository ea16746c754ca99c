/** Entry point of a request's own thread: serves the one request it was started with, answers, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { Control } from '../base/control.ts';
import { recordSample } from '../dispatch/answers.ts';
import { Intake } from '../dispatch/intake.ts';
import type { RequestAnswer, RequestThreadData, ServedRequest } from '../dispatch/messages.ts';
import { storeNow } from '../dispatch/store-now.ts';
import { openPipeline, openRecorder } from '../open-pipeline.ts';
import { Histograms, WORKER_HISTOGRAM_NAMES } from '../telemetry/histogram.ts';
import { Exchange } from '../transport/exchange.ts';

const data = workerData as RequestThreadData & { readonly request: ServedRequest };
const { config, memory } = data;
const { body, ...request } = data.request;

const [pipeline, recorder] = await Promise.all([openPipeline(data), openRecorder(data)]);
const intake = new Intake(
  pipeline,
  new Float64Array(memory.counters),
  new Histograms(memory.histograms, WORKER_HISTOGRAM_NAMES),
  config,
  // What a 503 tells of the queue: every lane but this one may be free.
  { depth: 1, capacity: config.requestThreads },
  new Control(memory.control),
);
// An exchange without a connection: the accepting thread holds the one that has it.
const exchange = new Exchange({ aborted: () => {}, received: () => {} });
Object.assign(exchange, request);
intake.count(body.length);
intake.input.set(body);
// The limiter's clock is now: threads overtake each other between a body's last byte and here.
if (intake.take(exchange, body.length, monotonicMs(), Date.now())) {
  const outcome = storeNow(pipeline.journal, pipeline.cursor, new Bell(memory.bell), config.requestTimeoutMs);
  if (outcome === null) intake.setTimedOut(exchange);
  else intake.setSettled(exchange, outcome);
}
recordSample(recorder, exchange, monotonicMs());
recorder.publish();
const { status, head, close } = exchange;
parentPort!.postMessage({ status, head, body: exchange.body, close } satisfies RequestAnswer);
