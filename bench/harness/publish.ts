/** Runs a component benchmark that keeps its results: a terminal's table, or `--report DIR` with JSON, tables and charts. */
import { textTable } from '../../load-test/format.ts';
import { type Report, readRun, writeReport } from '../report/document.ts';
import { type Origin, originOf, originTable } from '../report/origin.ts';
import { markdownTables, type Table } from '../report/table.ts';
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
  /** @returns the number of verified cases in a smoke run; null where `compare` has said so, or `--only` left a part out */
  measure(): Promise<Figures | string | null>;
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
  if (renderOnly) run = readRun({ name }, reportDirectory);
  else {
    const figures = await measure();
    if (typeof figures === 'string') console.log(`${title}: ${figures} verified`);
    if (figures === null || typeof figures === 'string') return;
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
  const report: Report<Origin & Figures> = {
    ...{ name, title, files: charts },
    blocks: (own) => ({
      origin: originTable(own, { rounds, workload: `seed ${seed}, digest ${digest}` }),
      ...markdownTables(tables(own)),
    }),
  };
  writeReport(report, run, reportDirectory);
}
