/** Runs a component benchmark that keeps its results: a terminal's table, or `--report DIR` with JSON, tables and charts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { textTable } from '../../load-test/format.ts';
import { writeResults } from '../report/document.ts';
import { type Origin, originOf, originTable } from '../report/origin.ts';
import { markdownTable, type Table } from '../report/table.ts';
import { isWanted, jsonOutput, renderOnly, reportDirectory } from './options.ts';

export interface Measurement {
  readonly rounds: number;
  readonly seed: number;
  /** Of the input bytes: two runs with the same digest measured the same input. */
  readonly digest: string;
}

export interface Component<Figures extends Measurement> {
  readonly title: string;
  /** Of the folder, the files and the marks in the pages. */
  readonly name: string;
  /** @returns null in a smoke run, which has no figures */
  measure(): Promise<Figures | null>;
  /** By the name of their mark. */
  tables(figures: Figures): Readonly<Record<string, Table>>;
  /** SVG by file name. */
  charts(figures: Figures): Readonly<Record<string, string>>;
}

export async function runComponent<Figures extends Measurement>(
  component: Component<Figures>,
): Promise<void> {
  const { title, name, measure, tables, charts } = component;
  if (!isWanted(title)) return;
  let run: Origin & Figures;
  if (renderOnly) {
    if (reportDirectory === undefined) throw new Error('--render needs --report DIR, where the figures are');
    run = JSON.parse(readFileSync(join(reportDirectory, `${name}.json`), 'utf8')) as Origin & Figures;
  } else {
    const figures = await measure();
    if (figures === null) return;
    run = { ...originOf(`npm run bench -- --only=${name}`), ...figures };
  }
  const { machine, rounds, seed, digest } = run;
  if (jsonOutput) console.log(JSON.stringify({ title, ...run }));
  else {
    console.log(
      `\n${title}\n  ${machine}; ${rounds} rounds in turns\n  workload: seed ${seed}, digest ${digest}`,
    );
    for (const { head, rows } of Object.values(tables(run))) {
      console.log(`\n${textTable([head, ...rows]).replace(/^/gm, '  ')}`);
    }
  }
  if (reportDirectory === undefined) return;
  const blocks = Object.entries(tables(run)).map(([mark, table]) => [mark, markdownTable(table)]);
  const origin = originTable(run, { rounds, workload: `seed ${seed}, digest ${digest}` });
  writeResults(reportDirectory, {
    ...{ tool: name, name, title, data: run },
    blocks: { origin, ...Object.fromEntries(blocks) },
    files: charts(run),
  });
}
