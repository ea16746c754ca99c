/** A database that holds the view `metrics` over one snapshot, the macros, and nothing else. */
import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import { MetricsStreamError } from '../base/errors.ts';
import { type DuckDBLimits, duckdbErrorText, openDuckDB, restrictFiles, sqlText } from '../duckdb/duckdb.ts';
import { HeldFiles, pathOfFd } from './held-files.ts';
import { MACROS } from './macros.ts';
import { type Snapshot, type SnapshotOptions, takeSnapshot } from './snapshot.ts';
import { copiedSelect, createSeriesTable, hasLines, linesSelect, metricsSelect } from './view.ts';

export interface SessionOptions extends Omit<SnapshotOptions, 'maxMemoryBytes'> {
  readonly limits: DuckDBLimits;
  /** Names of further files that the SQL of this session may open. */
  readonly extraPaths?: readonly string[];
  /** For many queries: converts lines that are still NDJSON to Parquet once. */
  readonly convertsOnce?: boolean;
}

export interface Session {
  readonly snapshot: Snapshot;
  readonly connection: DuckDBConnection;
  close(): void;
}

/** @throws MetricsStreamError as `takeSnapshot` and `loadDuckDB` do */
export async function openSession(options: SessionOptions): Promise<Session> {
  // Before the snapshot: a missing package is found at once.
  const connection = await openDuckDB(options.limits);
  const copies = new HeldFiles(options.temporaryDirectory);
  let snapshot: Snapshot | null = null;
  const close = (): void => {
    connection.closeSync();
    snapshot?.close();
    copies.close();
  };
  try {
    snapshot = await takeSnapshot({ ...options, maxMemoryBytes: options.limits.maxMemoryBytes });
    const converts = options.convertsOnce === true && hasLines(snapshot);
    const copy = converts ? pathOfFd(copies.create().fd) : null;
    await prepareDatabase(connection, snapshot, options, copy);
    return { snapshot, connection, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** @param copy path of a file for the lines that are still NDJSON, or null to read them in each query */
async function prepareDatabase(
  connection: DuckDBConnection,
  snapshot: Snapshot,
  options: SessionOptions,
  copy: string | null,
): Promise<void> {
  const { extraPaths = [] } = options;
  await connection.run('SET enable_progress_bar = true');
  await connection.run('SET enable_progress_bar_print = false');
  await restrictFiles(connection, [...snapshot.paths, ...extraPaths, ...(copy === null ? [] : [copy])]);
  const seriesTable = createSeriesTable(snapshot);
  if (seriesTable !== null) await connection.run(seriesTable);
  if (copy !== null) await connection.run(`COPY (${linesSelect(snapshot)}) TO ${sqlText(copy)} (${PARQUET})`);
  const select = copy === null ? metricsSelect(snapshot, options) : copiedSelect(snapshot, copy, options);
  await connection.run(`CREATE VIEW metrics AS ${select}`);
  for (const { sql } of MACROS) await connection.run(sql);
}

/** Options of COPY. The target is an open file without a name, so a temporary file could not replace it. */
export const PARQUET = 'FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false';

/** Statement types of DuckDB's C API. */
const SELECT = 1;
const EXPLAIN = 4;

const REMEDY = 'Give one SELECT statement: the data is read-only';

/**
 * Prepares one statement that only reads.
 *
 * DuckDB's own restrictions would not suffice: it may open the snapshot's files, and COPY could write to them.
 * @throws MetricsStreamError QUERY_FAILED with one line
 */
export async function prepareQuery(
  connection: DuckDBConnection,
  sql: string,
): Promise<DuckDBPreparedStatement> {
  if (sql.trim() === '') throw queryError('the SQL is empty. Example: SELECT count(*) FROM metrics');
  try {
    const statements = await connection.extractStatements(sql);
    if (statements.count !== 1)
      throw queryError(`the SQL has ${statements.count} statements. ${REMEDY}; PIVOT needs ON … IN (…)`);
    const prepared = await statements.prepare(0);
    if (prepared.statementType === EXPLAIN) await prepareQuery(connection, explained(sql));
    else if (prepared.statementType !== SELECT) throw queryError(`this statement is refused. ${REMEDY}`);
    if (prepared.parameterCount > 0) throw queryError('the SQL has parameters. Write the values into it');
    return prepared;
  } catch (error) {
    throw asQueryError(error);
  }
}

/** The statement inside an EXPLAIN. EXPLAIN ANALYZE runs it, so it must be a SELECT too. */
function explained(sql: string): string {
  const withoutComments = sql.replace(/^(?:\s+|--[^\n]*\n|\/\*[\s\S]*?\*\/)*/, '');
  // Strict, so that no text can look like another statement here than it does to DuckDB.
  const match = /^explain(?:\s+analyze\b|\s*\([\w\s,]*\)|(?=\s))/i.exec(withoutComments);
  if (match === null) throw queryError(`this EXPLAIN is refused. ${REMEDY}`);
  return withoutComments.slice(match[0].length);
}

function queryError(text: string): MetricsStreamError {
  return new MetricsStreamError('QUERY_FAILED', text);
}

/** The package's message for SQL without a statement. */
const NO_STATEMENT = 'Error in native callback';

/** An error of DuckDB as one line. Errors of our own stay. */
export function asQueryError(error: unknown): MetricsStreamError {
  if (error instanceof MetricsStreamError) return error;
  const { message } = error as Error;
  if (message === NO_STATEMENT)
    return queryError('the SQL holds comments only. Example: SELECT count(*) FROM metrics');
  const text = duckdbErrorText(error);
  const isMemory = text.startsWith('Out of Memory');
  const advice = isMemory ? '. Raise --max-memory, or let it write to --temp-dir with --spill' : '';
  return new MetricsStreamError('QUERY_FAILED', `${text}${advice}`, { cause: error });
}
