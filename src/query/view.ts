/** The view `metrics` over a snapshot. */

import { archivedMetrics } from '../archive/archived-metrics.ts';
import { selectMetrics } from '../duckdb/stored-lines.ts';
import type { Snapshot } from './snapshot.ts';

const COLUMNS = 'time, name, type, tags, value, commit';
const EMPTY = `SELECT NULL::TIMESTAMP AS time, NULL::VARCHAR AS name, NULL::VARCHAR AS type, NULL::MAP(VARCHAR, VARCHAR) AS tags, NULL::DOUBLE AS value, NULL::BIGINT AS commit WHERE false`;

/** Unix milliseconds; the view holds `[fromMs, toMs)`. Infinite ends are open. */
export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** A SELECT of the six columns. */
export function metricsSelect(snapshot: Snapshot, range: TimeRange): string {
  const { archive, live, runs, waiting, lineBytesMax } = snapshot;
  const parts: string[] = [];
  if (archive.length > 0) parts.push(`SELECT ${COLUMNS} FROM ${archivedMetrics(archive)}`);
  if (live.length > 0) parts.push(selectMetrics(live, runs, lineBytesMax));
  if (waiting !== null) parts.push(selectMetrics([waiting], null, lineBytesMax));
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
