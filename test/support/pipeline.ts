/** The way from a server through NATS to PostgreSQL, with every process real: for tests of `export` and `consume`. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from './assertions.ts';
import type { Owner } from './clean-up.ts';
import { type NatsServer, startNats } from './nats-server.ts';
import { type Postgres, requirePostgres, startPostgres } from './postgres.ts';
import { runCli, verify } from './server-process.ts';
import { requireTool } from './tools.ts';

/** Each comparison starts two processes. */
const SAME_POLL_MS = 5_000;

/** For node:test's `skip` option. */
export function requirePipeline(): string | false {
  return requireTool('nats-server') || requirePostgres();
}

export interface Pipeline {
  readonly nats: NatsServer & { readonly url: string };
  readonly postgres: Postgres;
  /** Arguments of `consume`, and of `export` for a data directory. */
  readonly consumeArgs: readonly string[];
  exportArgs(dataDir: string): string[];
}

/** NATS with the stream, PostgreSQL with the tables. */
export async function startPipeline(owner: Owner): Promise<Pipeline> {
  const [nats, postgres] = await Promise.all([startNats(owner), startPostgres(owner)]);
  await init(nats.url);
  await init(postgres.url);
  return {
    nats,
    postgres,
    consumeArgs: ['consume', '--from', nats.url, '--to', postgres.url],
    exportArgs: (dataDir) => ['export', '--to', nats.url, '--data-dir', dataDir],
  };
}

/** A database may not answer for seconds: its disk stands still, or the machine is busy. */
export function initArgs(url: string): string[] {
  const patience = url.startsWith('postgres') ? ['--connect-timeout', '180s'] : [];
  return ['export', '--to', url, '--init', ...patience];
}

export async function init(url: string): Promise<void> {
  const { code, stderr } = await runCli(initArgs(url));
  assert.equal(code, 0, stderr);
}

/** Rows in the tables. */
export async function rowCount(postgres: Postgres): Promise<number> {
  const [row] = await postgres.query<{ count: string }>('SELECT count(*) FROM ms_metrics');
  return Number(row!.count);
}

export async function untilRows(postgres: Postgres, count: number): Promise<void> {
  await eventually(`${count} rows`, async () => (await rowCount(postgres)) >= count);
}

/** As `assertSame`, once the consumer has had time to find what the stream would not deliver again. */
export async function untilSame(
  postgres: { readonly url: string },
  dataDir: string,
  timeoutMs: number,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      await assertSame(postgres, dataDir);
      return;
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await delay(SAME_POLL_MS);
    }
  }
}

/** Checks that the tables hold the log of a stopped server exactly: `verify --sink` finds no difference. */
export async function assertSame(postgres: { readonly url: string }, dataDir: string): Promise<void> {
  const own = await verify(dataDir);
  assert.equal(own.code, 0, own.stdout + own.stderr);
  const { code, stdout, stderr } = await runCli([
    ...['verify', '--sink', postgres.url, '--data-dir', dataDir, '--json'],
  ]);
  assert.equal(code, 0, stdout + stderr);
  assert.equal((JSON.parse(stdout) as { notYetShipped: number }).notYetShipped, 0, stdout);
}
