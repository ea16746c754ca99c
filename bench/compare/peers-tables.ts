/** The tables of `--peers`: standings against the best other server, figures by batch size, and what kills took. */
import { formatMs } from '../../load-test/format.ts';
import { mebibytes, medianAndMax, minToMax, most, percent, thousands, whole } from '../report/numbers.ts';
import { originTable } from '../report/origin.ts';
import {
  type CellRow,
  type Column,
  columnsOver,
  markdownTables,
  type Table,
  tableOf,
} from '../report/table.ts';
import { medianOf, type Range, rangeOf, ratiosWithinRounds, sum } from '../statistics.ts';
import { CONTENDER, CONTENDERS, type ContenderName } from './contenders.ts';
import type { KillResult } from './kill.ts';
import type { PeerCellResult, PeerRound } from './peer-cell.ts';
import type { PeersRun } from './peers.ts';

const OURS = ['written', 'synced'] as const satisfies readonly ContenderName[];
type Ours = (typeof OURS)[number];

const isOurs = (server: ContenderName): boolean => OURS.some((name) => name === server);

function of<T extends { server: ContenderName; batch: number }>(
  all: readonly T[],
  server: ContenderName,
  batch: number,
): T[] {
  return all.filter((result) => result.server === server && result.batch === batch);
}

const seconds = (value: number): string => value.toFixed(value < 0.1 ? 3 : 1);
const bytesPerMetric = ({ diskBytes, kept }: PeerCellResult): number => diskBytes / kept;

/** "all", or how many metrics too few or too many in the worst round. */
export function keptText(cells: readonly PeerCellResult[]): string {
  const off = cells.map(({ kept, keptAtLeast, keptAtMost }) => {
    if (kept < keptAtLeast) return kept - keptAtLeast;
    return Math.max(0, kept - keptAtMost);
  });
  const worst = off.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  if (worst === 0) return 'all';
  return worst < 0 ? `${whole(-worst)} MISSING` : `${whole(worst)} TOO MANY`;
}

export function lossText(kills: readonly KillResult[]): string {
  if (kills.length === 0) return '–';
  const most = Math.max(...kills.map(({ lost }) => lost));
  if (most === 0) return 'none';
  const oldest = Math.max(...kills.map(({ lostSeconds }) => lostSeconds));
  return `up to ${whole(most)}, the last ${seconds(oldest)} s`;
}

type Cells = PeersRun['cells'];

const perCpuSecond = ({ metricsPerCpuSecond }: PeerRound): number => metricsPerCpuSecond;

/** Metrics per CPU second of ours against another, within each round. */
function ratioOf(cells: Cells, ours: Ours, server: ContenderName, batch: number): Range | undefined {
  const ratios = ratiosWithinRounds(of(cells, ours, batch), of(cells, server, batch), perCpuSecond);
  return ratios.length === 0 || ours === server ? undefined : rangeOf(ratios);
}

/** One server at one batch size. */
interface Row extends CellRow<PeerRound> {
  readonly server: ContenderName;
  readonly kills: readonly KillResult[];
  ratio(ours: Ours): Range | undefined;
}

const figure = columnsOver<PeerRound>();

