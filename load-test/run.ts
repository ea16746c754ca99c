/** Runs a load: starts the threads, follows them, adds up what they tell, and checks what was stored. */
import { randomBytes } from 'node:crypto';
import { monotonicMs } from '../src/base/clock.ts';
import { RUN_ID_CHARS } from './generator/request-template.ts';
import { type GeneratorThreads, START_DELAY_MS, startGenerators } from './generator/threads.ts';
import { timesOf } from './generator/times.ts';
import {
  countOf,
  FAILURE_TEXTS,
  intendedRequests,
  isSuccess,
  isUnknown,
  type LoadPlan,
  type LoadResult,
  type Progress,
  type StorageLatency,
  threadsOf,
} from './plan.ts';
import { type QueueLatency, QueueWatch } from './queue-latency.ts';
import { createSampleRing } from './storage/sample-ring.ts';
import { endOfFiles } from './storage/segment-follower.ts';
import { type Answers, checkCounters, checkFiles, readCounters } from './storage/stored-check.ts';
import { startWatcher, type Watcher } from './storage/watcher.ts';
import { LATE_SHARE_MAX, Tally } from './tally.ts';

const PROGRESS_MS = 250;
/** The watcher ends when all samples were found; those of refused requests never are. */
const WATCH_ON_MS = 500;

export interface RunOptions {
  /** Called four times a second while the load runs. */
  readonly onProgress?: (progress: Progress) => void;
  /** Ends the load early: requests under way are waited for, and the result tells what was measured. */
  readonly signal?: AbortSignal;
  /**
   * Awaited when every request has its outcome, before the check reads the files: for what reading would disturb.
   * When measuring began and when sending ended, on the clock of `monotonicMs`.
   */
  readonly onEnded?: (measureMs: number, sendingEndedMs: number) => Promise<void>;
}

export function createRunId(): string {
  return randomBytes(RUN_ID_CHARS).toString('hex').slice(0, RUN_ID_CHARS);
}

/**
 * Runs a plan made by `createPlan` to its end.
 * @throws LoadError when the server cannot be reached or the data directory cannot be read
 */
export async function runLoad(plan: LoadPlan, options: RunOptions = {}): Promise<LoadResult> {
  const { host, port, dataDir } = plan;
  const runId = createRunId();
  const threads = threadsOf(plan);
  const from = dataDir === undefined ? undefined : endOfFiles(dataDir);
  const counters = () => readCounters(host, port, plan.timeoutMs);
  const before = dataDir === undefined ? await counters() : undefined;
  const isWatched = dataDir !== undefined && plan.watchStorage;
  const samples = isWatched ? Array.from({ length: threads }, createSampleRing) : [];
  const queues = await QueueWatch.start(plan.queueMetrics ?? []);
  const tally = new Tally(threads);
  let watcher: Watcher | undefined;
  let generators: GeneratorThreads | undefined;
  try {
    if (isWatched) watcher = await startWatcher({ dataDir, runId, from: from!, samples });
    generators = await startGenerators(plan, runId, threads, samples);
    const startedAt = new Date().toISOString();
    const startMs = monotonicMs() + START_DELAY_MS;
    const { measureMs, endMs } = timesOf(plan, startMs);
    const onProgress = options.onProgress && (() => options.onProgress?.(progressOf(plan, tally, measureMs)));
    const { done, interrupted } = await follow(generators, startMs, tally, onProgress, options.signal);
    const fates = done.map((message) => message.fates);
    const storageLatency = await watcher?.finish(WATCH_ON_MS, fates);
    const queueLatencies = await queues.finish(plan.storedWithinMs);
    await options.onEnded?.(measureMs, Math.min(endMs, tally.endedMs));
    const answers: Answers = {
      acceptedMetrics: tally.acceptedMetrics + tally.warmUpMetrics,
      unknownRequests: countOf(tally.outcomes, isUnknown) + countOf(tally.warmUpOutcomes, isUnknown),
      batch: plan.batch,
      fates,
    };
    const check =
      dataDir === undefined
        ? await checkCounters(counters, before, plan.storedWithinMs, answers)
        : await checkFiles({ dataDir, from: from!, runId, withinMs: plan.storedWithinMs }, answers);
    const seconds = Math.max(0, tally.endedMs - measureMs) / 1e3;
    const facts = { plan, runId, startedAt, interrupted, seconds, check };
    return report({ ...facts, tally, threads, storageLatency, queueLatencies });
  } finally {
    await Promise.all([generators?.terminate(), watcher?.terminate()]);
    tally.destroy();
  }
}

