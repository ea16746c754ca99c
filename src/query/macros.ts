/**
 * Table macros for the questions that metrics get most, each with its example for `query --schema` and the documents.
 *
 * A series is a name with its tags in any order. `tags` of a result have their keys sorted.
 */
export interface Macro {
  /** With its parameters: `latest(metric)`. */
  readonly call: string;
  readonly columns: string;
  readonly help: string;
  readonly example: string;
  readonly sql: string;
}

interface MacroParts extends Omit<Macro, 'sql'> {
  readonly body: string;
}

function macro({ body, ...parts }: MacroParts): Macro {
  return { ...parts, sql: `CREATE MACRO ${parts.call} AS TABLE (${body})` };
}

/**
 * The tags of a row as text, to group and join by: DuckDB compares a text in a third of the time of a map. Different tags
 * have different texts, and the text has the same tags again. Tags in another order have another text.
 */
const TEXT = 'tags::JSON::VARCHAR';

/** The sorted tags of the text in a column. */
function sortedTags(column: string): string {
  return `map_from_entries(list_sort(map_entries(${column}::JSON::MAP(VARCHAR, VARCHAR))))`;
}

/**
 * A counter falls when its process starts again: then the new value is the increase. The first sample of a series has
 * no increase. Series are numbered, because samples are sorted and grouped by them.
 */
const RATES = `
  WITH samples AS MATERIALIZED (
    SELECT time, ${TEXT} AS text, value FROM metrics WHERE name = metric
  ), texts AS (
    SELECT text, tags, dense_rank() OVER (ORDER BY tags) AS number
    FROM (SELECT text, ${sortedTags('text')} AS tags FROM (SELECT DISTINCT text FROM samples))
  ), changes AS (
    SELECT time, number, value, lag(value) OVER (PARTITION BY number ORDER BY time) AS before
    FROM samples JOIN texts USING (text)
  ), rates AS (
    SELECT time_bucket(step, time) AS time, number,
           sum(CASE WHEN value < before THEN value ELSE value - before END)
             / (epoch_us(TIMESTAMP 'epoch' + step) / 1e6) AS rate
    FROM changes WHERE before IS NOT NULL GROUP BY ALL
  )
  SELECT time, tags, rate FROM rates JOIN (SELECT DISTINCT number, tags FROM texts) USING (number)`;

export const MACROS: readonly Macro[] = [
  macro({
    call: 'rate(metric, step)',
    columns: 'time, tags, rate',
    help: 'increase of a counter per second, by series and step; a fall counts as a reset',
    example: `SELECT * FROM rate('http.requests', INTERVAL 1 MINUTE) ORDER BY time`,
    body: RATES,
  }),
  macro({
    call: 'latest(metric)',
    columns: 'tags, time, value',
    help: 'the last value of each series',
    example: `SELECT tags['host'] AS host, value FROM latest('cpu.usage') ORDER BY value DESC LIMIT 10`,
    body: `
      SELECT ${sortedTags('text')} AS tags, max(last_time) AS time, arg_max(last_value, last_time) AS value
      FROM (
        SELECT ${TEXT} AS text, max(time) AS last_time, arg_max(value, time) AS last_value
        FROM metrics WHERE name = metric GROUP BY text
      ) GROUP BY ALL`,
  }),
  macro({
    call: 'percentiles(metric, by_tag)',
    columns: 'tag, count, p50, p90, p99, max',
    help: 'exact percentiles of the values, by the values of a tag',
    example: `SELECT * FROM percentiles('http.latency', 'region')`,
    body: `
      SELECT tag_value AS tag, count, quantiles[1] AS p50, quantiles[2] AS p90, quantiles[3] AS p99, max
      FROM (
        SELECT tags[by_tag] AS tag_value, count(*) AS count,
               quantile_cont(value, [0.5, 0.9, 0.99]) AS quantiles, max(value) AS max
        FROM metrics WHERE name = metric GROUP BY ALL
      ) ORDER BY tag`,
  }),
  macro({
    call: 'top_series(n)',
    columns: 'name, tags, count, first, last',
    help: 'the series with the most metrics',
    example: 'SELECT * FROM top_series(10)',
    body: `
      SELECT name, ${sortedTags('text')} AS tags, sum(lines)::BIGINT AS count,
             min(first_time) AS first, max(last_time) AS last
      FROM (
        SELECT name, ${TEXT} AS text, count(*) AS lines, min(time) AS first_time, max(time) AS last_time
        FROM metrics GROUP BY name, text
      ) GROUP BY ALL ORDER BY count DESC, name LIMIT n`,
  }),
  macro({
    call: 'names()',
    columns: 'name, type, series, count, first, last',
    help: 'all names, with their series and metrics',
    example: 'SELECT * FROM names()',
    body: `
      SELECT name, type, count(DISTINCT ${sortedTags('text')}) AS series, sum(lines)::BIGINT AS count,
             min(first_time) AS first, max(last_time) AS last
      FROM (
        SELECT name, type, ${TEXT} AS text, count(*) AS lines, min(time) AS first_time, max(time) AS last_time
        FROM metrics GROUP BY name, type, text
      ) GROUP BY name, type ORDER BY name, type`,
  }),
];
