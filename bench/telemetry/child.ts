/** One implementation in a process of its own, `child.js NAME`: its threads, its main, and the check that no sample is missing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { monotonicMs } from '../../src/base/clock.ts';
import {
  SAMPLED_STAGES,
  type SampledStage,
  type Samples,
  STATUS_CLASSES,
} from '../../src/telemetry/recorder.ts';
import { serveRounds } from '../harness/forks.ts';
import { mean, quantile, sum as sumOf } from '../statistics.ts';
import {
  DRAIN_INTERVAL_MS,
  type ImplementationName,
  loadImplementation,
  RATIOS,
  type Setting,
  THREADS_MAX,
  type ThreadFigures,
} from './setting.ts';
import type { ThreadData, ThreadRound } from './thread.ts';

const THREAD = new URL('./thread.js', import.meta.url);
/** For the message that starts a round to reach all threads. */
const START_AFTER_MS = 5;

/** Samples that main has drained so far. */
interface Taken {
  readonly requests: number;
  readonly requestsSum: number;
  readonly stages: ReadonlyMap<SampledStage, { readonly count: number; readonly sum: number }>;
  readonly dropped: number;
}

function takenOf(samples: Samples): Taken {
  const classes = STATUS_CLASSES.map((statusClass) => samples.requests(statusClass));
  return {
    requests: classes.reduce((total, { count }) => total + count, 0),
    requestsSum: classes.reduce((total, { sum }) => total + sum, 0),
    stages: new Map(SAMPLED_STAGES.map((stage) => [stage, samples.stage(stage)])),
    dropped: samples.dropped,
  };
}

/** Every sample was taken whole, thrown away on purpose, or counted as dropped. */
function check(
  name: ImplementationName,
  before: Taken,
  after: Taken,
  threads: readonly ThreadFigures[],
): number {
  const sum = (pick: (thread: ThreadFigures) => number): number => sumOf(threads.map(pick));
  const recorded = sum(({ records }) => records);
  assert.ok(recorded > 0);
  const dropped = after.dropped - before.dropped;
  if (name === 'nothing') return 0;
  const taken = after.requests - before.requests;
  assert.equal(
    taken + dropped + sum(({ discarded }) => discarded),
    recorded,
    `${name}: samples went missing`,
  );
  const unitSum = (after.requestsSum - before.requestsSum) / RATIOS[SAMPLED_STAGES.length]!;
  SAMPLED_STAGES.forEach((stage, at) => {
    const [from, to] = [before.stages.get(stage)!, after.stages.get(stage)!];
    assert.equal(to.count - from.count, taken, `${name}: count of ${stage}`);
    assert.equal(to.sum - from.sum, unitSum * RATIOS[at]!, `${name}: sum of ${stage}`);
  });
  return dropped;
}

/**
 * Mean of the values between the quartiles: a thread that is preempted between two readings of the clock makes a plain
 * mean meaningless, and the clock's steps of 10 ns a median coarse.
 */
function middleMean(sorted: Float64Array): number {
  const middle = sorted.subarray(sorted.length >> 2, Math.max(sorted.length - (sorted.length >> 2), 1));
  return mean([...middle]);
}

export type RoundFigures = ReturnType<typeof figuresOf>;

/** The result of a round over all threads. */
function figuresOf(
  threads: readonly ThreadFigures[],
  cpuNs: number,
  dropped: number,
  drains: { readonly ns: number; readonly count: number },
) {
  const sum = (pick: (thread: ThreadFigures) => number): number => sumOf(threads.map(pick));
  const records = sum((thread) => thread.records);
  const calls = Float64Array.from(threads.flatMap(({ callsNs }) => [...callsNs])).sort();
  return {
    records,
    /** Time of a record in its thread; with a gap the mean of the middle half, clock included. */
    wallNs: calls.length > 0 ? middleMean(calls) : sum((thread) => thread.elapsedNs) / records,
    /** CPU time of the whole process for each record; with a gap that is mostly the gap. */
    cpuNs: cpuNs / records,
    p99Ns: calls.length === 0 ? 0 : quantile(calls, 0.99),
    p999Ns: calls.length === 0 ? 0 : quantile(calls, 0.999),
    /** Parts of the records. */
    contended: sum((thread) => thread.contended) / records,
    slept: sum((thread) => thread.slept) / records,
    dropped: dropped / records,
    /** Main: how long a drain took, and how much of it one sample. */
    drainNs: drains.count === 0 ? 0 : drains.ns / drains.count,
    drainNsPerSample: drains.ns / Math.max(records - dropped, 1),
  };
}

/** Starts the threads. @returns the function that runs a round */
async function startImplementation(name: ImplementationName) {
  const { createSampleMemories, openSamples } = await loadImplementation(name);
  const memories = createSampleMemories(THREADS_MAX);
  const workers = memories.map(
    (memory) => new Worker(THREAD, { workerData: { implementation: name, memory } satisfies ThreadData }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'online')));

  const runRound = async ({ threads, gapNs }: Setting, roundMs: number): Promise<RoundFigures> => {
    let samples = openSamples(memories);
    samples.drain();
    const before = takenOf(samples);
    const drains = { ns: 0, count: 0 };
    const drain = (): void => {
      const fromMs = monotonicMs();
      samples.drain();
      drains.ns += (monotonicMs() - fromMs) * 1e6;
      drains.count++;
    };
    const active = workers.slice(0, threads);
    const round: ThreadRound = { gapNs, startMs: monotonicMs() + START_AFTER_MS, roundMs };
    const timer = gapNs === 0 ? undefined : setInterval(drain, DRAIN_INTERVAL_MS);
    const cpu = process.cpuUsage();
    const answers = active.map(async (worker) => ((await once(worker, 'message')) as [ThreadFigures])[0]);
    for (const worker of active) worker.postMessage(round);
    const figures = await Promise.all(answers);
    const { user, system } = process.cpuUsage(cpu);
    clearInterval(timer);
    if (gapNs === 0) {
      // Without a gap the threads have moved the rings' read cursors themselves.
      samples = openSamples(memories);
      samples.drain();
    } else drain();
    const dropped = check(name, before, takenOf(samples), figures);
    return figuresOf(figures, (user + system) * 1e3, dropped, drains);
  };
  return runRound;
}

const runRound = await startImplementation(process.argv[2] as ImplementationName);
serveRounds(({ setting, roundMs }: { setting: Setting; roundMs: number }) => runRound(setting, roundMs));
