/** Writes the figures as JSON, and as the tables of docs/results/query.md. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { whole } from '../report/numbers.ts';
import { originOf, originTable } from '../report/origin.ts';
import { markdownTable } from '../report/table.ts';
import { rangeOf } from '../statistics.ts';

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Costs {
  readonly cold: Cost;
  readonly warm: readonly Cost[];
}

export interface Row {
  readonly title: string;
  /** Labels of the answer. */
  readonly labels: number;
  readonly ours: Costs;
  readonly theirs: Costs;
}

export interface Figures {
  readonly metrics: number;
  readonly bytes: { readonly segments: number; readonly archive: number; readonly victoriaMetrics: number };
  readonly rows: readonly Row[];
}

/** Median and range. */
function rangeText(costs: readonly Cost[], pick: (cost: Cost) => number): string {
  const { median, min, max } = rangeOf(costs.map(pick));
  return `${whole(median)} (${whole(min)}–${whole(max)})`;
}

function costCells({ cold, warm }: Costs): string[] {
  return [whole(cold.wallMs), rangeText(warm, ({ wallMs }) => wallMs), rangeText(warm, ({ cpuMs }) => cpuMs)];
}

const HEAD = [
  'question',
  'labels',
  'ours: cold, ms',
  'warm, ms',
  'CPU, ms',
  'VM: cold, ms',
  'warm, ms',
  'CPU, ms',
];

/** The name of the file says in which form most of our metrics are stored. */
export function writeReport(directory: string, figures: Figures): void {
  const { metrics, bytes, rows } = figures;
  const form = bytes.archive > 0 ? 'archive' : 'segments';
  const origin = originOf('npm run bench:query');
  const table = markdownTable({
    head: HEAD,
    rows: rows.map(({ title, labels, ours, theirs }) => [
      title,
      whole(labels),
      ...costCells(ours),
      ...costCells(theirs),
    ]),
  });
  const settings = {
    metrics: whole(metrics),
    'bytes of the archive': whole(bytes.archive),
    'bytes of segments': whole(bytes.segments),
    'bytes of VictoriaMetrics': whole(bytes.victoriaMetrics),
  };
  const name = `query-${form}-${Math.round(metrics / 1e6)}m`;
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify({ ...origin, ...figures }, null, 1)}\n`);
  console.log(`${originTable(origin, settings)}\n\n${table}\n`);
}
