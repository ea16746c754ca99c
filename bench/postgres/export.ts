/**
 * The whole way from a log to committed rows: `metricsstream export --once`, over layouts, ranges and commit modes.
 *
 *     node dist/bench/postgres/export.js --url postgres://user@host/empty_database
 *
 * Creates and drops the tables of metricsstream in that database. CPU is that of the exporter's process without its
 * start, and that of the database's backends if they run on this machine. Every run is verified by the count of its rows.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import type pg from 'pg';
import { US_PER_SECOND } from '../../src/base/units.ts';
import { roundsOr } from '../harness/options.ts';
import { takeTurns } from '../harness/turns.ts';
import { machine } from '../report/origin.ts';
import { printTable, roundsTable } from '../report/table.ts';
import { run } from '../under-test/command.ts';
import { inScratch } from '../under-test/process.ts';
import { childrenCpuSeconds } from '../under-test/usage.ts';
import { countRows, dropTables, withDatabase } from './database.ts';
import { writeLog } from './log.ts';

const LINES = Number(process.env.BENCH_LINES ?? 1_000_000);
const ROUNDS = roundsOr(3);

const SERIES_RANGES = ['64k', '1m', '4m', '8m', '16m'];
const CASES = [
  ...SERIES_RANGES.map((range) => ({ layout: 'series', range, commit: 'on' })),
  { layout: 'series', range: '4m', commit: 'off' },
  { layout: 'flat', range: '4m', commit: 'on' },
];

/** The parent of all backends, to which the CPU of those that have ended is charged. */
async function postmasterOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${rows[0]?.pid}/status`, 'utf8'))?.[1]);
}

await withDatabase((url, client) =>
  inScratch(os.tmpdir(), async (_directory, dataDir) => {
    writeLog(dataDir, { lines: LINES, linesPerCommit: 500, startMs: Date.now() - 3_600_000 });
    const postmaster = await postmasterOf(client);
    const measure = async ({ layout, range, commit }: (typeof CASES)[number]) => {
      await dropTables(client);
      await client.query('CHECKPOINT');
      await run(['export', '--to', url, '--init', '--layout', layout]);
      const args = ['export', '--once', '--log-level', 'error', '--to', url, '--data-dir', dataDir];
      args.push('--range-bytes', range, '--synchronous-commit', commit);
      const before = childrenCpuSeconds(postmaster);
      const shipped = await run(args);
      const serverUs = (childrenCpuSeconds(postmaster) - before) * US_PER_SECOND;
      assert.equal(await countRows(client), LINES, 'every line is a row');
      const idle = await run(args);
      return {
        rowsPerSecond: LINES / (shipped.seconds - idle.seconds),
        exporterUs: (shipped.us - idle.us) / LINES,
        serverUs: serverUs / LINES,
        peakMiB: shipped.peakMiB,
      };
    };
    const measured = await takeTurns(CASES, ROUNDS, measure, 0);
    console.log(`${machine()}; ${LINES} lines, ${ROUNDS} rounds in turns`);
    printTable(
      roundsTable(
        measured,
        [
          ['layout', ({ layout }) => layout],
          ['range', ({ range }) => range],
          ['synchronous commit', ({ commit }) => commit],
        ],
        [
          ['rows/s', ({ rowsPerSecond }) => rowsPerSecond],
          ['exporter µs/row', ({ exporterUs }) => exporterUs],
          ['server µs/row', ({ serverUs }) => serverUs],
          ['peak MiB', ({ peakMiB }) => peakMiB],
        ],
      ),
    );
  }),
);
