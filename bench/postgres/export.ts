/**
 * The whole way from a log to committed rows: `metricsstream export --once`, over layouts, ranges and commit modes.
 *
 *     node dist/bench/postgres/export.js --url postgres://user@host/empty_database
 *
 * Creates and drops the tables of metricsstream in that database. CPU is that of the exporter's process without its
 * start, and that of the database's backends if they run on this machine. Every run is verified by the count of its rows.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { textTable } from '../../load-test/format.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import type { PostgresOptions } from '../../src/export/postgres/options.ts';
import type { Layout } from '../../src/export/postgres/schema.ts';
import { roundsOr } from '../harness/options.ts';
import { withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { rangeOf } from '../statistics.ts';
import { writeLog } from './log.ts';

const LINES = Number(process.env.BENCH_LINES ?? 1_000_000);
const ROUNDS = roundsOr(3);
const US_PER_TICK = 10_000;
/** Of /proc/PID/stat behind the name: own time, and that of children that have ended. */
const UTIME = 11;
const CHILDREN_UTIME = 13;
const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));

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

function ticks(pid: number, field: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[field]) + Number(fields[field + 1]);
}

const KIB_PER_MIB = 1_024;

function peakMiBOf(pid: number): number {
  const [, kib = '0'] = /^VmHWM:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / KIB_PER_MIB;
}

interface Usage {
  /** CPU. */
  readonly us: number;
  readonly seconds: number;
  /** Resident. */
  readonly peakMiB: number;
}

/** Runs the exporter to its end. */
async function runExporter(args: readonly string[]): Promise<Usage> {
  const startMs = performance.now();
  const child = spawn(process.execPath, [MAIN, 'export', '--once', '--log-level', 'error', ...args], {
    stdio: 'inherit',
  });
  let [us, peakMiB] = [0, 0];
  const timer = setInterval(() => {
    try {
      us = ticks(child.pid!, UTIME) * US_PER_TICK;
      peakMiB = Math.max(peakMiB, peakMiBOf(child.pid!));
    } catch {
      // It has ended.
    }
  }, 20);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearInterval(timer);
  assert.equal(code, 0, 'export succeeded');
  return { us, peakMiB, seconds: (performance.now() - startMs) / 1_000 };
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
    await client.query('DROP VIEW IF EXISTS ms_metrics');
    await client.query(
      'DROP TABLE IF EXISTS ms_schema, ms_cursor, ms_applied, ms_quarantine, ms_series, ms_sample, ms_flat CASCADE',
    );
    await client.query('CHECKPOINT');
    await initTables(new URL(url), { ...OPTIONS, layout });
    const args = ['--to', url, '--data-dir', dataDir, '--range-bytes', range, '--synchronous-commit', commit];
    const serverTicks = ticks(postmaster, CHILDREN_UTIME);
    const shipped = await runExporter(args);
    const serverUs = (ticks(postmaster, CHILDREN_UTIME) - serverTicks) * US_PER_TICK;
    const { rows } = await client.query<{ count: string }>('SELECT count(*) FROM ms_metrics');
    assert.equal(Number(rows[0]?.count), LINES, 'every line is a row');
    const idle = await runExporter(args);
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

const at = process.argv.indexOf('--url');
const url = at < 0 ? undefined : process.argv[at + 1];
if (url === undefined) {
  console.error('--url: name an empty database, such as postgres://postgres@127.0.0.1/bench');
  process.exitCode = 2;
} else await main(url);
