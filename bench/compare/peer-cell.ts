/**
 * One cell of `--peers`: one server, one batch size, a fresh process and directory, a warm-up and a measured load,
 * each followed by a wait until the server has written all that the load gave it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { memoryOf } from '../../load-test/server-process.ts';
import { type Child, LOAD_CORE, withServer } from '../under-test/process.ts';
import { diskBytes } from '../under-test/stored.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { CONNECTIONS, runWrk, type WrkCounts } from '../under-test/wrk.ts';
import type { Contender } from './contenders.ts';
import { STAMP_MS, type StampedWorkload, writeStampedFiles } from './stamped-workload.ts';

/** Optimising compilation and the first collections end within it. */
const WARM_UP_SECONDS = 4;
/** More requests than any warm-up sends, so that the measured load begins behind its stamps. */
const WARM_UP_STAMPS = 1_000_000;
const SETTLE_SAMPLE_MS = 250;
/** Above what an idle Go process takes. */
const BUSY_SECONDS = 0.025;
const SETTLE_TIMEOUT_MS = 180_000;
const DAY_MS = 86_400_000;

export interface PeerCellOptions {
  readonly contender: Contender;
  readonly workload: StampedWorkload;
  readonly seconds: number;
  readonly scratch: string;
}

export type PeerCellResult = Awaited<ReturnType<typeof measurePeerCell>>;

export interface PeerRound extends PeerCellResult {
  readonly round: number;
}

/** The first stamp of a run: a day ago, so that the last one is neither in the future nor past any retention. */
export function firstStamp(): number {
  return Math.floor((Date.now() - DAY_MS) / STAMP_MS);
}

interface Settled {
  /** Of the process when it last did something. */
  readonly cpuSeconds: number;
  readonly afterSeconds: number;
  readonly diskBytes: number;
}

/**
 * Waits until the process has neither taken CPU time nor changed its files for `quietMs`, so that flushes and merges
 * count to the load that caused them. Time and CPU are those of the last sample that showed work.
 */
export async function untilSettled({ pid }: Child, dataDir: string, quietMs: number): Promise<Settled> {
  const start = performance.now();
  let last: Settled = { cpuSeconds: cpuSeconds(pid), afterSeconds: 0, diskBytes: diskBytes(dataDir) };
  let before = last.cpuSeconds;
  for (let now = start; now - start < last.afterSeconds * 1e3 + quietMs; now = performance.now()) {
    if (now - start > SETTLE_TIMEOUT_MS)
      throw new Error(`still at work ${SETTLE_TIMEOUT_MS} ms after the load`);
    await sleep(SETTLE_SAMPLE_MS);
    const sample: Settled = {
      cpuSeconds: cpuSeconds(pid),
      afterSeconds: (performance.now() - start) / 1e3,
      diskBytes: diskBytes(dataDir),
    };
    if (sample.cpuSeconds - before > BUSY_SECONDS || sample.diskBytes !== last.diskBytes) last = sample;
    before = sample.cpuSeconds;
  }
  return last;
}

const accepted = ({ responses, refused }: WrkCounts): number => responses - refused;

/** The result counts refused, lost and duplicate metrics. Throws only if there is nothing to measure. */
export function measurePeerCell({ contender, workload, seconds, scratch }: PeerCellOptions) {
  return withServer(scratch, contender.start, async (child, dataDir, directory) => {
    const files = writeStampedFiles(directory, workload, contender.encoding);
    const first = firstStamp();
    const load = { port: child.port, path: contender.path, connections: CONNECTIONS, core: LOAD_CORE };
    const warmUpSeconds = Math.min(WARM_UP_SECONDS, seconds);
    const warmUp = await runWrk({ ...load, files: files(first), seconds: warmUpSeconds });
    await untilSettled(child, dataDir, contender.quietMs);

    const before = cpuSeconds(child.pid);
    const counts = await runWrk({ ...load, files: files(first + WARM_UP_STAMPS), seconds });
    const loaded = cpuSeconds(child.pid);
    const settled = await untilSettled(child, dataDir, contender.quietMs);
    const memory = memoryOf(child.pid);
    const kept = await contender.storage(child, dataDir).count();
    await child.stop();

    const { batch } = workload;
    const acknowledged = accepted(counts) * batch;
    if (acknowledged === 0) throw new Error('nothing was acknowledged');
    const spent = settled.cpuSeconds - before;
    const keptAtLeast = (accepted(warmUp) + accepted(counts)) * batch;
    const failed = (run: WrkCounts) => run.refused + run.socketErrors;
    return {
      server: contender.name,
      batch,
      /** Metrics that the measured load's 2xx answers acknowledged. */
      acknowledged,
      /** Requests answered otherwise, and those that got no answer, warm-up included. */
      failedRequests: failed(warmUp) + failed(counts),
      seconds: counts.seconds,
      /** Of the whole process, from the start of the load to the end of the work that it left behind. */
      cpuSeconds: spent,
      /** The part of it after the load. */
      deferredCpuSeconds: settled.cpuSeconds - loaded,
      metricsPerCpuSecond: acknowledged / spent,
      metricsPerSecond: acknowledged / counts.seconds,
      p50Ms: counts.p50Ms,
      p99Ms: counts.p99Ms,
      p999Ms: counts.p999Ms,
      /** CPU seconds of wrk for each second; near 1, wrk is the limit. */
      wrkBusy: counts.clientCpuSeconds / counts.seconds,
      /** From the end of the load to the end of the server's work. */
      deferredSeconds: settled.afterSeconds,
      ...memory,
      /** Blocks of all files in the data directory, when settled. */
      diskBytes: settled.diskBytes,
      /** Metrics that the server has at the end, warm-up included. */
      kept,
      /** Metrics that it acknowledged, warm-up included. */
      keptAtLeast,
      /** wrk stops with a request in flight on each connection, which the server may have stored. */
      keptAtMost: keptAtLeast + 2 * CONNECTIONS * batch,
    };
  });
}
