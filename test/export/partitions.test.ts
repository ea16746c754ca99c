/** Partitions in a real database, when several processes look after them. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, it } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { freePort } from '../../load-test/free-port.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import { Partitions } from '../../src/export/postgres/partitions.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import { record } from '../support/damage.ts';
import { rowCount } from '../support/pipeline.ts';
import { POSTGRES_DEFAULTS, requirePostgres, startPostgres } from '../support/postgres.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { startCli } from '../support/server-process.ts';

const DAY_MS = 86_400_000;
const SILENT = pino({ level: 'silent' });

describe('partitions', { skip: requirePostgres() }, () => {
  it('are dropped once by two processes that found the same one', async (t) => {
    const postgres = await startPostgres(t);
    await initTables(new URL(postgres.url), POSTGRES_DEFAULTS);
    const clients = [0, 1, 2].map(() => new pg.Client({ connectionString: postgres.url }));
    await Promise.all(clients.map((client) => client.connect()));
    onEnd(t, async () => {
      await Promise.all(clients.map((client) => client.end()));
    });
    const [reader, ...droppers] = clients as [pg.Client, pg.Client, pg.Client];
    const today = Math.floor(Date.now() / DAY_MS);
    const count = async (): Promise<number> => {
      const [row] = await postgres.query<{ count: string }>(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ms_sample'::regclass",
      );
      return Number(row?.count);
    };
    const before = await count();
    await new Partitions('ms_sample', 1, SILENT).create(reader, [today - 9]);
    assert.equal(await count(), before + 1);
    // Holds both of them where they have found the partition.
    await reader.query('BEGIN; LOCK TABLE ms_sample IN ACCESS SHARE MODE');
    const drop = async (client: pg.Client): Promise<void> => {
      for (;;) {
        try {
          await new Partitions('ms_sample', 1, SILENT).dropOlder(client, 5 * DAY_MS);
          return;
        } catch (error) {
          // A busy machine let it wait too long for the lock.
          if ((error as pg.DatabaseError).code !== '55P03') throw error;
        }
      }
    };
    const dropped = Promise.all(droppers.map(drop));
    await eventually('both wait', async () => {
      const [row] = await postgres.query<{ waiting: string }>(
        'SELECT count(DISTINCT pid) AS waiting FROM pg_locks WHERE NOT granted AND relation IS NOT NULL',
      );
      return row?.waiting === '2';
    });
    await reader.query('COMMIT');
    await dropped;
    assert.equal(await count(), before);
  });

  it('that end are dropped when a query lets them, and metrics do not wait for it', async (t) => {
    const postgres = await startPostgres(t);
    await initTables(new URL(postgres.url), POSTGRES_DEFAULTS);
    await postgres.query(
      "CREATE TABLE ms_sample_20200101 PARTITION OF ms_sample FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')",
    );
    const reader = new pg.Client({ connectionString: postgres.url });
    await reader.connect();
    onEnd(t, () => reader.end());
    await reader.query('BEGIN; SELECT count(*) FROM ms_metrics');
    const recorded = await record([2], [3]);
    onEnd(t, () => rmSync(recorded.dataDir, { recursive: true, force: true }));
    const exporter = startCli(t, [
      ...['export', '--to', postgres.url, '--data-dir', recorded.dataDir, '--retention', '400d'],
    ]);
    await exporter.until((lines) =>
      lines.some((one) =>
        /maintenance of the sink fails.*lock timeout: a long query or dump holds/.test(one),
      ),
    );
    await eventually('the metrics are rows', async () => (await rowCount(postgres)) === 5);
    const isDropped = async (): Promise<boolean> => {
      const rows = await postgres.query<{ gone: boolean }>(
        "SELECT to_regclass('ms_sample_20200101') IS NULL AS gone",
      );
      return rows[0]?.gone === true;
    };
    assert.equal(await isDropped(), false);
    await reader.query('COMMIT');
    await eventually('the partition is dropped', isDropped);
  });

  it('of other lengths, which somebody made, take the metrics of their days', async (t) => {
    const postgres = await startPostgres(t);
    await initTables(new URL(postgres.url), POSTGRES_DEFAULTS);
    const today = Math.floor(Date.now() / DAY_MS);
    const [from, to] = [today - 60, today - 30].map((day) => new Date(day * DAY_MS).toISOString());
    await postgres.query(
      `CREATE TABLE ms_sample_month PARTITION OF ms_sample FOR VALUES FROM ('${from}') TO ('${to}')`,
    );
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    onEnd(t, () => client.end());
    await new Partitions('ms_sample', 1, SILENT).create(client, [today - 40, today - 20]);
    const names = await postgres.query<{ name: string }>(
      "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'ms_sample'::regclass",
    );
    const dayText = new Date((today - 20) * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
    assert.ok(names.some(({ name }) => name === `ms_sample_${dayText}`));
    assert.equal(names.length, 1 + 1 + 4 + 1, JSON.stringify(names));
  });

  it('stay while the clock of this machine or of the database is wrong', async (t) => {
    const postgres = await startPostgres(t);
    await initTables(new URL(postgres.url), POSTGRES_DEFAULTS);
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    onEnd(t, () => client.end());
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 400 * DAY_MS });
    await assert.rejects(
      new Partitions('ms_sample', 1, SILENT).dropOlder(client, 90 * DAY_MS),
      /the clock here shows \d{4}-.*, that of the database \d{4}-.*: correct the wrong one/,
    );
    const [row] = await postgres.query<{ count: string }>(
      "SELECT count(*) FROM pg_inherits WHERE inhparent = 'ms_sample'::regclass",
    );
    assert.equal(Number(row?.count), 5);
  });

  it('that the user may not drop are named in the log, and the metrics are stored', async (t) => {
    const postgres = await startPostgres(t);
    await initTables(new URL(postgres.url), POSTGRES_DEFAULTS);
    await postgres.query(
      "CREATE TABLE ms_sample_20200101 PARTITION OF ms_sample FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')",
    );
    await postgres.query('CREATE ROLE writer LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO writer');
    const recorded = await record([2]);
    onEnd(t, () => rmSync(recorded.dataDir, { recursive: true, force: true }));
    const port = await freePort();
    const exporter = startCli(t, [
      ...['export', '--to', postgres.url.replace('postgres@', 'writer@'), '--data-dir', recorded.dataDir],
      ...['--retention', '400d', '--metrics-port', String(port)],
    ]);
    await exporter.until((lines) =>
      lines.some((one) =>
        /maintenance of the sink fails.*must be owner of table ms_sample_20200101/.test(one),
      ),
    );
    await eventually('the metrics are rows', async () => (await rowCount(postgres)) === 2);
    const { body } = await fetchOnce(port, { path: '/metrics' });
    assert.match(body.toString(), /^metricsstream_export_maintenance_failing\{sink="postgres"\} 1$/m);
    await postgres.query(
      'ALTER TABLE ms_sample_20200101 OWNER TO writer; ALTER TABLE ms_sample OWNER TO writer',
    );
    await eventually('the partition is dropped', async () => {
      const [row] = await postgres.query<{ gone: boolean }>(
        "SELECT to_regclass('ms_sample_20200101') IS NULL AS gone",
      );
      return row?.gone === true;
    });
  });
});
