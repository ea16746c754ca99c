/** Partitions in a real database, when several processes look after them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { initTables } from '../../src/export/postgres/init.ts';
import { Partitions } from '../../src/export/postgres/partitions.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd } from '../support/clean-up.ts';
import { POSTGRES_DEFAULTS, requirePostgres, startPostgres } from '../support/postgres.ts';

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
    const dropped = Promise.all(
      droppers.map((client) =>
        new Partitions('ms_sample', 1, SILENT).dropBefore(client, (today - 5) * DAY_MS),
      ),
    );
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
});
