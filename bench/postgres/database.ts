/** The database that a benchmark is given, and what it leaves there. */
import pg from 'pg';
import { options } from '../harness/options.ts';

/** Runs a benchmark on the database of --url. */
export async function withDatabase(work: (url: string, client: pg.Client) => Promise<void>): Promise<void> {
  const { url } = options;
  if (url === undefined) {
    console.error('--url: name an empty database, such as postgres://postgres@127.0.0.1/bench');
    process.exitCode = 2;
    return;
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await work(url, client).finally(() => client.end());
}

/** Drops what `export --init` and `consume` create. */
export async function dropTables(client: pg.Client): Promise<void> {
  const tables = ['schema', 'cursor', 'applied', 'quarantine', 'series', 'sample', 'flat'];
  await client.query('DROP VIEW IF EXISTS ms_metrics');
  await client.query(`DROP TABLE IF EXISTS ${tables.map((name) => `ms_${name}`).join(', ')} CASCADE`);
}

/** Rows of the tables of `export`, or the sum of a column of another. */
export async function countRows(client: pg.Client, query = 'SELECT count(*) AS count FROM ms_metrics') {
  const { rows } = await client.query<{ count: string | null }>(query);
  return Number(rows[0]?.count ?? 0);
}
