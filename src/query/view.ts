/** The view `metrics` over a snapshot. */

import { archivedMetrics } from '../archive/archived-metrics.ts';
import { sqlText } from '../duckdb/duckdb.ts';
import { selectMetrics, selectSeries } from '../duckdb/stored-lines.ts';
import type { Snapshot } from './snapshot.ts';

const COLUMNS = 'time, name, type, tags, value, commit';
const EMPTY = `SELECT NULL::TIMESTAMP AS time, NULL::VARCHAR AS name, NULL::VARCHAR AS type, NULL::MAP(VARCHAR, VARCHAR) AS tags, NULL::DOUBLE AS value, NULL::BIGINT AS commit WHERE false`;

/** Unix milliseconds; the view holds `[fromMs, toMs)`. Infinite ends are open. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A SELECT of all metrics of a snapshot; SERIES_TABLE must hold its series. */
export function metricsSelect(snapshot: Snapshot, range: TimeRange): string {
  return boundedSelect([...fastParts(snapshot), ...lineParts(snapshot)], range);
}

/** The same, where a Parquet file holds what `linesSelect` gave. */
export function copiedSelect(snapshot: Snapshot, copy: string, range: TimeRange): string {
  const copied = `SELECT ${COLUMNS} FROM read_parquet(${sqlText(copy)})`;
  return boundedSelect([...fastParts(snapshot), copied], range);
}

/** A SELECT of the metrics that only NDJSON holds. */
export function linesSelect(snapshot: Snapshot): string {
  return boundedSelect(lineParts(snapshot), ALL_TIMES);
}

/** True if `linesSelect` has any. */
export function hasLines({ live, waiting }: Snapshot): boolean {
  return live.length > 0 || waiting !== null;
}

const ALL_TIMES: TimeRange = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };

/** The series of the snapshot's rows, by the numbers that the rows have. */
const SERIES_TABLE = 'live_series';

/** The statement that makes SERIES_TABLE, or null without rows. */
export function createSeriesTable({ rows }: Snapshot): string | null {
  return rows === null ? null : `CREATE TABLE ${SERIES_TABLE} AS ${selectSeries(rows.series)}`;
}

function fastParts({ archive, rows }: Snapshot): string[] {
  const parts: string[] = [];
  if (archive.length > 0) parts.push(`SELECT ${COLUMNS} FROM ${archivedMetrics(archive)}`);
  if (rows !== null)
    parts.push(
      `SELECT ${COLUMNS} FROM read_parquet(${sqlText(rows.rows)}) JOIN ${SERIES_TABLE} ON id = series`,
    );
  return parts;
}

function lineParts({ live, runs, waiting, lineBytesMax }: Snapshot): string[] {
  const parts: string[] = [];
  if (live.length > 0) parts.push(selectMetrics(live, runs, lineBytesMax));
  if (waiting !== null) parts.push(selectMetrics([waiting], null, lineBytesMax));
  return parts;
}

function boundedSelect(parts: readonly string[], range: TimeRange): string {
  const all = parts.length === 0 ? EMPTY : parts.join('\nUNION ALL ');
  const bounds = boundsOf(range);
  return bounds === '' ? all : `SELECT * FROM (${all}) WHERE ${bounds}`;
}

function boundsOf({ fromMs, toMs }: TimeRange): string {
  const bounds: string[] = [];
  if (Number.isFinite(fromMs)) bounds.push(`time >= make_timestamp_ms(${fromMs})`);
  if (Number.isFinite(toMs)) bounds.push(`time < make_timestamp_ms(${toMs})`);
  return bounds.join(' AND ');
}
