/**
 * Rows that the database accepted without an error and did not keep. A trigger may return null, a rule may do something
 * else instead, and a policy of row-level security may hide what was added.
 */
import type pg from 'pg';
import { SinkError } from '../sink.ts';

/** @throws SinkError unless the statement touched all rows */
export function requireAll(
  { rowCount }: Pick<pg.QueryResult, 'rowCount'>,
  count: number,
  table: string,
): void {
  const missing = count - (rowCount ?? 0);
  if (missing <= 0) return;
  throw new SinkError(
    'fatal',
    `a trigger, rule or policy of the database keeps ${missing} of ${count} rows out of ${table}: drop it; nothing of this transaction is stored`,
  );
}
