/** The database that a benchmark is given, and what it leaves there. */
import type pg from 'pg';
import { argumentOf } from '../harness/options.ts';

/** Runs a benchmark on the database of --url. */
export async function withDatabase(work: (url: string) => Promise<void>): Promise<void> {
  const url = argumentOf('--url');
  if (url !== undefined) return work(url);
  console.error('--url: name an empty database, such as postgres://postgres@127.0.0.1/bench');
  process.exitCode = 2;
}

/** Drops what `export --init` and `consume` create. */
export async function dropTables(client: pg.Client): Promise<void> {
  const tables = ['schema', 'cursor', 'applied', 'quarantine', 'series', 'sample', 'flat'];
  await client.query('DROP VIEW IF EXISTS ms_metrics');
  await client.query(`DROP TABLE IF EXISTS ${tables.map((name) => `ms_${name}`).join(', ')} CASCADE`);
}
