/**
 * Stored lines as a table: the one place that says how NDJSON becomes the columns time, name, type, tags and value.
 *
 * Column types are explicit, because DuckDB guesses them from a sample: a value column whose first 20,480 lines are
 * integers becomes BIGINT, and 1.5 after them becomes 2. `time` is TIMESTAMP in microseconds, the type that DuckDB's
 * functions expect and that it makes of both units that Parquet offers. Milliseconds within the range of safe integers
 * fit into it exactly. Metrics without tags have an empty map.
 */
import { sqlList } from './duckdb.ts';

const COLUMNS = `{timestamp: 'BIGINT', name: 'VARCHAR', value: 'DOUBLE', type: 'VARCHAR', tags: 'MAP(VARCHAR, VARCHAR)', seal: 'STRUCT("commit" BIGINT)'}`;

/** DuckDB allocates twice this for each thread. */
const LINE_BYTES_DEFAULT = 16 << 20;

/**
 * A FROM item: the lines of NDJSON files in order. `seal` is not null in the last line of each commit.
 * @param lineBytesMax a longer line is an error
 */
export function linesOf(paths: readonly string[], lineBytesMax = LINE_BYTES_DEFAULT): string {
  return `read_json(${sqlList(paths)}, format = 'newline_delimited', columns = ${COLUMNS}, maximum_object_size = ${lineBytesMax})`;
}

/** The expressions that turn the columns of `linesOf` into those of `metrics`, except `commit`. */
export const METRIC_COLUMNS =
  'make_timestamp_ms(timestamp) AS time, name, type, coalesce(tags, MAP {}) AS tags, value';

/**
 * The commit of each line, in a SELECT from `linesOf` over files whose commits have the numbers from `first` on
 * without a gap. A running count needs the lines in order, so it costs parallelism; a query that does not use the
 * column does not compute it.
 */
export function commitColumn(first: number): string {
  return `${first} + count(seal) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - (seal IS NOT NULL)::BIGINT AS commit`;
}
