/**
 * Three times the capacity, where the processor sets it. A server that answers every request spends c_r on each that it
 * refuses and c_a on each that it accepts; of λ requests/s and a share s of a core, g a second can be accepted:
 *
 *     g·c_a + (λ − g)·c_r ≤ s      hence      g ≤ (s − λ·c_r) / (c_a − c_r)
 *
 * One core of JavaScript sends fewer requests than three times what one core of the server can take, so the server gets
 * a quarter of a core while it is overloaded, where control groups are permitted.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { faultEnvironment } from '../../load-test/faults/disk-faults.ts';
import { formatCount, formatMs, formatShare } from '../../load-test/format.ts';
import { countOf, isSuccess, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { type Column, tableOf } from '../report/table.ts';
import { NO_LIMIT } from '../under-test/process.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { type Finding, figure } from './finding.ts';
import { correctness, type PartOptions, type PartResult, withoutHistograms } from './part.ts';
import { ENDPOINTS, HEALTH_PROBE, type ProbeSummary, summarizeEndpoints } from './probes.ts';
import { type ServerUnderLoad, withProbedServer } from './server-under-load.ts';

const BATCHES = [1, 100, 1_000] as const;
const FACTOR = 3;
const CPU_SHARE = 0.25;
const CLIENTS = 256;
const WARM_UP_MS = 2_500;
const FULL_CORE_MS = 6_000;
const QUIET_MS = 1_500;
const COST_MS = 3_000;
const OVERLOAD_MS = 8_000;
const REFUSING_POLL_MS = 50;
const REFUSING_TIMEOUT_MS = 20_000;
const SMOKE_MS = 1_000;
const SMOKE_RATE = 3_000;

/** Seconds of CPU and of time, and how many requests were answered in them. */
interface Cost {
  readonly result: LoadResult;
  readonly share: number;
  readonly answers: number;
}

type Batch = Awaited<ReturnType<typeof measureBatch>>;

const answersOf = ({ outcomes }: LoadResult): number => countOf(outcomes, (outcome) => /^\d+$/.test(outcome));

async function measure(server: ServerUnderLoad, batch: number, load: LoadPlan['load']): Promise<Cost> {
  const { result, cpuShare } = await server.load({ batch, clients: CLIENTS, load });
  return { result, share: cpuShare, answers: answersOf(result) };
}

async function untilStatus(port: number, wanted: (status: number) => boolean): Promise<void> {
  const deadlineMs = monotonicMs() + REFUSING_TIMEOUT_MS;
  const body = '{"metrics":[{"name":"overload.probe","value":1}]}';
  for (;;) {
    const headers = { 'content-type': 'application/json' };
    const { status } = await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST', headers, body });
    if (wanted(status)) return;
    if (monotonicMs() > deadlineMs) throw new Error(`POST goes on answering ${status}`);
    await sleep(REFUSING_POLL_MS);
  }
}

/** The cost of a refusal: with a full disk the server refuses everything at the same place as under overload. */
async function refusing(server: ServerUnderLoad, batch: number, fullWhile: string): Promise<Cost> {
  writeFileSync(fullWhile, '');
  try {
    await untilStatus(server.port, (status) => status === 503);
    return await measure(server, batch, { kind: 'closed', intervalMs: 0, durationMs: COST_MS });
  } finally {
    rmSync(fullWhile);
    await untilStatus(server.port, (status) => status === 200);
  }
}

async function quietShareOf({ pid }: ServerUnderLoad): Promise<number> {
  const before = cpuSeconds(pid);
  await sleep(QUIET_MS);
  return (cpuSeconds(pid) - before) / (QUIET_MS / 1e3);
}

function measureBatch(options: PartOptions, batch: number, directory: string) {
  const fullWhile = join(directory, `full-${batch}`);
  const env = faultEnvironment({ writeError: 'ENOSPC', writeErrorWhile: fullWhile });
  return withProbedServer(options, { args: NO_LIMIT, env }, ENDPOINTS, async (server, prober) => {
    const closed = { kind: 'closed', intervalMs: 0 } as const;
    await server.load({ batch, clients: CLIENTS, load: { ...closed, durationMs: WARM_UP_MS } });
    const fullFromMs = monotonicMs();
    const full = await measure(server, batch, { ...closed, durationMs: FULL_CORE_MS });
    const quietShare = await quietShareOf(server);
    server.group?.limitCpu(CPU_SHARE);
    const accept = await measure(server, batch, { ...closed, durationMs: COST_MS });
    const refuse = await refusing(server, batch, fullWhile);
    const capacityPerSecond = accept.result.succeeded / accept.result.seconds;
    const overloadFromMs = monotonicMs();
    const ratePerSecond = capacityPerSecond * FACTOR;
    const over = await measure(server, batch, { kind: 'open', ratePerSecond, durationMs: OVERLOAD_MS });
    const probes = await prober.end();
    const { result: overload } = over;
    const cost = ({ share, result, answers }: Cost): number =>
      ((share - quietShare) * result.seconds * 1e6) / answers;
    const limited = server.group === null ? 'all of a core' : `${formatShare(CPU_SHARE)} of a core`;
    const during = (part: string, fromMs: number, lengthMs: number, isJudged: boolean): ProbeSummary[] =>
      summarizeEndpoints(`${part}, ${batch} a request`, probes, [fromMs, fromMs + lengthMs], isJudged);
    const results = [full.result, accept.result, refuse.result, overload];
    return {
      batch,
      fullCorePerSecond: full.result.succeeded / full.result.seconds,
      /** Microseconds of CPU for each request. */
      acceptUs: cost(accept),
      refuseUs: cost(refuse),
      /** Of a core, taken by the probes and by what the server does without requests. */
      quietShare,
      capacityPerSecond,
      offeredPerSecond: overload.intended / overload.seconds,
      answeredPerSecond: over.answers / overload.seconds,
      goodputPerSecond: overload.succeeded / overload.seconds,
      /** Of a core, under overload, without the quiet share. */
      share: over.share - quietShare,
      overload,
      findings: correctness(`CPU-bound, ${batch} a request`, results),
      probes: [
        ...during('core busy', fullFromMs, FULL_CORE_MS, true),
        ...during(`${limited}, ${FACTOR}×`, overloadFromMs, OVERLOAD_MS, server.group === null),
      ],
    };
  });
}

