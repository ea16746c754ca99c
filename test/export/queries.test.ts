/** Every query of docs/postgres.md runs and finds rows, over both layouts. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { initTables } from '../../src/export/postgres/init.ts';
import { LAYOUTS, type Layout } from '../../src/export/postgres/schema.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { recordLines } from '../support/damage.ts';
import { POSTGRES_DEFAULTS, type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import { runCli } from '../support/server-process.ts';

const MINUTE_MS = 60_000;
const COUNTER_STEP = 120;
const text = fs.readFileSync('docs/postgres.md', 'utf8');
/** The sentence before each query, and the query. */
const queries = [...text.matchAll(/([^\n]+):\n\n```sql\n([^`]+)```/g)].map(([, title = '', sql = '']) => ({
  title,
  sql,
}));

/** Half an hour of three metrics of two hosts; the counter starts again in the middle. */
function lines(): string[] {
  const now = Date.now();
  return Array.from({ length: 30 }, (_, minute) => minute).flatMap((minute) =>
    ['web-1', 'web-2'].flatMap((host) => {
      const timestamp = now - (30 - minute) * MINUTE_MS;
      const tags = { host };
      return [
        { timestamp, name: 'cpu.usage', value: minute, type: 'gauge', tags },
        { timestamp, name: 'http.requests', value: (minute % 20) * COUNTER_STEP, type: 'counter', tags },
        { timestamp, name: 'request.duration', value: minute / 100, type: 'histogram', tags },
      ].map((metric) => JSON.stringify(metric));
    }),
  );
}

describe('the queries of docs/postgres.md', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  const urls = new Map<Layout, string>();
  before(async () => {
    postgres = await startPostgres(owner);
    const dataDir = await recordLines([lines()]);
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true }));
    for (const layout of LAYOUTS) {
      const url = await postgres.createDatabase(`queries_${layout}`);
      await initTables(new URL(url), { ...POSTGRES_DEFAULTS, layout });
      const { code, stdout, stderr } = await runCli(['export', '--to', url, '--data-dir', dataDir, '--once']);
      assert.equal(code, 0, stdout + stderr);
      urls.set(layout, url);
    }
  });

  it('are the ones people want', () => {
    assert.ok(queries.length >= 8, `${queries.length} queries`);
  });

  for (const { title, sql } of queries) {
    it(`${title}: finds the same over both layouts`, async () => {
      const results = await Promise.all(LAYOUTS.map((layout) => postgres.queryOn(urls.get(layout)!, sql)));
      assert.ok(results.every((rows) => rows.length > 0));
      if (!sql.includes('ms_metrics')) return;
      const sorted = results.map((rows) => rows.map((row) => JSON.stringify(row)).sort());
      assert.deepEqual(sorted[0], sorted[1]);
    });
  }

  it('the rate of a counter survives its restart', async () => {
    const query = queries.find(({ title }) => title.includes('restart'));
    const rows = await postgres.queryOn<{ per_second: number }>(urls.get('series')!, query!.sql);
    const rates = rows.map(({ per_second: rate }) => Number(rate));
    // Two hosts, 120 a minute each: 4 a second, and 0 in the minute of the restart.
    assert.ok(rates.filter((rate) => rate === (2 * COUNTER_STEP) / 60).length >= 26, rates.join(' '));
    assert.ok(
      rates.every((rate) => rate >= 0),
      rates.join(' '),
    );
  });
});
