/** `postgres://` as a sink: its options and what `export` does with it. */
import { type Command, Option } from 'commander';
import { MetricsStreamError } from '../base/errors.ts';
import type { PostgresOptions } from '../export/postgres/options.ts';
import { LAYOUTS, type Layout, schemaText } from '../export/postgres/schema.ts';
import type { SinkFactory } from '../export/sink.ts';
import { quantityOption } from './flag-values.ts';
import type { Flags, SinkKind, VerifySinkOptions } from './sink-kind.ts';

/** One ships a range while another prepares the next. */
const CONNECTIONS = [2, 16] as const;
const HOUR_MS = 3_600_000;
const DECADE_MS = 3_650 * 24 * HOUR_MS;

const HEADING = 'PostgreSQL:';

function addOptions(command: Command): void {
  const connections = quantityOption('--pool <n>', 'connections at most', 'count', '2', CONNECTIONS);
  command.addOption(connections.helpGroup(HEADING));
  addPostgresOptions(command);
}

/** Options of the tables and of each connection, for `export` and `consume`. */
export function addPostgresOptions(command: Command): void {
  const options = [
    new Option(
      '--layout <layout>',
      'for --init and --print-schema: the tables to create (default: series)',
    ).choices([...LAYOUTS]),
    quantityOption('--connect-timeout <duration>', 'longest wait for a connection', 'duration', '5s', [
      100,
      HOUR_MS,
    ]),
    quantityOption('--statement-timeout <duration>', 'longest statement', 'duration', '60s', [
      1_000,
      HOUR_MS,
    ]),
    new Option(
      '--synchronous-commit <on|off>',
      'off: the database syncs behind its answers; nothing is lost either way',
    )
      .choices(['on', 'off'])
      .default('on'),
    quantityOption(
      '--series-cache <n>',
      'series that are remembered, in 1 KiB each at most on average',
      'count',
      '65536',
      [8, 16_777_216],
    ),
    quantityOption(
      '--series-per-name <n>',
      'series of one metric name; metrics of further ones go to ms_quarantine; 0: no limit',
      'count',
      '100000',
      [0, 1e9],
    ),
    quantityOption(
      '--partition-days <n>',
      'days ahead for which partitions are made',
      'count',
      '3',
      [1, 366],
    ),
    quantityOption(
      '--retention <duration>',
      'drop partitions of metrics older than this; 0 keeps all',
      'duration',
      '0',
      [0, DECADE_MS],
    ),
    quantityOption(
      '--ledger-age <duration>',
      'merge the rows of ms_applied that are older; 0 keeps one for each transaction',
      'duration',
      '2d',
      [0, DECADE_MS],
    ),
  ];
  for (const option of options) command.addOption(option.helpGroup(HEADING));
}

export function postgresOptionsOf(flags: Flags): PostgresOptions {
  const number = (name: string): number => flags[name] as number;
  return {
    layout: (flags.layout as Layout | undefined) ?? null,
    pool: number('pool'),
    connectTimeoutMs: number('connectTimeout'),
    statementTimeoutMs: number('statementTimeout'),
    synchronousCommit: flags.synchronousCommit as 'on' | 'off',
    seriesCache: number('seriesCache'),
    seriesPerName: number('seriesPerName'),
    partitionDays: number('partitionDays'),
    retentionMs: number('retention'),
    ledgerAgeMs: number('ledgerAge'),
  };
}

const SCHEMES: readonly string[] = ['postgres:', 'postgresql:'];

/** @throws MetricsStreamError CONFIG_INVALID */
export function postgresUrl(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url?.hostname.includes(',') === true)
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      'give one host of PostgreSQL: a name or a proxy that leads to the primary',
    );
  if (url !== null && SCHEMES.includes(url.protocol)) return url;
  throw new MetricsStreamError('CONFIG_INVALID', 'give PostgreSQL as postgres://user@host:5432/database');
}

async function open(address: string, flags: Flags): Promise<SinkFactory> {
  const url = postgresUrl(address);
  const { PostgresSink } = await import('../export/postgres/postgres-sink.ts');
  const options = postgresOptionsOf(flags);
  return (context) => new PostgresSink(url, options, context);
}

async function init(address: string, flags: Flags): Promise<string> {
  const { initTables } = await import('../export/postgres/init.ts');
  return initTables(postgresUrl(address), postgresOptionsOf(flags));
}

const schema = (flags: Flags): Promise<string> =>
  Promise.resolve(schemaText((flags.layout as Layout | undefined) ?? 'series'));

async function verify(address: string, options: VerifySinkOptions): Promise<number> {
  const { verifyPostgres } = await import('./verify-postgres.ts');
  return verifyPostgres(postgresUrl(address), options);
}

export const POSTGRES: SinkKind = {
  schemes: SCHEMES,
  name: 'postgres',
  addOptions,
  open,
  init,
  schema,
  verify,
};
