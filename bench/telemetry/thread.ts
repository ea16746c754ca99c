/** A recording thread of the telemetry benchmark: lives as long as its process, runs a round for each message. */
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import { lockWaits } from '../../src/base/futex-lock.ts';
import type { Recorder } from '../../src/telemetry/recorder.ts';
import { Sample } from '../../src/telemetry/sample.ts';
import {
  type ImplementationName,
  loadImplementation,
  makeUnits,
  PUBLISH_EVERY,
  RATIOS,
  STATUSES,
  type ThreadFigures,
  UNIT_MASK,
} from './setting.ts';

export interface ThreadData {
  readonly implementation: ImplementationName;
  readonly memory: SharedArrayBuffer;
}

export interface ThreadRound {
  readonly gapNs: number;
  /** On the clock that all threads share. */
  readonly startMs: number;
  readonly roundMs: number;
}

const DISCARD_EVERY = 4096;
/** Records whose times are kept. */
const CALLS_MAX = 1 << 20;

const { implementation, memory } = workerData as ThreadData;
const { openRecorder, discard } = await loadImplementation(implementation);
const recorder = openRecorder(memory);
const units = makeUnits();
const callsNs = new Float64Array(CALLS_MAX);
const [RECEIVE, LIMIT, PARSE, ENCODE, QUEUE, TOTAL] = RATIOS;
const sample = new Sample();
let discarded = 0;

function recordOne(to: Recorder, n: number): void {
  const unit = units[n & UNIT_MASK]!;
  sample.clientHash = n;
  sample.status = STATUSES[n & 7]!;
  sample.metrics = 1;
  sample.receiveNs = unit * RECEIVE;
  sample.limitNs = unit * LIMIT;
  sample.parseNs = unit * PARSE;
  sample.encodeNs = unit * ENCODE;
  sample.queueNs = unit * QUEUE;
  sample.totalNs = unit * TOTAL;
  to.record(sample);
  if (n % PUBLISH_EVERY === PUBLISH_EVERY - 1) to.publish();
}

/** One record after the other; returns how many. */
function recordBackToBack(endMs: number): number {
  let n = 0;
  do {
    for (let k = 0; k < DISCARD_EVERY; k++) recordOne(recorder, n++);
    discarded += discard(memory);
  } while (monotonicMs() < endMs);
  recorder.publish();
  return n;
}

/** Times each record, and works for `gapNs` before the next; returns how many. */
function recordBesideWork(endMs: number, gapNs: number): number {
  const gapMs = gapNs / 1e6;
  const untilMs = performance.now() + endMs - monotonicMs();
  let nextMs = 0;
  let n = 0;
  for (;;) {
    let fromMs = performance.now();
    while (fromMs < nextMs) fromMs = performance.now();
    if ((fromMs >= untilMs && n > 0) || n === CALLS_MAX) break;
    recordOne(recorder, n);
    const toMs = performance.now();
    callsNs[n++] = (toMs - fromMs) * 1e6;
    nextMs = toMs + gapMs;
  }
  recorder.publish();
  return n;
}

parentPort!.on('message', ({ gapNs, startMs, roundMs }: ThreadRound) => {
  const before = { ...lockWaits };
  discarded = 0;
  // So that all begin at once, however long the message took.
  while (monotonicMs() < startMs);
  const fromMs = monotonicMs();
  const endMs = fromMs + roundMs;
  const records = gapNs === 0 ? recordBackToBack(endMs) : recordBesideWork(endMs, gapNs);
  const figures: ThreadFigures = {
    records,
    elapsedNs: (monotonicMs() - fromMs) * 1e6,
    discarded,
    contended: lockWaits.contended - before.contended,
    slept: lockWaits.slept - before.slept,
    callsNs: gapNs === 0 ? new Float64Array() : callsNs.slice(0, records),
  };
  parentPort!.postMessage(figures);
});
