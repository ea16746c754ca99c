/** `metricsstream query`: one SQL statement over everything that a data directory holds. */

import { once } from 'node:events';
import fs from 'node:fs';
import type { Writable } from 'node:stream';
import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import { type DuckDBLimits, sqlText } from '../duckdb/duckdb.ts';
import { HeldFiles, pathOfFd } from './held-files.ts';
import { watchMemory } from './memory-guard.ts';
import { TEXT_FORMATS, type TextFormat } from './output/format.ts';
import { ProgressLine } from './progress.ts';
import { leftOutText } from './report.ts';
import { asQueryError, openSession, PARQUET, prepareQuery, type Session } from './session.ts';

export interface QueryOptions {
  readonly dataDir: string;
  readonly sql: string;
  readonly format: TextFormat | 'parquet';
  /** Unix milliseconds: only metrics in `[fromMs, toMs)`; infinite ends are open. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly limits: DuckDBLimits;
  /** For private copies. */
  readonly temporaryDirectory: string;
  readonly showProgress: boolean;
  readonly out: Writable;
  /** Prints a line about the result, without ending the command. */
  warn(text: string): void;
  /** Ends the process at once with this line. */
  outOfMemory(text: string): void;
}

/** @throws MetricsStreamError with one line */
export async function runQuery(options: QueryOptions): Promise<void> {
  const { limits, temporaryDirectory, format } = options;
  const stopWatching = watchMemory(limits.maxMemoryBytes, (allowance) =>
    options.outOfMemory(`the query needs more memory than ${allowance}. Give it more, or ask for less`),
  );
  const progress = new ProgressLine(process.stderr, options.showProgress);
  const copies = new HeldFiles(temporaryDirectory);
  let session: Session | null = null;
  try {
    const target = format === 'parquet' ? copies.create() : null;
    session = await openSession({
      ...options,
      extraPaths: target === null ? [] : [pathOfFd(target.fd)],
      onSegment: (done, all) => progress.checking(done, all),
    });
    const leftOut = leftOutText(session.snapshot.leftOut);
    if (leftOut !== null) options.warn(leftOut);
    const prepared = await prepareQuery(session.connection, options.sql);
    progress.follow(session.connection);
    if (target === null) await printRows(prepared, format as TextFormat, options.out, progress);
    else await printParquet(session.connection, options, target.fd);
  } catch (error) {
    throw asQueryError(error);
  } finally {
    progress.end();
    stopWatching();
    session?.close();
    copies.close();
  }
}

async function printRows(
  prepared: DuckDBPreparedStatement,
  format: TextFormat,
  out: Writable,
  progress: ProgressLine,
): Promise<void> {
  const result = await prepared.stream();
  const formatter = TEXT_FORMATS[format](result.deduplicatedColumnNames());
  let head = formatter.head();
  for (
    let chunk = await result.fetchChunk();
    chunk !== null && chunk.rowCount > 0;
    chunk = await result.fetchChunk()
  ) {
    const text = head + formatter.rows(chunk);
    head = '';
    progress.clear();
    await write(out, text);
  }
  progress.end();
  await write(out, head + formatter.end());
}

async function write(out: Writable, bytes: string | Uint8Array): Promise<void> {
  if (!out.write(bytes)) await once(out, 'drain');
}

/** DuckDB writes a private file, which is then copied to the output. The query itself was checked before. */
async function printParquet(
  connection: DuckDBConnection,
  { sql, out }: QueryOptions,
  fd: number,
): Promise<void> {
  await connection.run(`COPY (FROM query(${sqlText(sql)})) TO ${sqlText(pathOfFd(fd))} (${PARQUET})`);
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let at = 0; ; ) {
    const read = fs.readSync(fd, buffer, 0, buffer.length, at);
    if (read === 0) return;
    await write(out, Buffer.from(buffer.subarray(0, read)));
    at += read;
  }
}
