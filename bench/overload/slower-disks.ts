/** Two more slow disks: one whose syncs take 10 ms whatever their size, and one whose syncs take 200 ms. */

import { faultEnvironment } from '../../load-test/faults/disk-faults.ts';
import { formatCount, formatMs, formatShare } from '../../load-test/format.ts';
import type { LoadResult } from '../../load-test/plan.ts';
import { monotonicMs } from '../../src/base/clock.ts';
import { type Column, tableOf } from '../report/table.ts';
import { growth } from '../under-test/exposition.ts';
import { NO_LIMIT } from '../under-test/process.ts';
import { correctness, type PartOptions, type PartResult, withoutHistograms } from './part.ts';
import { ENDPOINTS, type Prober, summarizeEndpoints } from './probes.ts';
import { type Loaded, type ServerUnderLoad, withProbedServer } from './server-under-load.ts';

const BATCH = 100;
const FIXED_MS = 10;
const FIXED_CLIENTS = [32, 128, 512] as const;
const FIXED_LOAD_MS = 3_000;
const WARM_UP_MS = 1_000;
const STALLING_MS = 200;
const STALLING_RATE = 1_000;
const STALLING_CLIENTS = 512;
const STALLING_LOAD_MS = 15_000;
const SMOKE_MS = 1_000;
const SMOKE_RATE = 200;

interface FixedRow extends Loaded {
  readonly clients: number;
}

async function fixedLoad(server: ServerUnderLoad, clients: number): Promise<FixedRow> {
  const load = { kind: 'closed', intervalMs: 0 } as const;
  await server.load({ clients, batch: BATCH, load: { ...load, durationMs: WARM_UP_MS } });
  const loaded = await server.load({ clients, batch: BATCH, load: { ...load, durationMs: FIXED_LOAD_MS } });
  return { clients, ...loaded };
}

const grown = ({ before, after }: FixedRow, name: string): number =>
  growth(`metricsstream_${name}`, before, after);

const perSecond = (result: LoadResult, status: '200' | '503'): string =>
  formatCount((result.outcomes[status] ?? 0) / result.seconds);

const FIXED_COLUMNS: readonly Column<FixedRow>[] = [
  ['clients', ({ clients }) => String(clients)],
  ['200/s', ({ result }) => perSecond(result, '200')],
  ['503/s', ({ result }) => perSecond(result, '503')],
  ['syncs/s', (row) => (grown(row, 'syncs_total') / row.result.seconds).toFixed(0)],
  [
    'KiB a commit',
    (row) => formatCount(grown(row, 'stored_bytes_total') / grown(row, 'commits_total') / 1024),
  ],
  ['p50 ms', ({ result }) => formatMs(result.serviceTime.p50Ms)],
  ['p99 ms', ({ result }) => formatMs(result.serviceTime.p99Ms)],
  ['CPU of its core', ({ cpuShare }) => formatShare(cpuShare)],
];

const STALLING_COLUMNS: readonly Column<LoadResult>[] = [
  ['200/s', (result) => perSecond(result, '200')],
  ['503/s', (result) => perSecond(result, '503')],
  ['p50 of 2xx, ms', ({ serviceTime }) => formatMs(serviceTime.p50Ms)],
  ['p99', ({ serviceTime }) => formatMs(serviceTime.p99Ms)],
  ['max', ({ serviceTime }) => formatMs(serviceTime.maxMs)],
  ['p99 of 503, ms', ({ refusalLatency }) => formatMs(refusalLatency.p99Ms)],
];

/** A server whose syncs take so long, and the two endpoints probed beside it. */
const withSlowSyncs = <T>(
  options: PartOptions,
  syncDelayMs: number,
  work: (server: ServerUnderLoad, prober: Prober) => Promise<T>,
): Promise<T> =>
  withProbedServer(options, { args: NO_LIMIT, env: faultEnvironment({ syncDelayMs }) }, ENDPOINTS, work);

/** A sync that takes the same time for any size limits the number of commits, not their bytes. */
export const fixedSync = (options: PartOptions): Promise<PartResult> =>
  withSlowSyncs(options, FIXED_MS, async (server, prober) => {
    const rows: FixedRow[] = [];
    const fromMs = monotonicMs();
    for (const clients of FIXED_CLIENTS) rows.push(await fixedLoad(server, clients));
    const untilMs = monotonicMs();
    const probes = await prober.end();
    const part = `sync of ${FIXED_MS} ms`;
    return {
      name: 'fixed-sync',
      findings: correctness(
        part,
        rows.map(({ result }) => result),
      ),
      tables: { 'fixed-sync': tableOf(FIXED_COLUMNS, rows) },
      probes: summarizeEndpoints(`${part}, closed loops`, probes, [fromMs, untilMs]),
      data: rows.map(({ clients, result, cpuShare }) => ({
        clients,
        cpuShare,
        result: withoutHistograms(result),
      })),
    };
  });

/** Syncs far longer than the target delay must not slow the other endpoints down. */
export const stallingSync = (options: PartOptions): Promise<PartResult> =>
  withSlowSyncs(options, STALLING_MS, async (server, prober) => {
    const ratePerSecond = options.smoke ? SMOKE_RATE : STALLING_RATE;
    const durationMs = options.smoke ? SMOKE_MS : STALLING_LOAD_MS;
    const load = { kind: 'open', ratePerSecond, durationMs } as const;
    const { result, span } = await server.load({ clients: STALLING_CLIENTS, batch: BATCH, load });
    const probes = await prober.end();
    const part = `sync of ${STALLING_MS} ms`;
    return {
      name: 'stalling-sync',
      findings: correctness(part, [result]),
      tables: { 'stalling-sync': tableOf(STALLING_COLUMNS, [result]) },
      probes: summarizeEndpoints(part, probes, span),
      data: withoutHistograms(result),
    };
  });
