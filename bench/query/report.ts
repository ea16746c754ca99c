/** Writes the figures as JSON, and as the tables of docs/results/query.md. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { whole, withRange } from '../report/numbers.ts';
import { originOf, originTable } from '../report/origin.ts';
import { type Column, markdownTable, tableOf } from '../report/table.ts';
import { rangeOf } from '../statistics.ts';

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

export interface Costs {
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

const costColumns = (name: string, pick: (row: Row) => Costs): readonly Column<Row>[] => [
  [`${name}: cold, ms`, (row) => whole(pick(row).cold.wallMs)],
  ['warm, ms', (row) => withRange(rangeOf(pick(row).warm.map(({ wallMs }) => wallMs)), whole)],
  ['CPU, ms', (row) => withRange(rangeOf(pick(row).warm.map(({ cpuMs }) => cpuMs)), whole)],
];

const COLUMNS: readonly Column<Row>[] = [
  ['question', ({ title }) => title],
  ['labels', ({ labels }) => whole(labels)],
  ...costColumns('ours', ({ ours }) => ours),
  ...costColumns('VM', ({ theirs }) => theirs),
];

/** The name of the file says in which form most of our metrics are stored. */
export function writeReport(directory: string, figures: Figures): void {
  const { metrics, bytes, rows } = figures;
  const form = bytes.archive > 0 ? 'archive' : 'segments';
  const origin = originOf('npm run bench:query');
  const table = markdownTable(tableOf(COLUMNS, rows));
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
