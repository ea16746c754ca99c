/**
 * One cell: a fresh server with a fresh data directory, pinned to its core; a warm-up; a measured load; and the proof
 * that the files hold what was accepted.
 *
 * The load generator runs in this process; `pinSelf` keeps it off the server's core.
 */
import { countOf, createPlan, isSuccess, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { memoryOf } from '../../load-test/server-process.ts';
import { slotsOf } from '../../src/phases.ts';
import {
  type Child,
  REFUSES_NOTHING,
  SERVER_CORE,
  serveArgs,
  startChild,
  withServer,
} from '../under-test/process.ts';
import { cpuSeconds, threadsOf, untilIdle } from '../under-test/usage.ts';
import type { ClosedCell, OpenCell, Variant } from './plan.ts';

export const SERVER_ARGS = ['--workers', '1', '--ack', 'synced', ...REFUSES_NOTHING] as const;
/** Few, so that a server with a thread for each request does not begin the measured load with many threads. */
const WARM_UP_CLIENTS = 10;
/** The generator's threads are new in every load and compile their code first. */
const GENERATOR_WARM_UP_MS = 300;
const SAMPLE_MS = 100;

export interface CellOptions extends Variant {
  readonly batch: number;
  readonly load: ClosedCell | OpenCell;
  readonly seconds: number;
  /** 0: none. */
  readonly warmUpSeconds: number;
  /** A closed load ends after so many requests of each client, instead of after `seconds`. */
  readonly requestsPerClient?: number;
  /** Whether server and generator have a core each. */
  readonly pinned: boolean;
  /** For the cell's data. */
  readonly scratch: string;
  readonly nodeArgs?: readonly string[];
  /** Called when the measured load begins. */
  readonly onMeasuredLoad?: (pid: number) => void;
}

function variantArgs({ phase, revert }: Variant): string[] {
  return ['--phase', String(phase), ...(revert === undefined ? [] : ['--revert', revert])];
}

export const variantName = ({ phase, revert }: Variant): string =>
  revert === undefined ? `phase ${phase}` : `phase ${phase}, ${revert} reverted`;

/** The generator's warm-up is not measured. Where requests take seconds, it would be most of the load: none then. */
function generatorWarmUpMs(options: CellOptions): number {
  return options.requestsPerClient !== undefined || startsThreads(options) ? 0 : GENERATOR_WARM_UP_MS;
}

function planOf(options: CellOptions, port: number, dataDir: string): LoadPlan {
  const { load, batch, seconds, requestsPerClient } = options;
  const durationMs = seconds * 1e3;
  return createPlan({
    port,
    dataDir,
    batch,
    clients: load.clients,
    threads: 1,
    watchStorage: false,
    warmUpMs: generatorWarmUpMs(options),
    load:
      load.kind === 'open'
        ? { kind: 'open', ratePerSecond: load.ratePerSecond, durationMs }
        : {
            kind: 'closed',
            intervalMs: 0,
            ...(requestsPerClient === undefined ? { durationMs } : { requestsPerClient }),
          },
  });
}

/** @throws when the files do not hold exactly what was accepted */
async function checkedLoad(plan: LoadPlan): Promise<LoadResult> {
  const result = await runLoad(plan);
  const { check } = result;
  if (check.kind !== 'files' || !check.ok) throw new Error(`accepted is not stored: ${check.detail}`);
  return result;
}

/** Counts the threads of a process until `end` is called; returns the most seen at once. */
function watchThreads(pid: number): { end(): number } {
  let most = 0;
  const sample = (): void => {
    most = Math.max(most, threadsOf(pid).length);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  sample();
  return {
    end: () => {
      clearInterval(timer);
      return most;
    },
  };
}

/** Whether each request gets a thread of its own. */
export function startsThreads({ phase, revert }: Variant): boolean {
  return slotsOf({ phase, revert: revert ?? 'none' }).dispatch === 'thread-per-request';
}

/** Every request that is not refused gets a thread. */
function threadsStarted(variant: Variant, { outcomes }: LoadResult): number {
  if (!startsThreads(variant)) return 0;
  return countOf(outcomes, (outcome) => isSuccess(outcome) || outcome === '504');
}

async function measureOn(server: Child, options: CellOptions, dataDir: string) {
  const { warmUpSeconds, onMeasuredLoad } = options;
  const { pid, port } = server;
  if (warmUpSeconds > 0) {
    const load: ClosedCell = { kind: 'closed', clients: WARM_UP_CLIENTS };
    // Where every request runs in a new thread there is little to warm.
    const seconds = startsThreads(options) ? warmUpSeconds / 3 : warmUpSeconds;
    await checkedLoad(planOf({ ...options, load, seconds }, port, dataDir));
    await untilIdle(pid);
  }
  const before = cpuSeconds(pid);
  const threads = watchThreads(pid);
  onMeasuredLoad?.(pid);
  const result = await checkedLoad(planOf(options, port, dataDir)).finally(() => threads.end());
  await untilIdle(pid);
  const spent = cpuSeconds(pid) - before;
  const { seconds, intended, sent, unsent, outcomes, succeeded, apiLatency, check } = result;
  const latency = (ms: number): number | null => (apiLatency.count === 0 ? null : ms);
  return {
    /** Of the measured load; answers may come after it. */
    seconds,
    ...{ intended, sent, unsent, outcomes, succeeded },
    /** Metrics of 2xx answers a second, from the first intended send time to the last answer. */
    storedPerSecond: result.acceptedMetricsPerSecond,
    /** Of 2xx answers, from the intended send time; null where there was none. */
    p50Ms: latency(apiLatency.p50Ms),
    p99Ms: latency(apiLatency.p99Ms),
    maxMs: latency(apiLatency.maxMs),
    /** Sends more than 1 ms after their time that had a free connection: the generator's doing. */
    lateByGenerator: result.lateSends.byGenerator,
    generatorBusyShare: result.generator.busyShare,
    generatorIsBottleneck: result.generator.isBottleneck,
    /** Of the whole server process, from the first request until it was idle again. */
    cpuSeconds: spent,
    /**
     * Metrics accepted by answers, and found in the files, in that time, the generator's short warm-up included. They
     * differ only by requests that got no answer, or the cell would have failed.
     */
    accepted: check.accepted,
    stored: check.stored ?? 0,
    ...memoryOf(pid),
    /** Most threads of the process seen at once while the load ran. */
    threads: threads.end(),
    /** Threads started to serve requests: one for each request that was not refused, where each gets its own. */
    threadsStarted: threadsStarted(options, result),
  };
}

/** @throws when the server does not start, misses a metric it accepted, or does not drain */
export function measureCell(options: CellOptions) {
  const { scratch, nodeArgs = [], pinned } = options;
  const start = (dataDir: string) =>
    startChild(
      [...nodeArgs, ...serveArgs(dataDir, ...SERVER_ARGS, ...variantArgs(options))],
      pinned ? SERVER_CORE : undefined,
    );
  return withServer(scratch, start, async (server, dataDir) => {
    const figures = await measureOn(server, options, dataDir);
    await server.stop();
    return figures;
  });
}
