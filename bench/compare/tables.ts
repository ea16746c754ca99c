/** The tables of `bench:server`: figures by server and batch size, and ratios beside their targets. */
import { formatMs } from '../../load-test/format.ts';
import { mebibytes, median, minToMax, number, percent, thousands, whole } from '../report/numbers.ts';
import { type Origin, originTable } from '../report/origin.ts';
import { type Column, markdownTable, tableOf } from '../report/table.ts';
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

interface Row {
  readonly server: ServerName;
  readonly cells: readonly CellResult[];
}

const over = ({ cells }: Row, pick: (cell: CellResult) => number): Range => rangeOf(cells.map(pick));

const COLUMNS: readonly Column<Row>[] = [
  ['server', ({ server }) => SERVER_LABELS[server]],
  [
    'metrics/CPU s (thousand)',
    (row) =>
      median(
        over(row, (c) => c.metricsPerCpuSecond),
        thousands,
      ),
  ],
  [
    'spread',
    (row) =>
      minToMax(
        over(row, (c) => c.metricsPerCpuSecond),
        thousands,
      ),
  ],
  [
    'requests/CPU s (thousand)',
    (row) =>
      median(
        over(row, (c) => c.requestsPerCpuSecond),
        thousands,
      ),
  ],
  ['CPU s/million metrics', (row) => number(1e6 / over(row, (c) => c.metricsPerCpuSecond).median)],
  [
    'requests/s (thousand)',
    (row) =>
      median(
        over(row, (c) => c.requestsPerSecond),
        thousands,
      ),
  ],
  [
    'p50 ms',
    (row) =>
      median(
        over(row, (c) => c.p50Ms),
        formatMs,
      ),
  ],
  [
    'p99 ms',
    (row) =>
      median(
        over(row, (c) => c.p99Ms),
        formatMs,
      ),
  ],
  [
    'RSS MiB (peak)',
    (row) =>
      `${mebibytes(over(row, (c) => c.residentBytes).median)} (${mebibytes(over(row, (c) => c.peakBytes).max)})`,
  ],
  ['refused, at most', (row) => percent(over(row, (c) => c.refused / (c.accepted + c.refused)).max)],
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
  const { rounds, seconds, connections, workloads, results, failures } = run;
  const blocks: Record<string, string> = {
    origin: originTable(run, {
      rounds,
      'seconds a load': seconds,
      connections,
      ...Object.fromEntries(
        workloads.map(({ batch, meanBodyBytes, digest }) => [
          `bodies of ${whole(batch)}`,
          `${whole(meanBodyBytes)} bytes, digest ${digest}`,
        ]),
      ),
      ...(failures.length > 0 ? { FAILED: failures.join('; ') } : {}),
    }),
  };
  for (const { batch } of workloads) {
    const rows = SERVERS.map((server) => ({ server, cells: cellsOf(results, server, batch) }));
    const measured = rows.filter(({ cells }) => cells.length > 0);
    if (measured.length > 0) blocks[`batch-${batch}`] = markdownTable(tableOf(COLUMNS, measured));
  }
  const ratios = ratiosOf(results);
  if (ratios.length > 0) blocks.ratios = markdownTable(tableOf(RATIO_COLUMNS, ratios));
  return blocks;
}
