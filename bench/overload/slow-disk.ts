/**
 * Three times the capacity, where a slow disk sets the capacity: every sync takes 10 ms for up to 256 KiB and longer
 * in proportion for more, injected at the server's file operations.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { faultEnvironment } from '../../load-test/faults/disk-faults.ts';
import { formatCount, formatMs, formatShare } from '../../load-test/format.ts';
import { type MemorySample, watchMemory } from '../../load-test/memory-watch.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { createRunId } from '../../load-test/run.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { type Column, type Table, tableOf } from '../report/table.ts';
import { growth, percentileOf } from '../under-test/exposition.ts';
import { NO_LIMIT } from '../under-test/process.ts';
import { figure } from './finding.ts';
import { flatness } from './memory.ts';
import { correctness, type PartOptions, type PartResult, withoutHistograms } from './part.ts';
import type { Probe, ProbeStream } from './prober-messages.ts';
import {
  between,
  ENDPOINTS,
  isFine,
  latencyMs,
  percentile,
  type Span,
  storedFinding,
  summarizeEndpoints,
} from './probes.ts';
import { type ServerUnderLoad, withProbedServer } from './server-under-load.ts';
import { meanTarget, type TargetSample, targetAt, watchTarget } from './target.ts';

const BATCH = 100;
const FACTOR = 3;
const TARGET_DELAY_MS = 50;
const SYNC_MS = 10;
const SYNC_BYTES = 256 << 10;
/** The first keep the disk busy within the target delay, the last far beyond it: the best of all is the peak. */
const CAPACITY_CLIENTS = [64, 128, 256, 512] as const;
const CAPACITY_MS = 4_000;
const WARM_UP_MS = 1_500;
const OVERLOAD_CLIENTS = 768;
/** The first probes find code that was never run. */
const IDLE_FROM_MS = 2_000;
const IDLE_MS = 12_000;
/** Watched after the overload, and what of it has to be normal to count as recovered. */
const AFTER_MS = 6_000;
const STEADY_MS = 2_000;
const BIN_MS = 500;
const MEMORY_SAMPLE_MS = 250;
const RECOVERY_MAX_MS = 2_000;
const GOODPUT_MIN = 0.8;
const DELAY_FACTOR_MAX = 2;
const SMOKE_CLIENTS = 64;
const SMOKE_MS = 1_000;

function lightStream(): ProbeStream {
  return {
    name: 'light load',
    ratePerSecond: 40,
    connections: 16,
    request: { method: 'POST', batch: BATCH, runId: createRunId(), headers: {} },
  };
}

interface OverloadRun {
  readonly capacities: readonly { readonly clients: number; readonly perSecond: number }[];
  readonly peakPerSecond: number;
  readonly overload: LoadResult;
  readonly memory: readonly MemorySample[];
  readonly targets: readonly TargetSample[];
  readonly queueP99Ms: number;
  /** Of its syncs, the injected delay included; upper bounds of buckets. */
  readonly syncP50Ms: number;
  readonly syncP99Ms: number;
  readonly commitP99Bytes: number;
  readonly recoveryMs: number;
}

const goodput = ({ succeeded, seconds }: LoadResult): number => succeeded / seconds;

/**
 * From the end of the overload to the first moment from which STEADY_MS in a row are normal: in each BIN_MS every
 * request of the light load succeeds, and its p99 is within the bound. Infinite when there is none.
 */
export function recoveryMs(light: readonly Probe[], endMs: number, boundMs: number): number {
  const isNormal = (fromMs: number): boolean => {
    const probes = between(light, [fromMs, fromMs + BIN_MS]);
    return probes.length > 0 && probes.every(isFine) && percentile(probes.map(latencyMs), 99) <= boundMs;
  };
  for (let fromMs = 0; fromMs + STEADY_MS <= AFTER_MS; fromMs += BIN_MS) {
    const bins = Array.from({ length: STEADY_MS / BIN_MS }, (_, k) => endMs + fromMs + k * BIN_MS);
    if (bins.every(isNormal)) return fromMs;
  }
  return Number.POSITIVE_INFINITY;
}

async function measureCapacity(
  server: ServerUnderLoad,
  { smoke }: PartOptions,
): Promise<{ clients: number; result: LoadResult }[]> {
  const loads: { clients: number; result: LoadResult }[] = [];
  for (const clients of smoke ? [CAPACITY_CLIENTS[0]] : CAPACITY_CLIENTS) {
    const { result } = await server.load({
      clients,
      batch: BATCH,
      load: { kind: 'closed', intervalMs: 0, durationMs: smoke ? SMOKE_MS : CAPACITY_MS },
      warmUpMs: smoke ? 0 : WARM_UP_MS,
    });
    loads.push({ clients, result });
  }
  return loads;
}

