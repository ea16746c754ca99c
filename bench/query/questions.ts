/** The five questions, for both programs, and how far their answers may differ. */
import { BASE_MS } from './data.ts';

const HOUR_MS = 3_600_000;
/** DuckDB groups by a text in a third of the time that a map takes. */
const SERIES = 'tags::JSON::VARCHAR';

/** An answer: a number for each label. */
export type Answer = ReadonlyMap<string, number>;

export interface Question {
  readonly title: string;
  /** Two columns: label and number. */
  readonly sql: string;
  /** Evaluated at `timeMs`; the windows of MetricsQL include their end and not their start. */
  readonly metricsQl: string;
  readonly timeMs: number;
  /** Labels that make up the label of an answer. */
  readonly labels: readonly string[];
  /** The greatest relative difference between the answers. */
  readonly tolerance: number;
}

function timestamp(ms: number): string {
  return `TIMESTAMP '${new Date(ms).toISOString().slice(0, -1)}'`;
}

/** Sums of the same doubles in another order. */
const ROUNDING = 1e-9;
/** VictoriaMetrics counts into buckets that are 9% wide. */
const BUCKET = 0.1;

/**
 * The questions, about the last whole hour and all of the data.
 * @param endMs end of the data, Unix milliseconds
 */
export function questionsUntil(endMs: number): readonly Question[] {
  const hourEndMs = endMs - ((endMs - BASE_MS) % HOUR_MS);
  if (hourEndMs === BASE_MS) throw new Error('the data is shorter than an hour: load more');
  const inHour = `time >= ${timestamp(hourEndMs - HOUR_MS)} AND time < ${timestamp(hourEndMs)}`;
  const allSeconds = (endMs - BASE_MS) / 1_000;
  return [
    {
      title: 'average by host over an hour',
      sql: `SELECT tags['host'], avg(value) FROM metrics WHERE name = 'cpu.usage' AND ${inHour} GROUP BY 1`,
      metricsQl: `sum(sum_over_time({__name__="cpu.usage"}[1h])) by (host) / sum(count_over_time({__name__="cpu.usage"}[1h])) by (host)`,
      timeMs: hourEndMs - 1,
      labels: ['host'],
      tolerance: ROUNDING,
    },
    {
      title: 'increase of counters by name over an hour',
      sql: `SELECT name, sum(CASE WHEN value < before THEN value ELSE value - before END) FROM (SELECT name, value, lag(value) OVER (PARTITION BY name, ${SERIES} ORDER BY time) AS before FROM metrics WHERE type = 'counter' AND ${inHour}) WHERE before IS NOT NULL GROUP BY name`,
      metricsQl: `sum(increase_prometheus({__name__="http.requests"}[1h]) keep_metric_names) by (__name__)`,
      timeMs: hourEndMs - 1,
      labels: ['__name__'],
      tolerance: ROUNDING,
    },
    {
      title: 'p99 by region over an hour',
      sql: `SELECT tags['region'], quantile_cont(value, 0.99) FROM metrics WHERE name = 'http.latency' AND ${inHour} GROUP BY 1`,
      metricsQl: `histogram_quantile(0.99, sum(histogram_over_time({__name__="http.latency"}[1h])) by (vmrange, region))`,
      timeMs: hourEndMs - 1,
      labels: ['region'],
      tolerance: BUCKET,
    },
    {
      title: 'last value of each series',
      sql: `SELECT name || ' ' || (series->>'host'), last FROM (SELECT name, ${SERIES} AS series, arg_max(value, time) AS last FROM metrics GROUP BY ALL)`,
      metricsQl: `last_over_time({__name__!=""}[${allSeconds}s])`,
      timeMs: endMs - 1,
      labels: ['__name__', 'host'],
      tolerance: 0,
    },
    {
      title: 'top 10 series by count',
      sql: `SELECT name || ' ' || (series->>'host'), n FROM (SELECT name, ${SERIES} AS series, count(*) AS n FROM metrics GROUP BY ALL ORDER BY n DESC LIMIT 10)`,
      metricsQl: `topk(10, count_over_time({__name__!=""}[${allSeconds}s]) keep_metric_names)`,
      timeMs: endMs - 1,
      labels: ['__name__', 'host'],
      tolerance: 0,
    },
  ];
}

/** @throws Error when two answers have other labels, or numbers that differ by more than the tolerance */
export function compareAnswers({ title, tolerance }: Question, ours: Answer, theirs: Answer): void {
  if (ours.size === 0 || ours.size !== theirs.size)
    throw new Error(`${title}: ${ours.size} and ${theirs.size} labels`);
  for (const [label, value] of ours) {
    const other = theirs.get(label);
    if (other === undefined) throw new Error(`${title}: only one answer has ${label}`);
    const difference = Math.abs(value - other) / Math.max(Math.abs(value), Math.abs(other), Number.MIN_VALUE);
    if (difference > tolerance) throw new Error(`${title}, ${label}: ${value} and ${other}`);
  }
}
