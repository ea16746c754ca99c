/** The view `metrics` over a snapshot. */

import { archivedMetrics } from '../archive/archived-metrics.ts';
import { sqlText } from '../duckdb/duckdb.ts';
import { selectMetrics } from '../duckdb/stored-lines.ts';
import type { Snapshot } from './snapshot.ts';

const COLUMNS = 'time, name, type, tags, value, commit';
const EMPTY = `SELECT NULL::TIMESTAMP AS time, NULL::VARCHAR AS name, NULL::VARCHAR AS type, NULL::MAP(VARCHAR, VARCHAR) AS tags, NULL::DOUBLE AS value, NULL::BIGINT AS commit WHERE false`;

/** Unix milliseconds; the view holds `[fromMs, toMs)`. Infinite ends are open. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A SELECT of all metrics of a snapshot. */
export function metricsSelect(snapshot: Snapshot, range: TimeRange): string {
  return boundedSelect([...archivePart(snapshot), ...unarchivedParts(snapshot)], range);
}

/** The same, where a Parquet file holds what `unarchivedSelect` gave. */
export function copiedSelect(snapshot: Snapshot, copy: string, range: TimeRange): string {
  const copied = `SELECT ${COLUMNS} FROM read_parquet(${sqlText(copy)})`;
  return boundedSelect([...archivePart(snapshot), copied], range);
}

/** A SELECT of the metrics that are not in the archive. */
export function unarchivedSelect(snapshot: Snapshot): string {
  return boundedSelect(unarchivedParts(snapshot), ALL_TIMES);
}

const ALL_TIMES: TimeRange = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };

function archivePart({ archive }: Snapshot): string[] {
  return archive.length === 0 ? [] : [`SELECT ${COLUMNS} FROM ${archivedMetrics(archive)}`];
}

function unarchivedParts({ live, runs, waiting, lineBytesMax }: Snapshot): string[] {
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
