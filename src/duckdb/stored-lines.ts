/**
 * Stored lines as a table: defines how NDJSON becomes the columns time, name, type, tags and value.
 *
 * Column types are explicit, because DuckDB guesses them from a sample: a value column whose first 20,480 lines are
 * integers becomes BIGINT, and 1.5 after them becomes 2. `time` is TIMESTAMP in microseconds, the type that DuckDB's
 * functions expect and that it makes of both units that Parquet offers. Milliseconds within the range of safe integers
 * fit into it exactly. Metrics without tags have an empty map.
 */
import { sqlList, sqlText } from './duckdb.ts';

const COLUMNS = `{timestamp: 'BIGINT', name: 'VARCHAR', value: 'DOUBLE', type: 'VARCHAR', tags: 'MAP(VARCHAR, VARCHAR)', seal: 'STRUCT("commit" BIGINT)'}`;

/** DuckDB allocates twice this for each thread. */
const LINE_BYTES_DEFAULT = 16 << 20;

/**
 * A FROM item: the lines of NDJSON files in order. `seal` is not null in the last line of each commit.
 * @param lineBytesMax a longer line is an error
 */
function linesOf(paths: readonly string[], lineBytesMax = LINE_BYTES_DEFAULT): string {
  return `read_json(${sqlList(paths)}, format = 'newline_delimited', columns = ${COLUMNS}, maximum_object_size = ${lineBytesMax})`;
}

/** The expressions that turn the columns of `linesOf` into those of `metrics`, except `commit`. */
const METRIC_COLUMNS =
  'make_timestamp_ms(timestamp) AS time, name, type, coalesce(tags, MAP {}) AS tags, value';

/** Commits with consecutive numbers: the one after `seals` seals has the number `commit`. */
export interface CommitRun {
  readonly seals: number;
  readonly commit: number;
}

/**
 * A SELECT of time, name, type, tags, value and commit from NDJSON files that hold whole commits.
 *
 * The commit of a line follows from the number of seals before it. That running count needs the lines in order, so it
 * costs parallelism; DuckDB drops it from a query that does not use the column.
 * @param runs in ascending order of `seals`, the first with 0; null for lines without a commit yet
 */
export function selectMetrics(
  paths: readonly string[],
  runs: readonly CommitRun[] | null,
  lineBytesMax?: number,
): string {
  const lines = linesOf(paths, lineBytesMax);
  if (runs === null) return `SELECT ${METRIC_COLUMNS}, NULL::BIGINT AS commit FROM ${lines}`;
  const numbered = `SELECT *, ${SEALS_BEFORE} AS seals FROM ${lines}`;
  return `SELECT ${METRIC_COLUMNS}, seals + ${offsetOf(runs)} AS commit FROM (${numbered})`;
}

const SEALS_BEFORE =
  'count(seal) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - (seal IS NOT NULL)::BIGINT';

/** The difference to add to the number of seals: a binary search, because a damaged log may have thousands of runs. */
function offsetOf(runs: readonly CommitRun[]): string {
  if (runs.length <= 1) return String((runs[0]?.commit ?? 0) - (runs[0]?.seals ?? 0));
  const middle = runs.length >> 1;
  const [before, after] = [runs.slice(0, middle), runs.slice(middle)];
  return `CASE WHEN seals < ${runs[middle]!.seals} THEN ${offsetOf(before)} ELSE ${offsetOf(after)} END`;
}

/** A SELECT of id, name, type and tags from a Parquet file of `id` and `line`. */
export function selectSeries(path: string): string {
  const structure = '{"name": "VARCHAR", "type": "VARCHAR", "tags": "MAP(VARCHAR, VARCHAR)"}';
  const parsed = `SELECT id, from_json(line, ${sqlText(structure)}) AS series FROM read_parquet(${sqlText(path)})`;
  return `SELECT id, series.name, series.type, coalesce(series.tags, MAP {}) AS tags FROM (${parsed})`;
}
