/**
 * Ways to insert metrics into PostgreSQL, from parsed rows to committed ones, side by side on one connection.
 *
 *     node dist/bench/postgres/main.js --url postgres://user@host/empty_database [--report docs/results]
 *
 * Creates and drops tables named bench_… in that database. Rounds of all methods take turns; the rows of every round are
 * counted. Server CPU is that of the backend, if the database runs on this machine.
 */
import assert from 'node:assert/strict';
import type pg from 'pg';
import { US_PER_SECOND } from '../../src/base/units.ts';
import { Rows } from '../../src/export/postgres/rows.ts';
import { options, roundsOr } from '../harness/options.ts';
import { takeTurns } from '../harness/turns.ts';
import { writeReport } from '../report/document.ts';
import { originOf, originTable } from '../report/origin.ts';
import { markdownTable, printTable, roundsTable } from '../report/table.ts';
import { cpuSeconds } from '../under-test/usage.ts';
import { countRows, withDatabase } from './database.ts';
import { METHODS, type Method, TABLES } from './methods.ts';

const COMMAND = 'node dist/bench/postgres/main.js --url … --report docs/results';
const ROWS = 50_000;
const SERIES = 1_000;
const BATCHES = 4;
const ROUNDS = roundsOr(5);

interface Cell {
  readonly rowsPerSecond: number;
  readonly clientUs: number;
  /** NaN for a database on another machine. */
  readonly serverUs: number;
}

/** The same rows for every method: a thousand series, one value a millisecond. */
function rowsOf(batch: number): Rows {
  const rows = new Rows(ROWS);
  for (let row = 0; row < ROWS; row++) {
    rows.times[row] = 1_700_000_000_000 + batch * 1_000 + (row >> 6);
    rows.series[row] = 1 + ((row * 7) % SERIES);
    rows.values[row] = ((row * 2_654_435_761 + batch) % 100_000) / 100;
  }
  rows.count = ROWS;
  return rows;
}

/** CPU of a process so far in µs; NaN if it is not on this machine. */
function cpuUs(pid: number): number {
  try {
    return cpuSeconds(pid) * US_PER_SECOND;
  } catch {
    return Number.NaN;
  }
}

async function measure(client: pg.Client, pid: number, method: Method): Promise<Cell> {
  await client.query(TABLES);
  const batches = Array.from({ length: BATCHES }, (_, index) => ({
    number: index + 1,
    rows: rowsOf(index + 1),
  }));
  const startMs = performance.now();
  const own = process.cpuUsage();
  const server = cpuUs(pid);
  for (const batch of batches) await method.insert(client, batch);
  const serverUs = cpuUs(pid) - server;
  const { user, system } = process.cpuUsage(own);
  const seconds = (performance.now() - startMs) / 1_000;
  const rows = BATCHES * ROWS;
  const table = method.table === 'plain' ? 'bench_plain' : 'bench_keyed';
  const counted = await countRows(client, `SELECT count(*) AS count FROM ${table}`);
  assert.equal(counted, rows, `${method.name} stored every row`);
  return { rowsPerSecond: rows / seconds, clientUs: (user + system) / rows, serverUs: serverUs / rows };
}

await withDatabase(async (_url, client) => {
  const { rows } = await client.query<{ pid: number; version: string; sync: string }>(
    `SELECT pg_backend_pid() AS pid, current_setting('server_version') AS version, current_setting('fsync') AS sync`,
  );
  const { pid = 0, version = '', sync = '' } = rows[0] ?? {};
  const measured = await takeTurns(METHODS, ROUNDS, (method) => measure(client, pid, method));
  await client.query('DROP TABLE bench_keyed, bench_staged, bench_plain, bench_cursor');
  const table = roundsTable(
    measured,
    [['method', ({ name }) => name]],
    [
      ['rows/s', ({ rowsPerSecond }) => rowsPerSecond],
      ['client µs/row', ({ clientUs }) => clientUs],
      ['server µs/row', ({ serverUs }) => serverUs],
    ],
  );
  printTable(table);
  if (options.report === undefined) return;
  const origin = { ...originOf(''), command: COMMAND };
  const database = `PostgreSQL ${version}, fsync ${sync}, one connection`;
  const rounds = `${ROUNDS} of ${BATCHES} batches of ${ROWS} rows`;
  const results = [...measured].map(([{ name }, cells]) => ({ method: name, cells }));
  const report = {
    ...{ name: 'postgres', title: 'PostgreSQL' },
    blocks: () => ({ origin: originTable(origin, { rounds, database }), methods: markdownTable(table) }),
  };
  writeReport(report, { ...origin, version, sync, results }, options.report);
});
