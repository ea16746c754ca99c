/**
 * Takes ranges of commits back out of the tables, exactly: the rows of a transaction have its xmin, as has the row of
 * `ms_applied` that notes its range.
 */
import type pg from 'pg';
import { SinkError } from '../sink.ts';
import { LOCK_LEDGER } from './ledger-merge.ts';
import { type Layout, metricsTable } from './schema.ts';
import { BEGIN } from './transaction.ts';

/** Deletes the ranges that reach behind `commit`, in one transaction. Returns the commit that the tables then hold. */
export async function forgetBehind(
  client: pg.ClientBase,
  place: string,
  layout: Layout,
  log: string,
  commit: number,
): Promise<number> {
  await client.query(BEGIN);
  await client.query('SET LOCAL statement_timeout = 0');
  await client.query(LOCK_LEDGER);
  const { rows } = await client.query<{ first: string; metrics: string; merged: string | null }>(
    `SELECT min(first_commit) AS first, sum(metrics) AS metrics, max(last_commit) FILTER (WHERE ranges > 1) AS merged
     FROM ms_applied WHERE log = $1 AND last_commit > $2`,
    [log, commit],
  );
  const [range] = rows;
  if (range === undefined || range.first === null) {
    await client.query('ROLLBACK');
    return commit;
  }
  if (range.merged !== null) {
    await client.query('ROLLBACK');
    throw new SinkError(
      'fatal',
      `${place}: ms_applied has merged the ranges up to commit ${range.merged}, and does not tell their metrics apart: ` +
        `begin at commit ${Number(range.merged) + 1} or later.`,
    );
  }
  const { rowCount } = await client.query(
    `DELETE FROM ${metricsTable(layout)} WHERE xmin IN (SELECT xmin FROM ms_applied WHERE log = $1 AND last_commit > $2)`,
    [log, commit],
  );
  if (rowCount !== Number(range.metrics)) {
    await client.query('ROLLBACK');
    throw new SinkError(
      'fatal',
      `${place}: found ${rowCount} of the ${range.metrics} metrics from commit ${range.first} on: they were deleted, or ` +
        'restored from a dump. Delete the metrics of that time and their rows of ms_applied, and set ms_cursor.commit.',
    );
  }
  const kept = Number(range.first) - 1;
  await client.query('DELETE FROM ms_quarantine WHERE log = $1 AND last_commit > $2', [log, kept]);
  await client.query('DELETE FROM ms_applied WHERE log = $1 AND last_commit > $2', [log, kept]);
  await client.query('UPDATE ms_cursor SET commit = $2, at = now() WHERE log = $1', [log, kept]);
  await client.query('COMMIT');
  return kept;
}