/** Takes what the threads tell until they have told all. */
async function follow(
  generators: GeneratorThreads,
  startMs: number,
  tally: Tally,
  onProgress: (() => void) | undefined,
  signal: AbortSignal | undefined,
) {
  let interrupted = false;
  const stop = (): void => {
    interrupted = true;
    generators.stop();
  };
  const timer = onProgress && setInterval(onProgress, PROGRESS_MS);
  signal?.addEventListener('abort', stop);
  try {
    const running = generators.run(startMs, (slice) => tally.addSlice(slice));
    if (signal?.aborted === true) stop();
    const done = await running;
    for (const message of done) tally.addDone(message);
    return { done, interrupted };
  } finally {
    signal?.removeEventListener('abort', stop);
    clearInterval(timer);
  }
}

function progressOf(plan: LoadPlan, tally: Tally, measureMs: number): Progress {
  const intended = intendedRequests(plan);
  const last = tally.lastSlice();
  const elapsedSeconds = (monotonicMs() - measureMs) / 1e3;
  return {
    elapsedSeconds: Math.max(0, elapsedSeconds),
    warmingUp: elapsedSeconds < 0,
    ...(intended === undefined ? {} : { intended }),
    sent: tally.sent,
    ratePerSecond: last === undefined ? 0 : last.sent / last.seconds,
    inFlight: last?.inFlight ?? 0,
    waiting: last?.waiting ?? 0,
    p99Ms: tally.api.percentileMs(99),
    outcomes: tally.outcomes,
  };
}

interface Findings
  extends Pick<LoadResult, 'plan' | 'runId' | 'startedAt' | 'interrupted' | 'seconds' | 'check'> {
  readonly tally: Tally;
  readonly threads: number;
  readonly storageLatency: StorageLatency | undefined;
  readonly queueLatencies: readonly QueueLatency[];
}

function report({ tally, threads, storageLatency, queueLatencies, ...facts }: Findings): LoadResult {
  const { seconds } = facts;
  const { sent, outcomes, acceptedMetrics } = tally;
  const answered = countOf(outcomes, (outcome) => !(outcome in FAILURE_TEXTS));
  const perSecond = (count: number): number => (seconds > 0 ? count / seconds : 0);
  const result: Omit<LoadResult, 'warnings'> = {
    ...facts,
    intended: Math.max(tally.due, sent),
    sent,
    unsent: Math.max(0, tally.due - sent),
    unsentOldestWaitMs: tally.unsentOldestWaitMs,
    outcomes,
    succeeded: countOf(outcomes, isSuccess),
    acceptedMetrics,
    withoutRetryAfter: tally.withoutRetryAfter,
    retries: tally.retries,
    replays: tally.replays,
    requestsPerSecond: perSecond(answered),
    acceptedMetricsPerSecond: perSecond(acceptedMetrics),
    apiLatency: tally.api.report(),
    serviceTime: tally.service.report(),
    refusalLatency: tally.refusal.report(),
    ...(storageLatency === undefined ? {} : { storageLatency }),
    ...(queueLatencies.length === 0 ? {} : { queueLatencies }),
    lateSends: tally.lateSends(),
    generator: tally.generator(threads),
    timeline: tally.timeline(),
  };
  return { ...result, warnings: warningsOf(result) };
}

const percent = (share: number): string => `${(share * 100).toFixed(1)}%`;

function warningsOf(result: Omit<LoadResult, 'warnings'>): string[] {
  const { lateSends, generator, unsent, intended, outcomes, sent, check, storageLatency } = result;
  const warnings: string[] = [];
  if (generator.isBottleneck) {
    const late = `${percent(sent === 0 ? 0 : lateSends.byGenerator / sent)} of the sends were late by its own fault`;
    warnings.push(
      `the generator is the bottleneck: ${late}, its busiest thread was busy ${percent(generator.busyShare)} of the ` +
        'time; the figures describe it as much as the server (more --threads or a lower rate; when it was not busy, ' +
        'other work kept it from its core)',
    );
  }
  if (sent > 0 && lateSends.waitedForConnection / sent > LATE_SHARE_MAX) {
    warnings.push(
      `${percent(lateSends.waitedForConnection / sent)} of the sends waited more than 1 ms for a free connection: ` +
        'the server is slower than the load, or there are too few --clients; the wait is in the latency',
    );
  }
  if (unsent > 0) {
    warnings.push(
      `${unsent} of ${intended} requests were never sent: no connection was free; the oldest had waited ` +
        `${(result.unsentOldestWaitMs / 1e3).toFixed(1)} s; the percentiles know nothing of them`,
    );
  }
  const failed = countOf(outcomes, (outcome) => outcome in FAILURE_TEXTS);
  if (failed > 0) warnings.push(`${failed} requests got no answer; the percentiles know nothing of them`);
  if (check.kind === 'none')
    warnings.push(`whether what was accepted is stored was not checked (${check.detail})`);
  if (storageLatency !== undefined && storageLatency.skipped > storageLatency.found) {
    warnings.push(
      'the files grew too fast, or the machine was too busy, to watch them: the storage latency rests on few requests',
    );
  }
  return warnings;
}
