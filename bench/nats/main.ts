/**
 * The way through NATS: rate and CPU of `export` into JetStream, and of `consume` into PostgreSQL over batch sizes, with a
 * kill of the consumer in the middle of each run.
 *
 *     node dist/bench/nats/main.js [--publish | --url postgres://user@host/empty_database]
 *
 * Starts nats-server itself. Without --url it measures `export` alone, and with --publish the stream alone. Every run is
 * verified: by the sequence of the stream, and by the count of the rows.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { textTable } from '../../load-test/format.ts';
import { argumentOf, roundsOr } from '../harness/options.ts';
import { dropTables } from '../postgres/database.ts';
import { writeLog } from '../postgres/log.ts';
import { whole, withRange } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { rangeOf } from '../statistics.ts';
import { type Ended, run, start } from '../under-test/command.ts';
import { publishTable } from './publish.ts';
import { type Nats, withNats } from './servers.ts';

const LINES = Number(process.env.BENCH_LINES ?? 2_000_000);
const ROUNDS = roundsOr(3);
const LINES_PER_COMMIT = 500;
const STREAM = 'METRICSSTREAM';
const SIZES = [1, 3] as const;
const BATCHES = ['64k', '512k', '2m', '8m'] as const;
const WORKERS = '2';
const POLL_MS = 50;

async function withManager<T>(url: string, work: (manager: JetStreamManager) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: url.slice(7).split(',') });
  try {
    return await work(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

/** Deletes everything that a run left in the stream. */
async function emptyStream(url: string): Promise<void> {
  await withManager(url, async ({ streams }) => {
    for (const name of [STREAM, `${STREAM}_QUARANTINE`]) await streams.delete(name).catch(() => {});
  });
  await run(['export', '--to', url, '--init']);
}

const linesIn = (url: string): Promise<number> =>
  withManager(url, async ({ streams }) => {
    const { state } = await streams.info(STREAM);
    let lines = 0;
    for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
      const message = await streams.getMessage(STREAM, { seq });
      lines += Number(message?.header.get('Ms-Lines') ?? 0);
    }
    return lines;
  });

const exportOnce = (to: string, dataDir: string): Promise<Ended> =>
  run(['export', '--to', to, '--data-dir', dataDir, '--once', '--log-level', 'error']);

async function measureExport(dataDir: string, size: number, nats: Nats): Promise<string[]> {
  const [rates, exporter, servers]: number[][] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    await emptyStream(nats.url);
    const before = nats.us();
    const shipped = await exportOnce(nats.url, dataDir);
    servers!.push((nats.us() - before) / LINES);
    if (round === 0) assert.equal(await linesIn(nats.url), LINES, 'every line is in the stream');
    const idle = await exportOnce(nats.url, dataDir);
    rates!.push(LINES / (shipped.seconds - idle.seconds));
    exporter!.push((shipped.us - idle.us) / LINES);
  }
  return [`${size}`, ...[rates!, exporter!, servers!].map((values) => withRange(rangeOf(values)))];
}

/** Drains the stream with one batch size, and kills the consumer once it has stored a third. */
async function measureConsume(
  url: string,
  natsUrl: string,
  client: pg.Client,
  batch: string,
): Promise<string[]> {
  const rows = async (): Promise<number> => {
    const { rows: found } = await client.query<{ sum: string | null }>('SELECT sum(metrics) FROM ms_applied');
    return Number(found[0]?.sum ?? 0);
  };
  const args = ['consume', '--from', natsUrl, '--to', url, '--workers', WORKERS, '--batch-bytes', batch];
  args.push('--ack-wait', '2s', '--log-level', 'error');
  const until = async (count: number): Promise<void> => {
    while ((await rows()) < count) await delay(POLL_MS);
  };
  const first = start(args);
  await until(LINES / 3);
  first.kill('SIGKILL');
  await first.ended;
  const atKill = await rows();
  const { num_ack_pending: unacknowledged } = await withManager(natsUrl, ({ consumers }) =>
    consumers.info(STREAM, 'metricsstream'),
  );
  const second = start(args);
  // The start of the process is not part of the rate.
  await until(atKill + 1);
  const startMs = performance.now();
  const from = await rows();
  await until(LINES);
  const seconds = (performance.now() - startMs) / 1_000;
  second.kill('SIGTERM');
  const { us } = await second.ended;
  const { rows: counted } = await client.query<{ count: string }>('SELECT count(*) FROM ms_metrics');
  const lost = LINES - Number(counted[0]!.count);
  return [
    ...[batch, whole((LINES - from) / seconds), (us / (LINES - atKill)).toFixed(2)],
    ...[`${unacknowledged}`, `${lost}`],
  ];
}

async function consumeTable(url: string, dataDir: string): Promise<string[][]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const work = async (nats: Nats): Promise<string[][]> => {
    const table: string[][] = [];
    for (const batch of BATCHES) {
      await dropTables(client);
      await run(['export', '--to', url, '--init']);
      await emptyStream(nats.url);
      await exportOnce(nats.url, dataDir);
      const row = await measureConsume(url, nats.url, client, batch);
      console.error(row.join('  '));
      table.push(row);
    }
    return table;
  };
  return withNats(1, work).finally(() => client.end());
}

const url = argumentOf('--url');
const dataDir = fs.mkdtempSync(join(os.tmpdir(), 'metricsstream-bench-'));
try {
  writeLog(dataDir, { lines: LINES, linesPerCommit: LINES_PER_COMMIT, startMs: Date.now() - 3_600_000 });
  console.log(`${machine()}; ${LINES} lines, ${ROUNDS} rounds`);
  if (process.argv.includes('--publish')) console.log(textTable(await publishTable(ROUNDS)));
  else if (url === undefined) {
    const table = [['servers', 'metrics/s', 'exporter µs/metric', 'nats-server µs/metric']];
    for (const size of SIZES) table.push(await withNats(size, (nats) => measureExport(dataDir, size, nats)));
    console.log(textTable(table));
  } else {
    const head = ['--batch-bytes', 'rows/s', 'consumer µs/row', 'messages sent again', 'rows lost'];
    console.log(textTable([head, ...(await consumeTable(url, dataDir))]));
  }
} finally {
  fs.rmSync(dataDir, { recursive: true });
}