export async function overloadSlowDisk(options: PartOptions): Promise<PartResult> {
  const { smoke, seconds, progress } = options;
  const light = lightStream();
  const args = [...NO_LIMIT, '--target-delay-ms', String(TARGET_DELAY_MS)];
  const env = faultEnvironment({ syncDelayMs: SYNC_MS, syncDelayBytes: SYNC_BYTES });
  return withProbedServer(options, { args, env }, [...ENDPOINTS, light], async (server, prober) => {
    if (!smoke) await sleep(IDLE_FROM_MS);
    const idleMs = smoke ? 0 : IDLE_MS;
    const idle: Span = [monotonicMs(), monotonicMs() + idleMs];
    await sleep(idleMs);
    const loads = await measureCapacity(server, options);
    const capacities = loads.map(({ clients, result }) => ({ clients, perSecond: goodput(result) }));
    const peakPerSecond = Math.max(...capacities.map(({ perSecond }) => perSecond));
    progress(
      `slow disk: ${formatCount(peakPerSecond)} requests/s at most in a closed loop; now ${FACTOR} times as many`,
    );
    const memory = watchMemory(server.pid, MEMORY_SAMPLE_MS);
    const target = watchTarget(server.port);
    const loaded = await server.load(
      {
        clients: smoke ? SMOKE_CLIENTS : OVERLOAD_CLIENTS,
        batch: BATCH,
        load: {
          kind: 'open',
          ratePerSecond: peakPerSecond * FACTOR,
          durationMs: smoke ? SMOKE_MS : seconds * 1e3,
        },
      },
      async () => {
        memory.end();
        await target.end();
        if (!smoke) await sleep(AFTER_MS);
      },
    );
    const { result: overload, span, before, after } = loaded;
    progress('slow disk: overload done and checked');
    const probes = await prober.end();
    const lightProbes = probes.get(light.name)!;
    const stageMs = (stage: string, percent: number): number =>
      percentileOf('metricsstream_stage_duration_seconds', `stage="${stage}"`, percent, before, after) * 1e3;
    const run: OverloadRun = {
      capacities,
      peakPerSecond,
      overload,
      memory: memory.samples,
      targets: target.samples,
      queueP99Ms: stageMs('queue', 99),
      syncP50Ms: stageMs('sync', 50),
      syncP99Ms: stageMs('sync', 99),
      commitP99Bytes: percentileOf('metricsstream_commit_bytes', '', 99, before, after),
      recoveryMs: recoveryMs(lightProbes, span[1], TARGET_DELAY_MS * DELAY_FACTOR_MAX),
    };
    const summaries = [
      ...(smoke ? [] : summarizeEndpoints('idle server', probes, idle)),
      ...summarizeEndpoints(`slow disk, ${FACTOR}×`, probes, span),
    ];
    const lost = growth('metricsstream_events_dropped_total', before, after);
    return {
      name: 'slow-disk',
      findings: [
        ...correctness('slow disk', [...loads.map(({ result }) => result), overload]),
        await storedFinding(
          'slow disk: the light load beside it is stored as it was answered',
          server.dataDir,
          light,
          lightProbes,
        ),
        ...figures(run, server),
      ],
      tables: { 'slow-disk': factsTable(run, server, lost), 'slow-disk-seconds': timelineTable(run) },
      probes: summaries,
      data: { ...run, overload: withoutHistograms(overload), light: lightSeconds(lightProbes, span) },
    };
  });
}

