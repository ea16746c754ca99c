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

const SORTED = 'map_from_entries(list_sort(map_entries(tags)))';

/**
 * A counter falls when its process starts again: then the new value is the increase. The first sample of a series has
 * no increase.
 */
const INCREASES = `
  SELECT time, tags, CASE WHEN value < before THEN value ELSE value - before END AS increase
  FROM (
    SELECT time, ${SORTED} AS tags, value,
           lag(value) OVER (PARTITION BY ${SORTED} ORDER BY time) AS before
    FROM metrics WHERE name = metric
  ) WHERE before IS NOT NULL`;

export const MACROS: readonly Macro[] = [
  macro({
    call: 'rate(metric, step)',
    columns: 'time, tags, rate',
    help: 'increase of a counter per second, by series and step; a fall counts as a reset',
    example: `SELECT * FROM rate('http.requests', INTERVAL 1 MINUTE) ORDER BY time`,
    body: `
      SELECT time_bucket(step, time) AS time, tags,
             sum(increase) / (epoch_us(TIMESTAMP 'epoch' + step) / 1e6) AS rate
      FROM (${INCREASES}) GROUP BY ALL`,
  }),
  macro({
    call: 'latest(metric)',
    columns: 'tags, time, value',
    help: 'the last value of each series',
    example: `SELECT tags['host'] AS host, value FROM latest('cpu.usage') ORDER BY value DESC LIMIT 10`,
    body: `
      SELECT ${SORTED} AS tags, max(last_time) AS time, arg_max(last_value, last_time) AS value
      FROM (
        SELECT tags, max(time) AS last_time, arg_max(value, time) AS last_value
        FROM metrics WHERE name = metric GROUP BY tags
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
      SELECT name, ${SORTED} AS tags, sum(lines)::BIGINT AS count, min(first_time) AS first, max(last_time) AS last
      FROM (
        SELECT name, tags, count(*) AS lines, min(time) AS first_time, max(time) AS last_time
        FROM metrics GROUP BY name, tags
      ) GROUP BY ALL ORDER BY count DESC, name LIMIT n`,
  }),
  macro({
    call: 'names()',
    columns: 'name, type, series, count, first, last',
    help: 'all names, with their series and metrics',
    example: 'SELECT * FROM names()',
    body: `
      SELECT name, type, count(DISTINCT list_sort(map_entries(tags))) AS series, sum(lines)::BIGINT AS count,
             min(first_time) AS first, max(last_time) AS last
      FROM (
        SELECT name, type, tags, count(*) AS lines, min(time) AS first_time, max(time) AS last_time
        FROM metrics GROUP BY name, type, tags
      ) GROUP BY name, type ORDER BY name, type`,
  }),
];
