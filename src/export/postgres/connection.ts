/** Connections to PostgreSQL, and its errors in words. */
import pg from 'pg';
import { systemErrorText } from '../../base/errors.ts';
import { SinkError } from '../sink.ts';
import type { PostgresOptions } from './options.ts';

/** The server cancels a slow statement. The client waits this much longer before it calls the connection dead. */
const ANSWER_GRACE_MS = 5_000;
const IDLE_IN_TRANSACTION_MS = 60_000;
const KEEP_ALIVE_MS = 10_000;

/**
 * An exporter whose machine vanished leaves a transaction that holds the cursor's row. The server must notice soon, since
 * its own default is two hours.
 */
const SESSION = [
  'client_min_messages=warning',
  'timezone=UTC',
  'tcp_keepalives_idle=10',
  'tcp_keepalives_interval=5',
  'tcp_keepalives_count=3',
] as const;

/** The URL without its password, for logs. */
export function placeOf(url: URL): string {
  const user = url.username === '' ? '' : `${url.username}@`;
  return `postgres://${user}${url.host}${url.pathname}`;
}

export function createPool(url: URL, options: PostgresOptions): pg.Pool {
  const { pool, connectTimeoutMs, statementTimeoutMs, synchronousCommit } = options;
  const created = new pg.Pool({
    connectionString: url.href,
    max: pool,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + ANSWER_GRACE_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'metricsstream export',
    options: `-c synchronous_commit=${synchronousCommit} ${SESSION.map((setting) => `-c ${setting}`).join(' ')}`,
  });
  // An idle connection that breaks is replaced at the next use.
  created.on('error', () => {});
  return created;
}

const isClassOf = ({ code = '' }: pg.DatabaseError, ...classes: readonly string[]): boolean =>
  classes.includes(code.slice(0, 2));

/** Connection, resources, operator intervention, lock and serialization, read-only, not in the needed state. */
const PASSING = ['08', '53', '57', '40', '25', '55'] as const;

/** Errors that operators meet, by SQLSTATE. `{}` stands for the server's own text. */
const TEXTS: Readonly<Record<string, string>> = {
  '28P01': '{}: set PGPASSWORD, or add the password to ~/.pgpass',
  '28000': '{}: allow the user in pg_hba.conf',
  '3D000': '{}: create it with createdb, or correct the URL',
  '42501': '{}: grant it to this user, or run --init as the owner of the tables',
  '42P01': '{}: create the tables with --init',
  '53100': 'the disk of the database is full: make room there; nothing is lost, the log waits',
  '53300': '{}: raise max_connections, or lower --pool or --workers',
  '25006': '{}: name the primary, not a standby',
  '57014': '{}: the database is too slow for --statement-timeout',
};

/** The failure as one line. */
export function sinkError(place: string, error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  if (!(error instanceof pg.DatabaseError))
    return new SinkError('retry', `${place}: cannot reach the database: ${connectionText(error)}`, {
      cause: error,
    });
  const text = TEXTS[error.code ?? ''] ?? `{} (SQLSTATE ${error.code})`;
  const verdict = isClassOf(error, ...PASSING) ? 'retry' : 'fatal';
  return new SinkError(verdict, `${place}: ${text.replace('{}', () => error.message)}`, { cause: error });
}

/** Node tries all addresses of a name and puts the errors into one without a text. */
function connectionText(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return systemErrorText(error.errors[0]);
  return systemErrorText(error);
}
