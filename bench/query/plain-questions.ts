/** The questions of the macros, asked also in the plain way, which groups by the tags themselves. */

/** The order of tags in a row makes no difference to a series. */
export const SORTED_TAGS = 'map_from_entries(list_sort(map_entries(tags)))';

/** By macro: a question to it about the metric 'a', and the same without the text of tags. */
export const PAIRS: Readonly<Record<string, readonly [macro: string, plain: string]>> = {
  latest: [
    `SELECT tags, time, value FROM latest('a') ORDER BY ALL`,
    `SELECT ${SORTED_TAGS} AS tags, max(last_time), arg_max(last_value, last_time)
     FROM (
       SELECT tags, max(time) AS last_time, arg_max(value, time) AS last_value
       FROM metrics WHERE name = 'a' GROUP BY tags
     ) GROUP BY 1 ORDER BY ALL`,
  ],
  rate: [
    `SELECT time, tags, rate FROM rate('a', INTERVAL 10 SECOND) ORDER BY ALL`,
    `SELECT time_bucket(INTERVAL 10 SECOND, time), tags, sum(CASE WHEN value < before THEN value ELSE value - before END) / 10
     FROM (
       SELECT time, ${SORTED_TAGS} AS tags, value, lag(value) OVER (PARTITION BY ${SORTED_TAGS} ORDER BY time) AS before
       FROM metrics WHERE name = 'a'
     ) WHERE before IS NOT NULL GROUP BY 1, 2 ORDER BY ALL`,
  ],
  top_series: [
    'SELECT * FROM top_series(1000000) ORDER BY ALL',
    `SELECT name, ${SORTED_TAGS} AS tags, sum(lines)::BIGINT, min(first_time), max(last_time)
     FROM (
       SELECT name, tags, count(*) AS lines, min(time) AS first_time, max(time) AS last_time
       FROM metrics GROUP BY name, tags
     ) GROUP BY 1, 2 ORDER BY ALL`,
  ],
  names: [
    'SELECT * FROM names() ORDER BY ALL',
    `SELECT name, type, count(DISTINCT ${SORTED_TAGS}), sum(lines)::BIGINT, min(first_time), max(last_time)
     FROM (
       SELECT name, type, tags, count(*) AS lines, min(time) AS first_time, max(time) AS last_time
       FROM metrics GROUP BY name, type, tags
     ) GROUP BY 1, 2 ORDER BY ALL`,
  ],
};
