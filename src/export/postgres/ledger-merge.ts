/**
 * Keeps `ms_applied` small: ranges of commits that follow each other and are older than `--ledger-age` become one row. The
 * tables still know of each commit that they hold it, so a message is recognised however late it comes again. Only which
 * rows belong to which of the merged ranges is forgotten.
 */
import type pg from 'pg';
import { BEGIN } from './transaction.ts';

/** Bounds one statement; the next one goes on. */
const ROWS_MAX = 50_000;
/** Merging and forgetting ranges exclude each other. */
const LOCK = `hashtext('metricsstream ms_applied'), 0`;
export const LOCK_LEDGER = `SELECT pg_advisory_xact_lock(${LOCK})`;

/**
 * A commit in parts counts once all its parts are there: a part that is missing must still be recognised as missing. The
 * first row of each run of ranges grows, and the others go.
 */
const MERGE = `
WITH old AS (
  SELECT first_commit, last_commit, part, parts, metrics, at, ranges FROM ms_applied
  WHERE log = $1 AND at < now() - $2 * interval '1 ms' AND (part = 0 OR parts > 0)
  ORDER BY first_commit, part LIMIT ${ROWS_MAX}
), stored AS (
  SELECT first_commit, last_commit, sum(metrics) AS metrics, max(at) AS at, sum(ranges) AS ranges
  FROM old GROUP BY first_commit, last_commit HAVING max(part) = 0 OR count(*) = max(parts)
), stepped AS (
  SELECT *, (first_commit IS DISTINCT FROM lag(last_commit) OVER (ORDER BY first_commit) + 1)::int AS begins FROM stored
), numbered AS (
  SELECT *, sum(begins) OVER (ORDER BY first_commit) AS run FROM stepped
), merged AS (
  SELECT min(first_commit) AS first, max(last_commit) AS last, sum(metrics) AS metrics, max(at) AS at, sum(ranges) AS ranges
  FROM numbered GROUP BY run HAVING count(*) > 1
), grown AS (
  UPDATE ms_applied a
  SET last_commit = m.last, part = 0, parts = 0, metrics = m.metrics, at = m.at, ranges = m.ranges
  FROM merged m WHERE a.log = $1 AND a.first_commit = m.first AND a.part <= 1
), gone AS (
  DELETE FROM ms_applied a USING merged m
  WHERE a.log = $1 AND a.first_commit BETWEEN m.first AND m.last AND NOT (a.first_commit = m.first AND a.part <= 1)
  RETURNING 1
)
SELECT (SELECT count(*) FROM gone)::int AS gone, (SELECT count(*) FROM old)::int AS old`;

/** Merges the ranges of all logs. Returns whether there may be more to merge now. */
export async function mergeLedger(client: pg.ClientBase, ageMs: number): Promise<boolean> {
  await client.query(BEGIN);
  const { rows } = await client.query<{ free: boolean }>(`SELECT pg_try_advisory_xact_lock(${LOCK}) AS free`);
  let hasMore = false;
  // Another exporter or worker merges now.
  if (rows[0]?.free === true) {
    const { rows: logs } = await client.query<{ log: string }>('SELECT log FROM ms_cursor ORDER BY log');
    for (const { log } of logs) {
      const merged = await client.query<{ gone: number; old: number }>(MERGE, [log, ageMs]);
      const { gone = 0, old = 0 } = merged.rows[0] ?? {};
      hasMore ||= gone > 0 && old === ROWS_MAX;
    }
  }
  await client.query('COMMIT');
  return hasMore;
}
