/** The targets of `--peers`: metrics per CPU second under `synced` against VictoriaMetrics' best input. */
import { whole } from '../report/numbers.ts';
import type { Table } from '../report/table.ts';
import { medianOf, rangeOf, ratiosWithinRounds } from '../statistics.ts';
import { CONTENDER, type ContenderName } from './contenders.ts';
import type { PeerCellResult } from './peer-cell.ts';

const INPUTS = ['vm-json', 'vm-influx', 'vm-prometheus'] as const satisfies readonly ContenderName[];

const TARGETS = [
  { batch: 1, atLeast: 1.6 },
  { batch: 100, atLeast: 3 },
  { batch: 1_000, atLeast: 4 },
] as const;

type PeerRound = PeerCellResult & { readonly round: number };

const perCpuSecond = ({ metricsPerCpuSecond }: PeerRound): number => metricsPerCpuSecond;

/** Without the batch sizes at which one of the two was not measured. */
export function targetsTable(cells: readonly PeerRound[]): Table {
  const cellsOf = (server: ContenderName, batch: number): PeerRound[] =>
    cells.filter((cell) => cell.server === server && cell.batch === batch);
  const rows = TARGETS.flatMap(({ batch, atLeast }) => {
    const inputs = INPUTS.filter((input) => cellsOf(input, batch).length > 0);
    const medians = inputs.map((input) => medianOf(cellsOf(input, batch).map(perCpuSecond)));
    const best = inputs[medians.indexOf(Math.max(...medians))];
    if (best === undefined) return [];
    const ratios = ratiosWithinRounds(cellsOf('synced', batch), cellsOf(best, batch), perCpuSecond);
    if (ratios.length === 0) return [];
    const { median, min, max } = rangeOf(ratios);
    const verdict = median >= atLeast ? 'met' : 'MISSED';
    const spread = `${min.toFixed(2)}–${max.toFixed(2)}`;
    return [[whole(batch), CONTENDER[best].label, `${median.toFixed(2)}×`, spread, `≥ ${atLeast}`, verdict]];
  });
  return { head: ['metrics a request', 'best input', 'synced ÷ it', 'spread', 'target', ''], rows };
}
