/**
 * How transactions begin. Their settings travel with them: roles and databases have defaults of their own, and a pooler such as
 * PgBouncer gives each transaction to another session.
 */
import type { PostgresOptions } from './options.ts';

/** A client that vanished holds its locks for so long. */
export const IDLE_IN_TRANSACTION_MS = 60_000;

/**
 * A snapshot of the whole transaction would hide what others stored while this one waited for its lock, and it would be
 * stored twice.
 */
export const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/** For one transaction that stores metrics. */
export function beginText({ statementTimeoutMs, synchronousCommit }: PostgresOptions): string {
  return `${BEGIN};
    SET LOCAL synchronous_commit = ${synchronousCommit};
    SET LOCAL statement_timeout = ${statementTimeoutMs};
    SET LOCAL lock_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`;
}
