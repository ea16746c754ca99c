/** Connections to PostgreSQL, and its errors in words. */
import pg from 'pg';
import { certificateAdvice } from '../../base/certificate-errors.ts';
import { systemErrorText } from '../../base/errors.ts';
import { SinkError } from '../sink.ts';
import type { PostgresOptions } from './options.ts';
import { IDLE_IN_TRANSACTION_MS } from './transaction.ts';

/** The server cancels a slow statement. The client waits this much longer before it calls the connection dead. */
const ANSWER_GRACE_MS = 5_000;
const KEEP_ALIVE_MS = 10_000;

/**
 * They replace the defaults of role and database. An exporter whose machine vanished leaves a transaction that holds the cursor's row. The server must notice soon, since
 * its own default is two hours.
 */
const SESSION = [
  'client_min_messages=warning',
  'timezone=UTC',
  'lock_timeout=0',
  `idle_in_transaction_session_timeout=${IDLE_IN_TRANSACTION_MS}`,
  'tcp_keepalives_idle=10',
  'tcp_keepalives_interval=5',
  'tcp_keepalives_count=3',
] as const;

/** The URL without its password, for logs. */
export function placeOf(url: URL): string {
  const user = url.username === '' ? '' : `${url.username}@`;
  return `postgres://${user}${url.host}${url.pathname}`;
}

/** @param application as the database lists the connections, unless the URL names it */
export function createPool(url: URL, options: PostgresOptions, application: string): pg.Pool {
  const { pool, connectTimeoutMs, statementTimeoutMs } = options;
  const { connectionString, settings } = separated(url);
  const created = new pg.Pool({
    connectionString,
    max: pool,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: statementTimeoutMs + ANSWER_GRACE_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: application,
    // All in this one parameter, so that a pooler has to ignore no other one.
    options: [
      settings,
      ...SESSION.map((setting) => `-c ${setting}`),
      `-c statement_timeout=${statementTimeoutMs}`,
    ].join(' '),
  });
  // An idle connection that breaks is replaced at the next use.
  created.on('error', () => {});
  return created;
}

/** The client checks certificates with each of them, and warns that it may not do so in a later version. */
const CHECKED_TLS: readonly string[] = ['prefer', 'require', 'verify-ca'];

/** The client would replace the settings of this program by those of the URL. Both hold, as does PGOPTIONS. */
function separated(url: URL): { connectionString: string; settings: string } {
  const rest = new URL(url);
  const { searchParams } = rest;
  const settings = searchParams.get('options') ?? process.env.PGOPTIONS ?? '';
  searchParams.delete('options');
  if (CHECKED_TLS.includes(searchParams.get('sslmode') ?? '')) searchParams.set('sslmode', 'verify-full');
  return { connectionString: rest.href, settings };
}

const isClassOf = ({ code = '' }: pg.DatabaseError, ...classes: readonly string[]): boolean =>
  classes.includes(code.slice(0, 2));

/** Connection, resources, operator intervention, lock and serialization, read-only, not in the needed state. */
const PASSING = ['08', '53', '57', '40', '25', '55'] as const;

/** Of class 23: `--init` makes no constraint that metrics could violate. */
const CONSTRAINT = '{}: --init does not make this constraint: drop it, or give the column a default';
const NO_PARTITION = '{}: make the default partition again, as --print-schema shows it';
const LEDGER_KEY = 'ms_applied_pkey';
const LEDGER =
  '{}: ms_applied holds commits that ms_cursor does not: set ms_cursor.commit to the largest last_commit of the log';

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
  '23502': CONSTRAINT,
  '23503': CONSTRAINT,
  '23505': CONSTRAINT,
  '23514': CONSTRAINT,
  '23P01': CONSTRAINT,
  '55P03': '{}: a long query or dump holds the tables; wait for its end, or end it there',
  '57014': '{}: the database is too slow for --statement-timeout',
};

/** A statement that was cancelled, also by --statement-timeout, and a database that starts. */
const UNANSWERED = ['57014', '57P03'];

/** The failure as one line. */
export function sinkError(place: string, error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  if (!(error instanceof pg.DatabaseError)) return clientError(place, error);
  const parameter = /unsupported startup parameter(?: in options)?: (\S+)/.exec(error.message)?.[1];
  if (parameter !== undefined)
    return new SinkError(
      'fatal',
      `${place}: ${error.message}: add it to ignore_startup_parameters of PgBouncer`,
      { cause: error },
    );
  const text = textOf(error) ?? `{} (SQLSTATE ${error.code})`;
  const verdict = isClassOf(error, ...PASSING) ? 'retry' : 'fatal';
  return new SinkError(verdict, `${place}: ${text.replace('{}', () => error.message)}`, {
    cause: error,
    isUnanswered: UNANSWERED.includes(error.code ?? ''),
  });
}

function textOf({ constraint, message, code = '' }: pg.DatabaseError): string | undefined {
  if (constraint === LEDGER_KEY) return LEDGER;
  return message.startsWith('no partition of relation') ? NO_PARTITION : TEXTS[code];
}

/** Errors of the client's own: no connection, or none that both sides agree on. */
function clientError(place: string, error: unknown): SinkError {
  const { message, path, syscall } = error as NodeJS.ErrnoException;
  if (syscall === 'open')
    return new SinkError('fatal', `${place}: cannot read ${path}: ${systemErrorText(error)}`, {
      cause: error,
    });
  const advice = clientAdvice(error, message);
  if (advice === undefined)
    return new SinkError('retry', `${place}: cannot reach the database: ${connectionText(error)}`, {
      cause: error,
      // The texts of pg and pg-pool, which give these errors no code.
      isUnanswered: /timeout/i.test(message),
    });
  return new SinkError('fatal', `${place}: ${message}: ${advice}`, { cause: error });
}

function clientAdvice(error: unknown, message: string): string | undefined {
  if (/password must be/.test(message)) return TEXTS['28P01']!.slice('{}: '.length);
  if (/does not support SSL/.test(message)) return 'leave sslmode out, or configure TLS there';
  return certificateAdvice(error, 'with sslrootcert=FILE in the URL');
}

/** Node tries all addresses of a name and puts the errors into one without a text. */
function connectionText(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return systemErrorText(error.errors[0]);
  return systemErrorText(error);
}
