/**
 * The way through NATS: rate and CPU of `export` into JetStream, and of `consume` into PostgreSQL over batch sizes, with a
 * kill of the consumer in the middle of each run.
 *
 *     node dist/bench/nats/main.js [--publish | --url postgres://user@host/empty_database]
 *
 * Starts nats-server itself. Without --url it measures `export` alone, and with --publish the stream alone. Every run is
 * verified: by the sequence of the stream, and by the count of the rows. BENCH_LINES sets the lines of the log.
 */
import assert from 'node:assert/strict';
import os from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type pg from 'pg';
import { options, roundsOr } from '../harness/options.ts';
import { takeTurns } from '../harness/turns.ts';
import { countRows, dropTables, withDatabase } from '../postgres/database.ts';
import { writeLog } from '../postgres/log.ts';
import { whole } from '../report/numbers.ts';
import { machine } from '../report/origin.ts';
import { printTable, roundsTable } from '../report/table.ts';
import { type Command, type Ended, run, start } from '../under-test/command.ts';
import { inScratch } from '../under-test/process.ts';
import { publishTable } from './publish.ts';
import { type Nats, withNats } from './servers.ts';

const LINES = Number(process.env.BENCH_LINES ?? 2_000_000);
/** With fewer, the consumer is done before it can be killed at a third. */
const CONSUME_LINES_MIN = 300_000;
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

async function measureExport(dataDir: string, nats: Nats) {
  await emptyStream(nats.url);
  const before = nats.us();
  const shipped = await exportOnce(nats.url, dataDir);
  const serversUs = (nats.us() - before) / LINES;
  assert.equal(await linesIn(nats.url), LINES, 'every line is in the stream');
  const idle = await exportOnce(nats.url, dataDir);
  return {
    perSecond: LINES / (shipped.seconds - idle.seconds),
    exporterUs: (shipped.us - idle.us) / LINES,
    serversUs,
  };
}

async function exportTable(dataDir: string) {
  const measured = new Map<number, Awaited<ReturnType<typeof measureExport>>[]>();
  for (const size of SIZES) {
    const rounds = await withNats(size, (nats) =>
      takeTurns([size], ROUNDS, () => measureExport(dataDir, nats), 0),
    );
    measured.set(size, rounds.get(size)!);
  }
  return roundsTable(
    measured,
    [['servers', String]],
    [
      ['metrics/s', ({ perSecond }) => perSecond],
      ['exporter µs/metric', ({ exporterUs }) => exporterUs],
      ['nats-server µs/metric', ({ serversUs }) => serversUs],
    ],
  );
}

/** Drains the stream with one batch size, and kills the consumer once it has stored a third. */
async function measureConsume(
  url: string,
  natsUrl: string,
  client: pg.Client,
  batch: string,
): Promise<string[]> {
  const rows = () => countRows(client, 'SELECT sum(metrics) AS count FROM ms_applied');
  const args = ['consume', '--from', natsUrl, '--to', url, '--workers', WORKERS, '--batch-bytes', batch];
  args.push('--ack-wait', '2s', '--log-level', 'error');
  const until = async (count: number, consumer: Command): Promise<void> => {
    let isRunning = true;
    void consumer.ended.then(() => (isRunning = false));
    while ((await rows()) < count) {
      assert(isRunning, 'consume ended before its time; its error is above');
      await delay(POLL_MS);
    }
  };
  const first = start(args);
  await until(LINES / 3, first);
  first.kill('SIGKILL');
  await first.ended;
  const atKill = await rows();
  const { num_ack_pending: unacknowledged } = await withManager(natsUrl, ({ consumers }) =>
    consumers.info(STREAM, 'metricsstream'),
  );
  const second = start(args);
  // The start of the process is not part of the rate.
  await until(atKill + 1, second);
  const startMs = performance.now();
  const from = await rows();
  await until(LINES, second);
  const seconds = (performance.now() - startMs) / 1_000;
  second.kill('SIGTERM');
  const { us } = await second.ended;
  const lost = LINES - (await countRows(client));
  const figures = [whole((LINES - from) / seconds), (us / (LINES - atKill)).toFixed(2)];
  return [batch, ...figures, String(unacknowledged), String(lost)];
}

async function consumeTable(url: string, client: pg.Client, dataDir: string, nats: Nats): Promise<void> {
  const rows: string[][] = [];
  for (const batch of BATCHES) {
    await dropTables(client);
    await run(['export', '--to', url, '--init']);
    await emptyStream(nats.url);
    await exportOnce(nats.url, dataDir);
    rows.push(await measureConsume(url, nats.url, client, batch));
    console.error(rows.at(-1)!.join('  '));
  }
  const head = ['--batch-bytes', 'rows/s', 'consumer µs/row', 'messages sent again', 'rows lost'];
  printTable({ head, rows });
}

if (options.url !== undefined && LINES < CONSUME_LINES_MIN) {
  console.error(`BENCH_LINES=${LINES}: give at least ${CONSUME_LINES_MIN} with --url, or leave it out`);
  process.exit(2);
}
await inScratch(os.tmpdir(), async (_directory, dataDir) => {
  writeLog(dataDir, { lines: LINES, linesPerCommit: LINES_PER_COMMIT, startMs: Date.now() - 3_600_000 });
  console.log(`${machine()}; ${LINES} lines, ${ROUNDS} rounds`);
  if (options.publish) printTable(await publishTable(ROUNDS));
  else if (options.url === undefined) printTable(await exportTable(dataDir));
  else await withDatabase((url, client) => withNats(1, (nats) => consumeTable(url, client, dataDir, nats)));
});