function figures(run: OverloadRun, { group }: ServerUnderLoad) {
  const { overload, peakPerSecond, queueP99Ms } = run;
  const share = goodput(overload) / peakPerSecond;
  const bound = TARGET_DELAY_MS * DELAY_FACTOR_MAX;
  // The last bin is what was still open at the end.
  const ratios = overload.timeline
    .slice(0, -1)
    .map(({ atSeconds, latency }) => latency.p99Ms / targetAt(run.targets, atSeconds));
  const within = ratios.filter((ratio) => ratio <= DELAY_FACTOR_MAX).length;
  const p99 = overload.serviceTime.p99Ms;
  const { growthBytes, rangeBytes, fromSeconds, isFlat } = flatness(run.memory);
  const groupMemory = group?.memory();
  const killed = groupMemory?.killed ?? 0;
  const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
  return [
    figure(
      `goodput at ${FACTOR}× is at least ${GOODPUT_MIN * 100}% of the peak`,
      share >= GOODPUT_MIN,
      `${formatShare(share)}: ${formatCount(goodput(overload))}/s of ${formatCount(peakPerSecond)}/s; ` +
        `${(overload.sent / overload.seconds / peakPerSecond).toFixed(2)}× was sent`,
    ),
    figure(
      "p99 of each second's admitted requests, from intended send to answer, within twice the target of that second",
      within === ratios.length,
      `${within} of ${ratios.length} seconds; at most ${Math.max(...ratios).toFixed(2)}×, ${percentile(ratios, 50).toFixed(2)}× in the median; ` +
        `target ${formatMs(meanTarget(run.targets))} ms in the mean`,
    ),
    figure(
      `p99 of admitted requests within ${bound} ms, twice the target as configured`,
      p99 <= bound,
      `${formatMs(p99)} ms over all of it (p50 ${formatMs(overload.serviceTime.p50Ms)}, max ${formatMs(overload.serviceTime.maxMs)}); by the server's own histogram at most ${formatMs(queueP99Ms)} ms in its queue (a bucket's upper bound)`,
    ),
    figure(
      `memory is flat from second ${fromSeconds} on, in a group of 512 MiB`,
      isFlat && killed === 0,
      `${mib(growthBytes)} MiB from its first to its last quarter, ${mib(rangeBytes)} MiB between least and most; ` +
        `${mib(Math.max(...run.memory.map(({ bytes }) => bytes)))} MiB resident at most` +
        (groupMemory === undefined ? '; no group: watched only' : `, ${killed} killed`),
    ),
    figure(
      `back to normal within ${RECOVERY_MAX_MS / 1e3} s of its end`,
      run.recoveryMs <= RECOVERY_MAX_MS,
      Number.isFinite(run.recoveryMs)
        ? `${(run.recoveryMs / 1e3).toFixed(1)} s`
        : `not within ${AFTER_MS / 1e3} s`,
    ),
  ];
}

/** Settings and figures that the requirements rest on. Percentiles of syncs and commits are upper bounds of buckets. */
function factsTable(
  { capacities, overload, syncP50Ms, syncP99Ms, commitP99Bytes }: OverloadRun,
  { group }: ServerUnderLoad,
  lost: number,
): Table {
  const { seconds, sent, plan, generator } = overload;
  return {
    head: ['figure', ''],
    rows: [
      ...capacities.map(({ clients, perSecond }) => [
        `closed loop of ${clients} clients, requests/s`,
        formatCount(perSecond),
      ]),
      [
        'overload',
        `${formatCount(sent)} requests in ${seconds.toFixed(0)} s over ${plan.clients} connections`,
      ],
      ['control group of 512 MiB', group === null ? 'none' : `version ${group.version}`],
      ['KiB a commit, p99', formatCount(commitP99Bytes / 1024)],
      ['injected delay of such a commit, ms', formatMs((commitP99Bytes / SYNC_BYTES) * SYNC_MS)],
      ['a sync, the real disk included, ms, p50 · p99', `${formatMs(syncP50Ms)} · ${formatMs(syncP99Ms)}`],
      [
        'generator busy',
        `${formatShare(generator.busyShare)}${generator.isBottleneck ? ', at its limit' : ''}`,
      ],
      ["server's samples dropped", formatCount(lost)],
    ],
  };
}

const TIMELINE_STEP = 5;

function timelineTable({ overload, memory, targets }: OverloadRun): Table {
  type Slice = (typeof overload.timeline)[number];
  const residentAt = (atSeconds: number): number =>
    memory.findLast((sample) => sample.atSeconds <= atSeconds)?.bytes ?? Number.NaN;
  const columns: Column<Slice>[] = [
    ['second', ({ atSeconds }) => atSeconds.toFixed(0)],
    ['200/s', ({ outcomes, seconds }) => formatCount((outcomes['200'] ?? 0) / seconds)],
    ['503/s', ({ outcomes, seconds }) => formatCount((outcomes['503'] ?? 0) / seconds)],
    ['p50 ms', ({ latency }) => formatMs(latency.p50Ms)],
    ['p99 ms', ({ latency }) => formatMs(latency.p99Ms)],
    ['target ms', ({ atSeconds }) => formatMs(targetAt(targets, atSeconds))],
    ['RSS MiB', ({ atSeconds }) => (residentAt(atSeconds) / 2 ** 20).toFixed(0)],
  ];
  return tableOf(
    columns,
    overload.timeline.filter((_, index) => index % TIMELINE_STEP === 0),
  );
}

/** The light load by half seconds around the end of the overload. */
function lightSeconds(light: readonly Probe[], [, untilMs]: Span) {
  return Array.from({ length: (AFTER_MS + STEADY_MS) / BIN_MS }, (_, k) => {
    const atMs = k * BIN_MS - STEADY_MS;
    const probes = between(light, [untilMs + atMs, untilMs + atMs + BIN_MS]);
    return {
      atMs,
      sent: probes.length,
      fine: probes.filter(isFine).length,
      p99Ms: percentile(probes.map(latencyMs), 99),
    };
  });
}
