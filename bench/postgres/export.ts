/**
 * The whole way from a log to committed rows: `metricsstream export --once`, over layouts, ranges and commit modes.
 *
 *     node dist/bench/postgres/export.js --url postgres://user@host/empty_database
 *
 * Creates and drops the tables of metricsstream in that database. CPU is that of the exporter's process without its
 * start, and that of the database's backends if they run on this machine. Every run is verified by the count of its rows.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { textTable } from '../../load-test/format.ts';
import { US_PER_SECOND } from '../../src/base/units.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import type { PostgresOptions } from '../../src/export/postgres/options.ts';
import type { Layout } from '../../src/export/postgres/schema.ts';
import { roundsOr } from '../harness/options.ts';
import { withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { rangeOf } from '../statistics.ts';
import { run } from '../under-test/command.ts';
import { childrenCpuSeconds } from '../under-test/usage.ts';
import { dropTables, withDatabase } from './database.ts';
import { writeLog } from './log.ts';

const LINES = Number(process.env.BENCH_LINES ?? 1_000_000);
const ROUNDS = roundsOr(3);

interface Case {
  readonly layout: Layout;
  readonly range: string;
  readonly commit: 'on' | 'off';
}

const CASES: readonly Case[] = [
  { layout: 'series', range: '64k', commit: 'on' },
  { layout: 'series', range: '1m', commit: 'on' },
  { layout: 'series', range: '4m', commit: 'on' },
  { layout: 'series', range: '8m', commit: 'on' },
  { layout: 'series', range: '16m', commit: 'on' },
  { layout: 'series', range: '4m', commit: 'off' },
  { layout: 'flat', range: '4m', commit: 'on' },
];

interface Cell {
  readonly rowsPerSecond: number;
  readonly exporterUs: number;
  readonly serverUs: number;
  readonly peakMiB: number;
}

class Bench {
  private readonly url: string;
  private readonly dataDir: string;
  private readonly client: pg.Client;
  private postmaster = 0;

  constructor(url: string, dataDir: string) {
    this.url = url;
    this.dataDir = dataDir;
    this.client = new pg.Client({ connectionString: url });
  }

  async start(): Promise<void> {
    await this.client.connect();
    const { rows } = await this.client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const status = fs.readFileSync(`/proc/${rows[0]?.pid}/status`, 'utf8');
    this.postmaster = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
  }

  async measure({ layout, range, commit }: Case): Promise<Cell> {
    const { url, dataDir, client, postmaster } = this;
    await dropTables(client);
    await client.query('CHECKPOINT');
    await initTables(new URL(url), { ...OPTIONS, layout });
    const args = ['export', '--once', '--log-level', 'error', '--to', url, '--data-dir', dataDir];
    args.push('--range-bytes', range, '--synchronous-commit', commit);
    const before = childrenCpuSeconds(postmaster);
    const shipped = await run(args);
    const serverUs = (childrenCpuSeconds(postmaster) - before) * US_PER_SECOND;
    const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM ms_metrics');
    assert.equal(Number(rows[0]?.count), LINES, 'every line is a row');
    const idle = await run(args);
    const rowsPerSecond = LINES / (shipped.seconds - idle.seconds);
    const exporterUs = (shipped.us - idle.us) / LINES;
    return { rowsPerSecond, exporterUs, serverUs: serverUs / LINES, peakMiB: shipped.peakMiB };
  }

  async end(): Promise<void> {
    await this.client.end();
  }
}

const OPTIONS: PostgresOptions = {
  layout: null,
  pool: 2,
  connectTimeoutMs: 5_000,
  statementTimeoutMs: 60_000,
  synchronousCommit: 'on',
  seriesCache: 8,
  seriesPerName: 0,
  partitionDays: 1,
  retentionMs: 0,
  ledgerAgeMs: 0,
};

async function main(url: string): Promise<void> {
  const dataDir = fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-bench-'));
  try {
    writeLog(dataDir, { lines: LINES, linesPerCommit: 500, startMs: Date.now() - 3_600_000 });
    const bench = new Bench(url, dataDir);
    await bench.start();
    const cells = CASES.map((): Cell[] => []);
    for (let round = 0; round < ROUNDS; round++)
      for (const [index, one] of CASES.entries()) cells[index]!.push(await bench.measure(one));
    await bench.end();
    const show = (index: number, pick: (cell: Cell) => number): string =>
      withRange(rangeOf(cells[index]!.map(pick)));
    const rows = CASES.map(({ layout, range, commit }, index) => [
      ...[layout, range, commit, show(index, ({ rowsPerSecond }) => rowsPerSecond)],
      ...[show(index, ({ exporterUs }) => exporterUs), show(index, ({ serverUs }) => serverUs)],
      show(index, ({ peakMiB }) => peakMiB),
    ]);
    console.log(`${machine()}; ${LINES} lines, ${ROUNDS} rounds in turns`);
    console.log(
      textTable([
        ['layout', 'range', 'synchronous commit', 'rows/s', 'exporter µs/row', 'server µs/row', 'peak MiB'],
        ...rows,
      ]),
    );
  } finally {
    fs.rmSync(dataDir, { recursive: true });
  }
}

await withDatabase(main);
