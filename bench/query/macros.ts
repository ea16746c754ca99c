/** The CPU time of each macro, which groups by the text of tags, and of the same question with the tags themselves. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openDuckDB, sqlText } from '../../src/duckdb/duckdb.ts';
import { MACROS } from '../../src/query/macros.ts';
import { whole } from '../report/numbers.ts';
import { markdownTable } from '../report/table.ts';
import { rangeOf } from '../statistics.ts';
import { PAIRS } from './plain-questions.ts';

const ROUNDS = 5;
const SAMPLES_PER_SERIES = 250;
const LIMITS = { maxMemoryBytes: 2 ** 30, threads: 2, spillDirectory: '', spillBytes: 0 };

/** Rows as the archive has them: by series, then by time. Whole values, so that sums are equal in any order. */
function samplesSql(metrics: number): string {
  return `
    SELECT TIMESTAMP '2026-01-01' + to_milliseconds((row % ${SAMPLES_PER_SERIES}) * 10_000) AS time,
           chr(97 + (series % 4)::INTEGER) AS name, 'counter' AS type,
           MAP {'host': 'host-' || series // 4, 'region': ['eu', 'us', 'ap'][1 + series % 3]} AS tags,
           (row * 7_919 % 1_000)::DOUBLE AS value
    FROM (SELECT row, row // ${SAMPLES_PER_SERIES} AS series FROM range(${metrics}) AS rows(row))
    ORDER BY name, series, row`;
}

/** Prints the table; throws if two answers differ. */
export async function measureMacros(directory: string, metrics: number): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const file = sqlText(join(directory, 'macros.parquet'));
  const connection = await openDuckDB(LIMITS);
  await connection.run(`COPY (${samplesSql(metrics)}) TO ${file} (FORMAT parquet, COMPRESSION zstd)`);
  await connection.run(`CREATE VIEW metrics AS SELECT * FROM read_parquet(${file})`);
  for (const { sql } of MACROS) await connection.run(sql);
  const ask = async (question: string) => {
    const before = process.cpuUsage();
    const sum = `SELECT count(*), bit_xor(hash(answer)) FROM (${question}) AS answer`;
    const rows = JSON.stringify((await connection.runAndReadAll(sum)).getRowsJson());
    const { user, system } = process.cpuUsage(before);
    return { rows, cpuMs: (user + system) / 1_000 };
  };
  const rows = [];
  for (const [name, [macro, plain]] of Object.entries(PAIRS)) {
    const cpuMs: Record<'macro' | 'plain', number[]> = { macro: [], plain: [] };
    for (let round = 0; round < ROUNDS; round++) {
      const [text, map] = [await ask(macro), await ask(plain)];
      if (text.rows !== map.rows) throw new Error(`${name}: ${text.rows} and ${map.rows}`);
      cpuMs.macro.push(text.cpuMs);
      cpuMs.plain.push(map.cpuMs);
    }
    const [text, map] = [rangeOf(cpuMs.macro), rangeOf(cpuMs.plain)];
    const shown = ({ median, min, max }: typeof text) => `${whole(median)} (${whole(min)}–${whole(max)})`;
    rows.push([name, shown(map), shown(text), `${(text.median / map.median).toFixed(2)}×`]);
  }
  console.log(markdownTable({ head: ['macro', 'by tags, CPU ms', 'by their text, CPU ms', 'ratio'], rows }));
}
