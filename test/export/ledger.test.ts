/** `ms_applied` stays small: old ranges become one row, which still tells every commit that the tables hold. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import { before, describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { PostgresApplier } from '../../src/consume/postgres-applier.ts';
import { createPool } from '../../src/export/postgres/connection.ts';
import { mergeLedger } from '../../src/export/postgres/ledger-merge.ts';
import { withClient } from '../../src/export/postgres/row-store.ts';
import type { CommitMessage } from '../../src/nats/message.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { record } from '../support/damage.ts';
import { initArgs } from '../support/pipeline.ts';
import { POSTGRES_DEFAULTS, type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import { type CliResult, runCli } from '../support/server-process.ts';

const OLD_MS = 60_000;
const SIZES = Array.from({ length: 30 }, () => 3);
const RANGES = `SELECT first_commit::int AS first, last_commit::int AS last, part, metrics::int, ranges::int
                FROM ms_applied ORDER BY log, first_commit, part`;

describe('the ledger of transactions', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  before(async () => {
    postgres = await startPostgres(owner);
  });

  const recorded = async (): Promise<string> => {
    const { dataDir } = await record(SIZES);
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true, force: true }));
    return dataDir;
  };
  const ship = (url: string, dataDir: string, ...args: string[]): Promise<CliResult> =>
    runCli(['export', '--to', url, '--data-dir', dataDir, '--once', '--range-bytes', '1k', ...args]);
  const shipped = async (url: string, dataDir: string, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await ship(url, dataDir, ...args);
    assert.equal(code, 0, stdout + stderr);
  };
  const verified = (url: string, dataDir: string): Promise<CliResult> =>
    runCli(['verify', '--sink', url, '--data-dir', dataDir]);
  /** As if time had passed for some of the ranges, then merges. */
  const age = async (url: string, which = 'true'): Promise<void> => {
    await postgres.queryOn(url, `UPDATE ms_applied SET at = at - interval '1 hour' WHERE ${which}`);
    const pool = createPool(new URL(url), POSTGRES_DEFAULTS, 'test');
    try {
      assert.equal(await withClient(pool, (client) => mergeLedger(client, OLD_MS)), false);
    } finally {
      await pool.end();
    }
  };

  it('merges ranges older than --ledger-age into one row, and verify still finds every difference', async () => {
    const [url, dataDir] = await Promise.all([postgres.createTables(), recorded()]);
    await shipped(url, dataDir, '--ledger-age', '1ms');
    const [row, ...others] = await postgres.queryOn(url, RANGES);
    assert.deepEqual(others, []);
    const commits = SIZES.length;
    assert.ok(row!.ranges > 2);
    assert.deepEqual(row, { first: 1, last: commits, part: 0, metrics: 3 * commits, ranges: row!.ranges });
    const good = await verified(url, dataDir);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    for (const [damage, found] of [
      ['DELETE FROM ms_sample WHERE value = 10', /the sink lacks 1 of 90 metrics/],
      ['INSERT INTO ms_sample SELECT * FROM ms_sample WHERE value = 11', /90 metrics differ/],
      ['INSERT INTO ms_sample SELECT * FROM ms_sample WHERE value = 12', /1 metrics more than the log's 90/],
    ] as const) {
      await postgres.queryOn(url, damage);
      const { code, stdout } = await verified(url, dataDir);
      assert.equal(code, 1, stdout);
      assert.match(stdout, found);
    }
  });

  it('merges at the end of --once, too, if it began to ship long before', async (t) => {
    const [url, dataDir] = await Promise.all([postgres.createTables(), recorded()]);
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    onEnd(t, () => holder.end());
    await holder.query('BEGIN; LOCK TABLE ms_sample IN EXCLUSIVE MODE');
    const ended = shipped(url, dataDir, '--ledger-age', '1ms');
    // Its maintenance runs every second.
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock' AND now() - query_start > interval '2500 ms'`;
    await eventually('export has waited', async () => (await postgres.queryOn(url, waiting)).length > 0);
    await holder.query('ROLLBACK');
    await ended;
    assert.equal((await postgres.queryOn(url, RANGES)).length, 1);
  });

  it('keeps young ranges apart, and replays from there on; a replay of merged ones is refused', async () => {
    const [url, dataDir] = await Promise.all([postgres.createTables(), recorded()]);
    await shipped(url, dataDir);
    const before = await postgres.queryOn(url, RANGES);
    const { last } = before[2]!;
    await age(url, `last_commit <= ${last}`);
    const after = await postgres.queryOn(url, RANGES);
    assert.equal(after.length, before.length - 2);
    assert.deepEqual(after.slice(1), before.slice(3));
    const refused = await ship(url, dataDir, '--from', String(last));
    assert.equal(refused.code, 1);
    const line = new RegExp(
      `has merged the ranges up to commit ${last}, .*: begin at commit ${last + 1} or later\\.\n$`,
    );
    assert.match(refused.stderr, line);
    await shipped(url, dataDir, '--from', String(last + 1));
    const { code, stdout } = await verified(url, dataDir);
    assert.equal(code, 0, stdout);
  });

  it('counts the metrics of several merged logs together', async () => {
    const url = await postgres.createTables();
    const logs = await Promise.all([recorded(), recorded()]);
    for (const dataDir of logs) await shipped(url, dataDir);
    await age(url);
    assert.equal((await postgres.queryOn(url, RANGES)).length, 2);
    for (const dataDir of logs) assert.equal((await verified(url, dataDir)).code, 0);
    await postgres.queryOn(url, 'DELETE FROM ms_sample WHERE ctid IN (SELECT ctid FROM ms_sample LIMIT 1)');
    const { code, stdout } = await verified(url, logs[0]!);
    assert.equal(code, 1);
    assert.match(stdout, /the sink lacks 1 of 180 metrics of merged or restored ranges/);
  });

  describe('of consume', () => {
    const log = randomUUID();
    const applierOf = (t: TestContext, url: string): PostgresApplier => {
      const applier = new PostgresApplier({
        ...{ url: new URL(url), options: POSTGRES_DEFAULTS },
        ...{ logger: pino({ level: 'silent' }), registry: new Registry() },
      });
      onEnd(t, () => applier.close());
      return applier;
    };
    const message = (first: number, last: number, part = 0, parts = 0): CommitMessage => {
      const body = Buffer.from('{"timestamp":1700000000000,"name":"m","value":1,"type":"gauge"}\n');
      const commits = last - first + 1;
      return {
        ...{
          log,
          first,
          last,
          part,
          parts,
          lines: commits,
          firstLine: part === 0 ? 0 : part - 1,
          damage: '',
          sealCrc32: null,
        },
        ...{ commitBytes: Array.from({ length: commits }, () => body.length), readAtMs: 0, exporter: 'test' },
        ...{ mayRepeat: true, body: Buffer.concat(Array.from({ length: commits }, () => body)) },
      };
    };

    it('merges neither across a gap nor over a missing part, and recognises what comes again', async (t) => {
      const url = await postgres.createTables();
      const applier = applierOf(t, url);
      const all = [
        ...[message(1, 2), message(3, 3, 1, 2), message(3, 3, 2, 2), message(4, 6), message(7, 7)],
        ...[message(9, 9, 1, 2), message(10, 11), message(12, 12)],
      ];
      for (const one of all) await applier.apply([one]);
      await age(url);
      const merged = [
        { first: 1, last: 7, part: 0, metrics: 8, ranges: 5 },
        { first: 9, last: 9, part: 1, metrics: 1, ranges: 1 },
        { first: 10, last: 12, part: 0, metrics: 3, ranges: 2 },
      ];
      assert.deepEqual(await postgres.queryOn(url, RANGES), merged);
      for (const one of all) assert.deepEqual(await applier.apply([one]), { lines: 0, repeated: 1 });
      const late = [message(8, 8), message(9, 9, 2, 2), message(6, 8)];
      assert.deepEqual(await applier.apply(late), { lines: 2, repeated: 1 });
      await age(url);
      const whole = [{ first: 1, last: 12, part: 0, metrics: 14, ranges: 10 }];
      assert.deepEqual(await postgres.queryOn(url, RANGES), whole);
      const [row] = await postgres.queryOn<{ count: string }>(url, 'SELECT count(*) FROM ms_sample');
      assert.equal(Number(row?.count), 14);
    });
  });

  it('is upgraded by --init, which every command asks for', async () => {
    const [url, dataDir] = await Promise.all([postgres.createTables(), recorded()]);
    await postgres.queryOn(
      url,
      `ALTER TABLE ms_applied DROP COLUMN parts, DROP COLUMN ranges;
       ALTER TABLE ms_cursor DROP COLUMN seal;
       UPDATE ms_schema SET version = 1`,
    );
    const old = await ship(url, dataDir);
    assert.equal(old.code, 1);
    assert.match(
      old.stderr,
      /has tables of version 1, this program works with version 3: upgrade them with --init\n$/,
    );
    for (const done of [/upgraded the tables to version 3/, /already has the tables of version 3/]) {
      const { code, stdout } = await runCli(initArgs(url));
      assert.equal(code, 0);
      assert.match(stdout, done);
    }
    await shipped(url, dataDir);
    assert.equal((await verified(url, dataDir)).code, 0);
  });
});
