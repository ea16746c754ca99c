/**
 * DuckDB, an optional package that only the commands on stored metrics load.
 *
 * Every database is in memory, with bounded memory and threads, and loads no extension. `restrictFiles` closes it: after
 * that its SQL reads the files named and nothing else, and no setting changes any more.
 */
import { createRequire } from 'node:module';
import type { DuckDBConnection } from '@duckdb/node-api';
import { MetricsStreamError } from '../base/errors.ts';

export interface DuckDBLimits {
  /** Limit of DuckDB's own allocations. The process needs about 100 MiB more. */
  readonly maxMemoryBytes: number;
  readonly threads: number;
  /** Sorts and joins that exceed the memory spill to it. With '' they fail instead. */
  readonly spillDirectory: string;
  readonly spillBytes: number;
}

type Module = typeof import('@duckdb/node-api');
type Bindings = typeof import('@duckdb/node-bindings');

/** `import` of its 180 CommonJS files takes twice as long: Node.js parses each for the names of its exports. */
const require = createRequire(import.meta.url);

/** @throws MetricsStreamError DUCKDB_UNAVAILABLE, with the remedy */
export function loadDuckDB(): Module {
  try {
    return require('@duckdb/node-api') as Module;
  } catch (cause) {
    const { code, message = '' } = cause as NodeJS.ErrnoException;
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    const reason = isMissing ? 'it is not installed' : (message.split('\n')[0] ?? '');
    throw new MetricsStreamError(
      'DUCKDB_UNAVAILABLE',
      `this command needs DuckDB: ${reason}. Run npm install --include=optional where MetricsStream is installed, or use its image with DuckDB.`,
      { cause },
    );
  }
}

/** DuckDB's C interface, of which `@duckdb/node-api` is made. Call it after `loadDuckDB`. */
export function loadBindings(): Bindings {
  return require('@duckdb/node-bindings') as Bindings;
}

/** An empty database in memory, and a connection to it. Times are in UTC. */
export async function openDuckDB(limits: DuckDBLimits): Promise<DuckDBConnection> {
  const { DuckDBInstance } = loadDuckDB();
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${limits.maxMemoryBytes}B`,
    threads: String(limits.threads),
    temp_directory: limits.spillDirectory,
    max_temp_directory_size: `${limits.spillBytes}B`,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  // The connection keeps the database open. Closing it then frees the memory at once, not at some garbage collection.
  instance.closeSync();
  await connection.run(`SET TimeZone = 'UTC'`);
  return connection;
}

/**
 * Closes a database: its SQL reads these files and no other, loads nothing, and cannot change a setting.
 *
 * DuckDB resolves symbolic links whose target exists. If the file of `/proc/self/fd/<n>` is deleted, the name is
 * `/proc/<pid>/fd/<n>` instead. That is allowed too, by a detour that leads nowhere and so is not resolved now.
 */
export async function restrictFiles(connection: DuckDBConnection, paths: readonly string[]): Promise<void> {
  const ifDeleted = paths.map((path) => path.replace('/proc/self/fd/', `/proc/${process.pid}/fd/none/../`));
  await connection.run(`SET allowed_paths = ${sqlList([...paths, ...ifDeleted])}`);
  await connection.run('SET enable_external_access = false');
  await connection.run('SET lock_configuration = true');
}

/** A string literal of SQL. */
export function sqlText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A list of string literals. */
export function sqlList(texts: readonly string[]): string {
  return `[${texts.map(sqlText).join(', ')}]`;
}

/** DuckDB's message as one line, without the excerpt of the SQL and its advice on settings. */
export function duckdbErrorText(error: unknown): string {
  const { message } = error as Error;
  const [text = ''] = message.split(/\n\s*\n|\nPossible solutions|\nDatabase is launched/);
  return text
    .replace(/^Failed to extract statements: /, '')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim();
}