/** Requests a second that can be accepted at the most when so many are answered. */
export function ceilingPerSecond(
  share: number,
  answeredPerSecond: number,
  acceptUs: number,
  refuseUs: number,
): number {
  // Then accepting costs nothing more, and every request costs the same.
  if (acceptUs <= refuseUs) return Math.min(answeredPerSecond, (share * 1e6) / acceptUs);
  const left = share * 1e6 - answeredPerSecond * refuseUs;
  return Math.max(0, Math.min(answeredPerSecond, left / (acceptUs - refuseUs)));
}

async function smokeBatch(options: PartOptions, batch: number): Promise<readonly Finding[]> {
  return withProbedServer(options, { args: NO_LIMIT }, [HEALTH_PROBE], async (server) => {
    const load = {
      kind: 'open',
      ratePerSecond: SMOKE_RATE / Math.sqrt(batch),
      durationMs: SMOKE_MS,
    } as const;
    const { result } = await server.load({ batch, clients: CLIENTS, load });
    if (countOf(result.outcomes, isSuccess) === 0) throw new Error('nothing was accepted');
    return correctness(`CPU-bound, ${batch} a request`, [result]);
  });
}

export async function overloadCpu(options: PartOptions): Promise<PartResult> {
  const { scratch, smoke, progress } = options;
  if (smoke) {
    const findings = await smokeBatch(options, BATCHES[1]);
    return { name: 'cpu-bound', findings, tables: {}, probes: [], data: null };
  }
  const directory = mkdtempSync(join(scratch, 'full-'));
  const batches: Batch[] = [];
  try {
    for (const batch of BATCHES) {
      batches.push(await measureBatch(options, batch, directory));
      progress(`CPU-bound: ${batch} a request done`);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return {
    name: 'cpu-bound',
    findings: batches.flatMap((batch) => [...batch.findings, goodputFinding(batch)]),
    tables: { 'cpu-bound': tableOf(COLUMNS, batches) },
    probes: batches.flatMap(({ probes }) => probes),
    data: batches.map(({ overload, ...rest }) => ({ ...rest, overload: withoutHistograms(overload) })),
  };
}

function ceilings(figures: Batch): { offered: number; answered: number } {
  const { share, offeredPerSecond, answeredPerSecond, acceptUs, refuseUs } = figures;
  return {
    offered: ceilingPerSecond(share, offeredPerSecond, acceptUs, refuseUs),
    answered: ceilingPerSecond(share, answeredPerSecond, acceptUs, refuseUs),
  };
}

function goodputFinding(figures: Batch): Finding {
  const { batch, goodputPerSecond, capacityPerSecond } = figures;
  const { answered } = ceilings(figures);
  return figure(
    `CPU-bound, ${batch} a request: goodput beside its ceiling`,
    null,
    `${formatShare(goodputPerSecond / capacityPerSecond)} of the capacity; the ceiling for what was answered is ` +
      formatShare(answered / capacityPerSecond),
  );
}

const shareOfCapacity = ({ capacityPerSecond }: Batch, perSecond: number): string =>
  formatShare(perSecond / capacityPerSecond);

const COLUMNS: readonly Column<Batch>[] = [
  ['metrics a request', ({ batch }) => formatCount(batch)],
  ['whole core, requests/s', ({ fullCorePerSecond }) => formatCount(fullCorePerSecond)],
  ['c_a, µs', ({ acceptUs }) => acceptUs.toFixed(1)],
  ['c_r, µs', ({ refuseUs }) => refuseUs.toFixed(1)],
  ['r', ({ acceptUs, refuseUs }) => (refuseUs / acceptUs).toFixed(2)],
  ['capacity/s', ({ capacityPerSecond }) => formatCount(capacityPerSecond)],
  ['offered/s', ({ offeredPerSecond }) => formatCount(offeredPerSecond)],
  ['answered/s', ({ answeredPerSecond }) => formatCount(answeredPerSecond)],
  ['goodput/s', ({ goodputPerSecond }) => formatCount(goodputPerSecond)],
  ['of capacity', (batch) => shareOfCapacity(batch, batch.goodputPerSecond)],
  ['ceiling, all offered', (batch) => shareOfCapacity(batch, ceilings(batch).offered)],
  ['ceiling, those answered', (batch) => shareOfCapacity(batch, ceilings(batch).answered)],
  ['p99 of 2xx, ms', ({ overload }) => formatMs(overload.serviceTime.p99Ms)],
];