function ratioText(row: Row, ours: Ours): string {
  const ratio = row.ratio(ours);
  if (ratio === undefined) return '–';
  return `${ratio.median.toFixed(2)}× (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
}

const COLUMNS: readonly Column<Row>[] = [
  ['server', ({ server }) => CONTENDER[server].label],
  figure('metrics/CPU s (thousand)', perCpuSecond, thousands),
  figure('spread', perCpuSecond, thousands, minToMax),
  ['written ÷ it', (row) => ratioText(row, 'written')],
  ['synced ÷ it', (row) => ratioText(row, 'synced')],
  figure('metrics/s (thousand)', (cell) => cell.metricsPerSecond, thousands),
  figure('p50 ms', (cell) => cell.p50Ms, formatMs),
  figure('p99 ms', (cell) => cell.p99Ms, formatMs),
  figure('p99.9 ms', (cell) => cell.p999Ms, formatMs),
  figure('RSS MiB', (cell) => cell.residentBytes, mebibytes),
  figure('peak MiB', (cell) => cell.peakBytes, mebibytes, most),
  figure('disk bytes/metric', bytesPerMetric),
  ['requests failed', ({ cells }) => whole(sum(cells.map(({ failedRequests }) => failedRequests)))],
  ['kept', ({ cells }) => keptText(cells)],
  ['lost after kill -9', ({ kills }) => lossText(kills)],
];

function rowsOf({ cells, kills }: PeersRun, servers: readonly ContenderName[], batch: number): Row[] {
  const rows = servers.map((server): Row => {
    const own = of(cells, server, batch);
    const ratio = (ours: Ours) => ratioOf(cells, ours, server, batch);
    return { server, cells: own, kills: of(kills, server, batch), ratio };
  });
  return rows.filter((row) => row.cells.length > 0);
}

/** The inputs of VictoriaMetrics, and how many times its best one ours should reach under `synced`. */
const INPUTS = ['vm-json', 'vm-influx', 'vm-prometheus'] as const satisfies readonly ContenderName[];
const TARGETS = [
  { batch: 1, atLeast: 1.6 },
  { batch: 100, atLeast: 3 },
  { batch: 1_000, atLeast: 4 },
] as const;

/** Without the batch sizes at which one of the two was not measured. */
function targetsTable(cells: Cells): Table {
  const rows = TARGETS.flatMap(({ batch, atLeast }) => {
    const medianAt = (input: ContenderName): number => medianOf(of(cells, input, batch).map(perCpuSecond));
    const inputs = INPUTS.filter((input) => of(cells, input, batch).length > 0);
    const [best] = inputs.sort((a, b) => medianAt(b) - medianAt(a));
    const ratio = best && ratioOf(cells, 'synced', best, batch);
    if (!ratio) return [];
    const spread = `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`;
    const verdict = ratio.median >= atLeast ? 'met' : 'MISSED';
    const median = `${ratio.median.toFixed(2)}×`;
    return [[whole(batch), CONTENDER[best].label, median, spread, `≥ ${atLeast}`, verdict]];
  });
  return { head: ['metrics a request', 'best input', 'synced ÷ it', 'spread', 'target', ''], rows };
}

interface Figure {
  readonly title: string;
  readonly better: 'more' | 'less';
  value(run: PeersRun, server: ContenderName, batch: number): number;
  text(value: number): string;
}

function cellFigure(
  title: string,
  better: Figure['better'],
  pick: (cell: PeerRound) => number,
  text: (value: number) => string,
): Figure {
  return {
    title,
    better,
    text,
    value: ({ cells }, server, batch) => medianOf(of(cells, server, batch).map(pick)),
  };
}

const FIGURES: readonly Figure[] = [
  cellFigure('thousand metrics per CPU second', 'more', perCpuSecond, thousands),
  cellFigure('p50 ms', 'less', (cell) => cell.p50Ms, formatMs),
  cellFigure('p99 ms', 'less', (cell) => cell.p99Ms, formatMs),
  cellFigure('p99.9 ms', 'less', (cell) => cell.p999Ms, formatMs),
  cellFigure('resident MiB', 'less', (cell) => cell.residentBytes, mebibytes),
  cellFigure('bytes on disk per metric', 'less', bytesPerMetric, (value) => value.toFixed(1)),
  {
    title: 'acknowledged metrics lost after a kill, at most',
    better: 'less',
    value: ({ kills }, server, batch) => Math.max(...of(kills, server, batch).map(({ lost }) => lost)),
    text: whole,
  },
];

interface Standing {
  readonly isBehind: boolean;
  readonly cells: readonly string[];
}

/** One figure at one batch size: MetricsStream under both acknowledgements beside the best of the others. */
function standing(run: PeersRun, figure: Figure, batch: number): Standing | undefined {
  const value = (server: ContenderName) => figure.value(run, server, batch);
  const isBetter = (a: number, b: number) => (figure.better === 'more' ? a > b : a < b);
  const others = CONTENDERS.filter((server) => !isOurs(server) && Number.isFinite(value(server)));
  const [first, ...rest] = others;
  if (first === undefined || !OURS.every((server) => Number.isFinite(value(server)))) return undefined;
  const best = rest.reduce((a, b) => (isBetter(value(b), value(a)) ? b : a), first);
  const factor = (server: ContenderName): string => {
    const [a, b] = [value(server), value(best)];
    if (Math.min(a, b) === 0) return '';
    const ratio = Math.max(a, b) / Math.min(a, b);
    return ` (${ratio.toFixed(ratio < 2 ? 2 : 1)}× ${isBetter(b, a) ? 'worse' : 'better'})`;
  };
  return {
    isBehind: OURS.some((server) => isBetter(value(best), value(server))),
    cells: [
      String(batch),
      figure.title,
      CONTENDER[best].label,
      figure.text(value(best)),
      ...OURS.map((server) => `${figure.text(value(server))}${factor(server)}`),
    ],
  };
}

function standingsTable(run: PeersRun, isBehind: boolean): Table {
  const all = FIGURES.flatMap((figure) =>
    run.workloads.flatMap(({ batch }) => standing(run, figure, batch) ?? []),
  );
  return {
    head: ['metrics a request', 'figure', 'best of the others', 'its', 'written', 'synced'],
    rows: all.filter((one) => one.isBehind === isBehind).map(({ cells }) => cells),
  };
}

const KILL_COLUMNS: readonly Column<Row & { readonly batch: number }>[] = [
  ['server', ({ server }) => CONTENDER[server].label],
  ['metrics a request', ({ batch }) => whole(batch)],
  ['killed after s', ({ kills }) => kills.map((kill) => kill.seconds.toFixed(1)).join(', ')],
  ['acknowledged', ({ kills }) => whole(sum(kills.map(({ acknowledged }) => acknowledged)))],
  ['lost', ({ kills }) => whole(sum(kills.map(({ lost }) => lost)))],
  [
    'the last … s lost',
    ({ kills }) => kills.map(({ lost, lostSeconds }) => (lost > 0 ? seconds(lostSeconds) : '–')).join(', '),
  ],
  ['requests kept in part', ({ kills }) => whole(sum(kills.map(({ torn }) => torn)))],
  [
    'restart s, at most',
    ({ kills }) => seconds(Math.max(...kills.map(({ restartSeconds }) => restartSeconds))),
  ],
];

/** Deferred work, and whether wrk was the limit. */
const EFFORT_COLUMNS: readonly Column<CellRow<PeerRound> & { readonly server: ContenderName }>[] = [
  ['server', ({ server }) => CONTENDER[server].label],
  ['quiet for s', ({ server }) => (CONTENDER[server].quietMs / 1e3).toFixed(0)],
  figure('worked on for s, at most', (cell) => cell.deferredSeconds, seconds, most),
  figure(
    'share of its CPU time (at most)',
    (cell) => cell.deferredCpuSeconds / cell.cpuSeconds,
    percent,
    medianAndMax,
  ),
  figure('wrk busy, at most', (cell) => cell.wrkBusy, percent, most),
];

export function peersBlocks(run: PeersRun): Record<string, string> {
  const { cells, kills, workloads } = run;
  const servers = CONTENDERS.filter((name) => cells.some(({ server }) => server === name));
  const bySize = workloads.map(({ batch }) => ({ batch, rows: rowsOf(run, servers, batch) }));
  const killed = bySize.flatMap(({ batch, rows }) => rows.map((row) => ({ ...row, batch })));
  const workloadText = ({ series, digest, bodyBytes }: (typeof workloads)[number]): string => {
    const bytes = Object.entries(bodyBytes).map(([title, value]) => `${title} ${whole(value)}`);
    return `${whole(series)} series, digest ${digest}; mean body in bytes: ${bytes.join(', ')}`;
  };
  const tables: Record<string, Table> = {
    targets: targetsTable(cells),
    behind: standingsTable(run, true),
    ahead: standingsTable(run, false),
    ...Object.fromEntries(bySize.map(({ batch, rows }) => [`batch-${batch}`, tableOf(COLUMNS, rows)])),
    acknowledgements: {
      head: ['server', 'an ack means', 'lost after kill -9, any batch size'],
      rows: servers.map((server) => [
        CONTENDER[server].label,
        CONTENDER[server].acknowledgement,
        lossText(kills.filter((kill) => kill.server === server)),
      ]),
    },
    kills: tableOf(
      KILL_COLUMNS,
      killed.filter((row) => row.kills.length > 0),
    ),
    effort: tableOf(
      EFFORT_COLUMNS,
      servers.map((server) => ({ server, cells: cells.filter((cell) => cell.server === server) })),
    ),
  };
  return {
    origin: originTable(run, {
      peers: run.versions.join(', '),
      rounds: run.rounds,
      'seconds a load': run.seconds,
      connections: run.connections,
      ...Object.fromEntries(workloads.map((load) => [`bodies of ${whole(load.batch)}`, workloadText(load)])),
    }),
    ...markdownTables(tables),
  };
}
