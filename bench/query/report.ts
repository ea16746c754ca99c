/** Writes the figures as JSON, and as the tables of docs/results/query.md. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { originOf, originTable } from '../report/origin.ts';
import { markdownTable } from '../report/table.ts';

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

const ms = (value: number): string => Math.round(value).toLocaleString('en');

/** Median and range. */
function rangeText(costs: readonly Cost[], pick: (cost: Cost) => number): string {
  const sorted = costs.map(pick).sort((a, b) => a - b);
  return `${ms(sorted[sorted.length >> 1]!)} (${ms(sorted[0]!)}–${ms(sorted.at(-1)!)})`;
}

function costCells({ cold, warm }: Costs): string[] {
  return [ms(cold.wallMs), rangeText(warm, ({ wallMs }) => wallMs), rangeText(warm, ({ cpuMs }) => cpuMs)];
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

/** The form in which our metrics are stored decides the name of the files. */
export function writeReport(directory: string, figures: Figures): void {
  const { metrics, bytes, rows } = figures;
  const form = bytes.segments > bytes.archive ? 'segments' : 'archive';
  const origin = originOf('npm run bench:query');
  const table = markdownTable({
    head: HEAD,
    rows: rows.map(({ title, labels, ours, theirs }) => [
      title,
      labels.toLocaleString('en'),
      ...costCells(ours),
      ...costCells(theirs),
    ]),
  });
  const perMetric = (total: number): string => `${(total / metrics).toFixed(2)} bytes per metric`;
  const settings = {
    metrics: metrics.toLocaleString('en'),
    ours:
      form === 'segments' ? `segments, ${perMetric(bytes.segments)}` : `archive, ${perMetric(bytes.archive)}`,
    VictoriaMetrics: perMetric(bytes.victoriaMetrics),
  };
  const name = `query-${form}-${Math.round(metrics / 1e6)}m`;
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify({ ...origin, ...figures }, null, 1)}\n`);
  console.log(`${originTable(origin, settings)}\n\n${table}\n`);
}
