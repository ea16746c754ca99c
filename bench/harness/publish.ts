/** Runs a component benchmark that keeps its results: a terminal's table, or `--report DIR` with JSON, tables and charts. */
import { type Report, readRun, writeReport } from '../report/document.ts';
import { type Origin, originOf, originTable } from '../report/origin.ts';
import { markdownTables, printTable, type Table } from '../report/table.ts';
import { isWanted, options } from './options.ts';

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
  if (options.render) run = readRun({ name }, options.report);
  else {
    const figures = await measure();
    if (typeof figures === 'string') console.log(`${title}: ${figures} verified`);
    if (figures === null || typeof figures === 'string') return;
    run = { ...originOf(`npm run bench -- --only=${name}`), ...figures };
  }
  const { machine, rounds, seed, digest } = run;
  console.log(
    `\n${title}\n  ${machine}; ${rounds} rounds in turns\n  workload: seed ${seed}, digest ${digest}\n`,
  );
  for (const table of Object.values(tables(run))) printTable(table);
  if (options.report === undefined) return;
  const report: Report<Origin & Figures> = {
    ...{ name, title, files: charts },
    blocks: (own) => ({
      origin: originTable(own, { rounds, workload: `seed ${seed}, digest ${digest}` }),
      ...markdownTables(tables(own)),
    }),
  };
  writeReport(report, run, options.report);
}
