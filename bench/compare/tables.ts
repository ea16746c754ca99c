/** The tables of `bench:server`: figures by server and batch size, and ratios beside their targets. */
import { formatMs } from '../../load-test/format.ts';
import { mebibytes, minToMax, most, percent, thousands, whole } from '../report/numbers.ts';
import { type Origin, originTable } from '../report/origin.ts';
import { type CellRow, type Column, columnsOver, markdownTables, tableOf } from '../report/table.ts';
import { type Range, rangeOf, ratiosWithinRounds } from '../statistics.ts';
import type { Workload } from '../under-test/workload.ts';
import { type CellResult, SERVER_LABELS, SERVERS, type ServerName } from './cell.ts';

/** A run as server.json holds it. */
export interface ServerRun extends Origin {
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly workloads: readonly Pick<Workload, 'batch' | 'meanBodyBytes' | 'digest'>[];
  readonly results: readonly RoundResult[];
  readonly failures: readonly string[];
}

export interface RoundResult extends CellResult {
  readonly round: number;
}

interface Target {
  readonly server: ServerName;
  readonly batch: number;
  readonly against: ServerName;
  readonly atLeast: number;
}

const TARGETS: readonly Target[] = [
  { server: 'written', batch: 1, against: 'bare', atLeast: 0.75 },
  { server: 'synced', batch: 1, against: 'bare', atLeast: 0.6 },
  { server: 'written', batch: 100, against: 'fastify', atLeast: 4 },
  { server: 'synced', batch: 100, against: 'fastify', atLeast: 4 },
  { server: 'written', batch: 1_000, against: 'fastify', atLeast: 4 },
  { server: 'synced', batch: 1_000, against: 'fastify', atLeast: 4 },
];

interface RatioResult extends Target {
  readonly ratio: Range;
  readonly met: boolean;
}

const cellsOf = (results: readonly RoundResult[], server: ServerName, batch: number): RoundResult[] =>
  results.filter((result) => result.server === server && result.batch === batch);

/** Ratios of metrics per CPU second, each within one round; without the targets whose cells were not measured. */
function ratiosOf(results: readonly RoundResult[]): RatioResult[] {
  return TARGETS.flatMap((target) => {
    const { server, against, batch, atLeast } = target;
    const own = cellsOf(results, server, batch);
    const ratios = ratiosWithinRounds(own, cellsOf(results, against, batch), (c) => c.metricsPerCpuSecond);
    if (ratios.length === 0) return [];
    const ratio = rangeOf(ratios);
    return [{ ...target, ratio, met: ratio.median >= atLeast }];
  });
}

interface Row extends CellRow<CellResult> {
  readonly server: ServerName;
}

const figure = columnsOver<CellResult>();

const COLUMNS: readonly Column<Row>[] = [
  ['server', ({ server }) => SERVER_LABELS[server]],
  figure('metrics/CPU s (thousand)', (cell) => cell.metricsPerCpuSecond, thousands),
  figure('spread', (cell) => cell.metricsPerCpuSecond, thousands, minToMax),
  figure('requests/CPU s (thousand)', (cell) => cell.requestsPerCpuSecond, thousands),
  figure('CPU s/million metrics', (cell) => 1e6 / cell.metricsPerCpuSecond),
  figure('requests/s (thousand)', (cell) => cell.requestsPerSecond, thousands),
  figure('p50 ms', (cell) => cell.p50Ms, formatMs),
  figure('p99 ms', (cell) => cell.p99Ms, formatMs),
  figure('RSS MiB', (cell) => cell.residentBytes, mebibytes),
  figure('peak MiB', (cell) => cell.peakBytes, mebibytes, most),
  figure('refused, at most', (cell) => cell.refused / (cell.accepted + cell.refused), percent, most),
];

const RATIO_COLUMNS: readonly Column<RatioResult>[] = [
  ['server', ({ server }) => SERVER_LABELS[server]],
  ['metrics a request', ({ batch }) => whole(batch)],
  ['against', ({ against }) => SERVER_LABELS[against]],
  ['ratio', ({ ratio }) => `${ratio.median.toFixed(2)}×`],
  ['spread', ({ ratio }) => `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`],
  ['target', ({ atLeast }) => `≥ ${atLeast}`],
  ['', ({ met }) => (met ? 'met' : 'MISSED')],
];

export function serverBlocks(run: ServerRun): Record<string, string> {
  const { rounds, seconds, connections, workloads, results } = run;
  const bodies = workloads.map(({ batch, meanBodyBytes, digest }) => [
    `bodies of ${whole(batch)}`,
    `${whole(meanBodyBytes)} bytes, digest ${digest}`,
  ]);
  const tables = workloads.map(({ batch }) => {
    const rows = SERVERS.map((server) => ({ server, cells: cellsOf(results, server, batch) }));
    const measured = rows.filter(({ cells }) => cells.length > 0);
    return [`batch-${batch}`, tableOf(COLUMNS, measured)] as const;
  });
  const filled = [...tables, ['ratios', tableOf(RATIO_COLUMNS, ratiosOf(results))] as const].filter(
    ([, { rows }]) => rows.length > 0,
  );
  const settings = { rounds, 'seconds a load': seconds, connections };
  return {
    origin: originTable(run, { ...settings, ...Object.fromEntries(bodies) }),
    ...markdownTables(Object.fromEntries(filled)),
  };
}
