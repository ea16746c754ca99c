/**
 * The SQL behind each part of the page. All of it runs with `metricsstream query` too, because people copy it.
 *
 * A plot has one row per step of time and line. Its number of steps is bounded by the width of the plot, so that the
 * size of an answer does not depend on the range.
 */
import { sqlText } from '../duckdb/duckdb.ts';

/** Ways to show the values in a step. */
export const MODES = [
  'raw',
  'avg',
  'min',
  'max',
  'sum',
  'count',
  'rate',
  'p50',
  'p90',
  'p99',
  'percentiles',
] as const;
export type Mode = (typeof MODES)[number];

/** `by`: one line for all, one for each series, or one for each value of this tag. */
const ALL_IN_ONE = '';
const EACH_SERIES = '*';

export interface PlotQuestion {
  readonly name: string;
  readonly mode: Mode;
  readonly by: string;
  /** Values that tags must have. */
  readonly where: readonly (readonly [key: string, value: string])[];
  /** Unix milliseconds, `[fromMs, toMs)`. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
}

/** Lines of a plot. A plot of more lines shows those with the most metrics. */
export const LINES_MAX = 20;

const AGGREGATES: Readonly<Partial<Record<Mode, string>>> = {
  avg: 'avg(value)',
  min: 'min(value)',
  max: 'max(value)',
  sum: 'sum(value)',
  count: 'count(*)::DOUBLE',
  p50: 'quantile_cont(value, 0.5)',
  p90: 'quantile_cont(value, 0.9)',
  p99: 'quantile_cont(value, 0.99)',
};

const STEPS_MS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * 1_000),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60_000),
  ...[1, 2, 3, 6, 12].map((hours) => hours * 3_600_000),
];
const DAY_MS = 86_400_000;

/** The shortest round step that fills a range with at most `points` steps. */
export function stepFor(rangeMs: number, points: number): number {
  const leastMs = rangeMs / points;
  return STEPS_MS.find((stepMs) => stepMs >= leastMs) ?? Math.ceil(leastMs / DAY_MS) * DAY_MS;
}

function intervalText(stepMs: number): string {
  if (stepMs % DAY_MS === 0) return `INTERVAL ${stepMs / DAY_MS} DAY`;
  return stepMs % 1_000 === 0 ? `INTERVAL ${stepMs / 1_000} SECOND` : `INTERVAL ${stepMs} MILLISECOND`;
}

function tagOf(key: string): string {
  return `tags[${sqlText(key)}]`;
}

/** The expression whose values name the lines. */
function lineOf(by: string): string {
  if (by === ALL_IN_ONE) return `'all'`;
  return by === EACH_SERIES ? 'tags::VARCHAR' : `coalesce(${tagOf(by)}, '(none)')`;
}

const YEAR_1_MS = Date.parse('0001-01-01');
const YEAR_10000_MS = Date.UTC(10_000, 0, 1);

type Range = Pick<PlotQuestion, 'fromMs' | 'toMs'>;

/** Years with four digits as text that people read; DuckDB does not read the ISO text of others. */
function timeText(ms: number): string {
  if (ms < YEAR_1_MS || ms >= YEAR_10000_MS) return `make_timestamp_ms(${ms})`;
  return `TIMESTAMP ${sqlText(new Date(ms).toISOString().replace('T', ' ').slice(0, -1))}`;
}

function inRange({ fromMs, toMs }: Range): string {
  return `time >= ${timeText(fromMs)} AND time < ${timeText(toMs)}`;
}

function conditions({ name, where, ...range }: Pick<PlotQuestion, 'name' | 'where'> & Range): string {
  const tags = where.map(([key, value]) => `${tagOf(key)} = ${sqlText(value)}`);
  return [`name = ${sqlText(name)}`, ...tags, inRange(range)].join('\n  AND ');
}

/** The lines of a plot with the most metrics, one more than are shown. */
export function linesSql(question: PlotQuestion): string {
  return `SELECT ${lineOf(question.by)} AS line, count(*) AS count
FROM metrics
WHERE ${conditions(question)}
GROUP BY line ORDER BY count DESC, line LIMIT ${LINES_MAX + 1}`;
}

/**
 * Rows of time, line and value, ordered by time.
 * @param lines show only these
 */
export function plotSql(question: PlotQuestion, lines: readonly string[] | null): string {
  const { mode, by, stepMs } = question;
  const line = lineOf(by);
  const only = lines === null ? '' : `\n  AND ${line} IN (${lines.map(sqlText).join(', ')})`;
  const where = conditions(question) + only;
  const step = intervalText(stepMs);
  if (mode === 'raw') return rawSql(line, where, step);
  if (mode === 'rate') return rateSql(line, where, step, stepMs);
  if (mode === 'percentiles') return percentilesSql(where, step);
  return `SELECT time_bucket(${step}, time) AS time, ${line} AS line, ${AGGREGATES[mode]} AS value
FROM metrics
WHERE ${where}
GROUP BY ALL ORDER BY ALL`;
}

/** The least and the greatest value of each step, at their own times, so that a long range does not hide a peak. */
function rawSql(line: string, where: string, step: string): string {
  return `SELECT DISTINCT unnest([arg_min(time, value), arg_max(time, value)]) AS time, line,
       unnest([min(value), max(value)]) AS value
FROM (
  SELECT time, ${line} AS line, value, time_bucket(${step}, time) AS step
  FROM metrics
  WHERE ${where}
)
GROUP BY line, step ORDER BY ALL`;
}

function rateSql(line: string, where: string, step: string, stepMs: number): string {
  return `SELECT time_bucket(${step}, time) AS time, line, sum(increase) / ${stepMs / 1_000} AS value
FROM (
  SELECT time, line, CASE WHEN value < before THEN value ELSE value - before END AS increase
  FROM (
    SELECT time, ${line} AS line, value,
           lag(value) OVER (PARTITION BY list_sort(map_entries(tags)) ORDER BY time) AS before
    FROM metrics
    WHERE ${where}
  )
  WHERE before IS NOT NULL
)
GROUP BY ALL ORDER BY ALL`;
}

function percentilesSql(where: string, step: string): string {
  return `SELECT time, unnest(['p50', 'p90', 'p99']) AS line, unnest(quantiles) AS value
FROM (
  SELECT time_bucket(${step}, time) AS time, quantile_cont(value, [0.5, 0.9, 0.99]) AS quantiles
  FROM metrics
  WHERE ${where}
  GROUP BY ALL
)
ORDER BY ALL`;
}

/** Names of all stored metrics, also of those outside the range. */
export const NAMES_SQL = 'SELECT * FROM names()';

/** The series of a name, those with the most metrics first, and how many there are. */
export function seriesSql(name: string, limit: number): string {
  return `SELECT tags, count(*) AS count, arg_max(value, time) AS value, max(time) AS last, count(*) OVER () AS series
FROM metrics
WHERE name = ${sqlText(name)}
GROUP BY tags ORDER BY count DESC, tags LIMIT ${limit}`;
}

/** The values of each tag of a name, at most `limit` for each tag. */
export function tagsSql(name: string, limit: number): string {
  return `SELECT tag.key AS key, tag.value AS value, sum(count)::BIGINT AS count
FROM (
  SELECT unnest(map_entries(tags)) AS tag, count
  FROM (SELECT tags, count(*) AS count FROM metrics WHERE name = ${sqlText(name)} GROUP BY tags)
)
GROUP BY tag.key, tag.value
QUALIFY row_number() OVER (PARTITION BY tag.key ORDER BY sum(count) DESC, tag.value) <= ${limit}
ORDER BY key, count DESC, value`;
}
