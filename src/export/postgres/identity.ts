/**
 * Whether the database is still the one that was read. Ids of series and names of partitions are remembered between
 * transactions, and mean nothing in a database that was restored from a backup. Its connections break silently while
 * nobody uses them, so each transaction compares. TRUNCATE of `ms_series` gives it another file.
 */
import type pg from 'pg';

/** An SQL expression. It changes with each start of the server, and when the tables or their series are replaced. */
export const IDENTITY = `extract(epoch FROM pg_postmaster_start_time())::text || ' ' || 'ms_schema'::regclass::oid::text
  || ' ' || coalesce(pg_relation_filenode(to_regclass('ms_series'))::text, '')`;

export const REPLACED_TEXT =
  'the database has been restarted or restored, or its series replaced: reading it again';

export async function readIdentity(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ identity: string }>(`SELECT ${IDENTITY} AS identity`);
  return rows[0]?.identity ?? '';
}
