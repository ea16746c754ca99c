/**
 * One cell of `--peers`: one server, one batch size, a fresh process and directory, a warm-up and a measured load,
 * each followed by a wait until the server has written all that the load gave it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Memory, memoryOf } from '../../load-test/server-process.ts';
import { type Child, inScratch, LOAD_CORE, withChild } from '../under-test/process.ts';
import { diskBytes } from '../under-test/stored.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { CONNECTIONS, runWrk, type WrkCounts } from '../under-test/wrk.ts';
import type { Contender, ContenderName } from './contenders.ts';
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

export interface PeerCellResult extends Memory {
  readonly server: ContenderName;
  readonly batch: number;
  /** Metrics that the measured load's 2xx answers acknowledged. */
  readonly acknowledged: number;
  /** Requests answered otherwise, and those that got no answer, warm-up included. */
  readonly failedRequests: number;
  readonly seconds: number;
  /** Of the whole process, from the start of the load to the end of the work that it left behind. */
  readonly cpuSeconds: number;
  /** The part of it after the load. */
  readonly deferredCpuSeconds: number;
  readonly metricsPerCpuSecond: number;
  readonly metricsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** CPU seconds of wrk for each second; near 1, wrk is the limit. */
  readonly wrkBusy: number;
  /** From the end of the load to the end of the server's work. */
  readonly deferredSeconds: number;
  /** Blocks of all files in the data directory, when settled. */
  readonly diskBytes: number;
  /** Metrics that the server has at the end, warm-up included. */
  readonly kept: number;
  /** Metrics that it acknowledged, warm-up included. */
  readonly keptAtLeast: number;
  /** Those, and what was in flight when wrk stopped. */
  readonly keptAtMost: number;
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
async function untilSettled({ pid }: Child, dataDir: string, quietMs: number): Promise<Settled> {
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
export function measurePeerCell({
  contender,
  workload,
  seconds,
  scratch,
}: PeerCellOptions): Promise<PeerCellResult> {
  return inScratch(scratch, (directory, dataDir) =>
    withChild(contender.start(dataDir), async (child) => {
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
        acknowledged,
        failedRequests: failed(warmUp) + failed(counts),
        seconds: counts.seconds,
        cpuSeconds: spent,
        deferredCpuSeconds: settled.cpuSeconds - loaded,
        metricsPerCpuSecond: acknowledged / spent,
        metricsPerSecond: acknowledged / counts.seconds,
        p50Ms: counts.p50Ms,
        p99Ms: counts.p99Ms,
        p999Ms: counts.p999Ms,
        wrkBusy: counts.clientCpuSeconds / counts.seconds,
        deferredSeconds: settled.afterSeconds,
        ...memory,
        diskBytes: settled.diskBytes,
        kept,
        keptAtLeast,
        // wrk stops with a request in flight on each connection, which the server may have stored.
        keptAtMost: keptAtLeast + 2 * CONNECTIONS * batch,
      };
    }),
  );
}
