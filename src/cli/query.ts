/** The command line of `metricsstream query`. */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { MIB } from '../base/units.ts';
import { addLimitOptions, type LimitFlags, limitsOf } from './duckdb-options.ts';
import { printError } from './output.ts';
import { dataDirOption } from './server-options.ts';

const STDIN = 0;
const SQL_BYTES_MAX = MIB;

const HELP = `
The view metrics(time, name, type, tags, value, commit) holds every acknowledged metric once, from the archive and
the segments, also while a server writes. SQL is that of DuckDB; query --schema lists the macros.

Examples:
  query "SELECT name, count(*) FROM metrics GROUP BY name"
  query --from 1h "SELECT tags['host'] AS host, avg(value) FROM metrics WHERE name = 'cpu.usage' GROUP BY host"
  query --format parquet "FROM metrics" > metrics.parquet
  query --file report.sql --format csv

Exit code: 0; 1 when the query or the data directory is at fault; 2 for a wrong command line; 137 (SIGKILL) when
the query outgrew --max-memory in a way that DuckDB cannot refuse.`;

interface QueryFlags extends LimitFlags {
  readonly dataDir: string;
  readonly file?: string;
  readonly format?: 'table' | 'csv' | 'json' | 'parquet';
  readonly from?: string;
  readonly to?: string;
  readonly progress?: boolean;
  readonly schema: boolean;
}

export function addQueryCommand(program: Command): void {
  const command = program
    .command('query')
    .description('ask stored metrics with SQL')
    .argument('[sql]', 'one SELECT; from --file or standard input if missing')
    .addOption(dataDirOption())
    .option('--file <path>', 'read the SQL from a file')
    .addOption(
      new Option('--format <format>', 'default: table on a terminal, csv otherwise').choices([
        'table',
        'csv',
        'json',
        'parquet',
      ]),
    )
    .option(
      '--from <time>',
      'only metrics from this time on: a date, Unix milliseconds, or 2h for two hours ago',
    )
    .option('--to <time>', 'only metrics before this time');
  addLimitOptions(command)
    .option('--progress', 'show progress on standard error (default: if that is a terminal)')
    .option('--no-progress', 'show none')
    .option('--schema', 'print the view and the macros with examples', false)
    .addHelpText('after', HELP)
    .action(async (sql: string | undefined, flags: QueryFlags) => {
      await query(sql, flags);
    });
}

async function query(argument: string | undefined, flags: QueryFlags): Promise<void> {
  const { schemaText } = await import('../query/schema.ts');
  if (flags.schema) {
    process.stdout.write(schemaText());
    return;
  }
  const { parseTime } = await import('../query/times.ts');
  const { runQuery } = await import('../query/run.ts');
  const nowMs = Date.now();
  const isTerminal = process.stdout.isTTY === true;
  const format = flags.format ?? (isTerminal ? 'table' : 'csv');
  if (format === 'parquet' && isTerminal)
    throw new MetricsStreamError('CONFIG_INVALID', '--format parquet is binary: redirect it to a file');
  await runQuery({
    dataDir: flags.dataDir,
    sql: readSql(argument, flags.file),
    format,
    fromMs: flags.from === undefined ? Number.NEGATIVE_INFINITY : parseTime('--from', flags.from, nowMs),
    toMs: flags.to === undefined ? Number.POSITIVE_INFINITY : parseTime('--to', flags.to, nowMs),
    limits: limitsOf(flags),
    temporaryDirectory: flags.tempDir,
    showProgress: flags.progress ?? process.stderr.isTTY === true,
    out: process.stdout,
    warn: printError,
    outOfMemory: (text) => {
      printError(text);
      // An ordinary exit would wait for the thread that fills the memory.
      process.kill(process.pid, 'SIGKILL');
    },
  });
}

/** @throws MetricsStreamError CONFIG_INVALID */
function readSql(argument: string | undefined, file: string | undefined): string {
  if (argument !== undefined && file !== undefined)
    throw new MetricsStreamError('CONFIG_INVALID', 'give the SQL as an argument or with --file, not both');
  if (argument !== undefined) return argument;
  if (file === undefined && process.stdin.isTTY === true)
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `give the SQL. Example: query "SELECT count(*) FROM metrics"`,
    );
  const sql = readText(file ?? STDIN);
  if (sql.length > SQL_BYTES_MAX)
    throw new MetricsStreamError('CONFIG_INVALID', `the SQL is longer than ${SQL_BYTES_MAX} bytes`);
  return sql;
}

function readText(file: string | number): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const name = file === STDIN ? 'standard input' : `--file ${file}`;
    throw new MetricsStreamError('CONFIG_INVALID', `${name}: ${systemErrorText(error)}`);
  }
}
