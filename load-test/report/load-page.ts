/** The page of one load: its figures, and its course second by second. */
import {
  countOf,
  FAILURE_TEXTS,
  isSuccess,
  type LoadResult,
  type OutcomeCounts,
  type Slice,
} from '../plan.ts';
import { originSection } from './machine.ts';
import { type Callout, type Chart, type ChartSeries, renderPage, type Section, type Tone } from './page.ts';
import { checkText, countRows, latencyRows, loadText, type Row, storageText } from './summary.ts';

/** The part after the last whole second is too short to draw. */
const DRAWN_SECONDS_MIN = 0.5;

const xOf = (timeline: readonly Slice[]): number[] =>
  timeline.map(({ atSeconds }) => Number(atSeconds.toFixed(2)));

function latencyOverTime(timeline: readonly Slice[]): Chart {
  const line = (label: string, key: 'p50Ms' | 'p90Ms' | 'p99Ms' | 'p999Ms' | 'maxMs'): ChartSeries => ({
    label,
    values: timeline.map(({ latency }) => (latency.count === 0 ? null : latency[key])),
  });
  return {
    title: 'Latency of 2xx answers over time',
    x: xOf(timeline),
    xLabel: 'seconds',
    yLabel: 'ms',
    yScale: 'log',
    series: [
      line('p50', 'p50Ms'),
      line('p90', 'p90Ms'),
      line('p99', 'p99Ms'),
      line('p99.9', 'p999Ms'),
      line('max', 'maxMs'),
    ],
  };
}

function throughput(timeline: readonly Slice[], batch: number): Chart {
  const perSecond = (count: (slice: Slice) => number): number[] =>
    timeline.map((slice) => (slice.seconds > 0 ? count(slice) / slice.seconds : 0));
  return {
    title: 'Throughput',
    x: xOf(timeline),
    xLabel: 'seconds',
    yLabel: 'a second',
    series: [
      { label: 'requests sent', values: perSecond(({ sent }) => sent), dashed: true },
      {
        label: '2xx answers',
        values: perSecond(({ outcomes }) => countOf(outcomes, isSuccess)),
        tone: 'good',
      },
      ...(batch > 1
        ? [{ label: 'metrics accepted', values: perSecond(({ acceptedMetrics }) => acceptedMetrics) }]
        : []),
    ],
  };
}

const STATUS_CLASSES: readonly (readonly [label: string, tone: Tone, (outcome: string) => boolean])[] = [
  ['2xx', 'good', isSuccess],
  ['429', 'warn', (outcome) => outcome === '429'],
  ['other 4xx', 'muted', (outcome) => /^4/.test(outcome) && outcome !== '429'],
  ['5xx', 'bad', (outcome) => /^5/.test(outcome)],
  ['no answer', 'bad', (outcome) => outcome in FAILURE_TEXTS],
];

function statusMix(timeline: readonly Slice[]): Chart {
  const share = (outcomes: OutcomeCounts, wanted: (outcome: string) => boolean): number | null => {
    const total = countOf(outcomes, () => true);
    return total === 0 ? null : (100 * countOf(outcomes, wanted)) / total;
  };
  const series = STATUS_CLASSES.map(([label, tone, wanted]) => ({
    label,
    tone,
    values: timeline.map(({ outcomes }) => share(outcomes, wanted)),
  }));
  return {
    title: 'Outcomes over time',
    x: xOf(timeline),
    xLabel: 'seconds',
    yLabel: '% of outcomes',
    kind: 'stacked',
    series: series.filter(({ values }) => values.some((value) => value !== null && value > 0)),
  };
}

/** The curves of several histograms over the same percentiles. */
function distributions(result: LoadResult): Chart {
  const { apiLatency, serviceTime, storageLatency } = result;
  const curves = [
    { label: 'due → 2xx answer', latency: apiLatency },
    { label: 'send → 2xx answer', latency: serviceTime, dashed: true },
    ...(storageLatency === undefined
      ? []
      : [{ label: 'due → in the files', latency: storageLatency.latency }]),
  ].filter(({ latency }) => latency.count > 0);
  // This axis has no place for 100%; the last point before it is one request.
  const points = curves.map(({ latency }) =>
    latency.distribution.slice(0, -1).map(([percentile, ms]) => [100 / (100 - percentile), ms] as const),
  );
  const longest = points.reduce((a, b) => (b.length > a.length ? b : a), []);
  return {
    title: 'Distribution of latencies',
    x: longest.map(([x]) => x),
    xLabel: 'percentile',
    yLabel: 'ms',
    xScale: 'percentile',
    yScale: 'log',
    series: curves.map(({ label, ...curve }, index) => ({
      label,
      values: longest.map((_, k) => points[index]?.[k]?.[1] ?? null),
      ...('dashed' in curve ? { dashed: true } : {}),
    })),
  };
}

function callouts(result: LoadResult): Callout[] {
  const { check, warnings, interrupted } = result;
  const tone: Tone = !check.ok ? 'bad' : check.kind === 'none' ? 'warn' : 'good';
  return [
    { tone, text: checkText(result) },
    ...(interrupted
      ? [{ tone: 'warn', text: 'ended early: the figures cover the part that was measured' } as const]
      : []),
    ...warnings.map((text) => ({ tone: 'warn', text }) as const),
  ];
}

function tableOf([head = [], ...rows]: readonly Row[]) {
  return { head, rows };
}

/** @param command as typed */
export function loadPage(result: LoadResult, command: string): string {
  const { plan, startedAt, runId, seconds } = result;
  const whole = result.timeline.filter((slice) => slice.seconds >= DRAWN_SECONDS_MIN);
  const timeline = whole.length > 0 ? whole : result.timeline;
  const storage = storageText(result);
  const sections: Section[] = [
    { heading: 'Result', callouts: callouts(result) },
    {
      heading: 'Latency',
      text: storage === undefined ? [] : [`${storage}.`],
      table: tableOf(latencyRows(result)),
      charts: [latencyOverTime(timeline), distributions(result)],
    },
    {
      heading: 'Throughput and outcomes',
      table: { head: ['', 'count', ''], rows: countRows(result) },
      charts: [throughput(timeline, plan.batch), statusMix(timeline)],
    },
    originSection(command, [
      ['load', loadText(plan)],
      ['target', `${plan.host}:${plan.port}`],
      ['seed, run id', `${plan.seed}, ${runId}`],
      ['started', startedAt],
      ['measured', `${seconds.toFixed(2)} s after ${plan.warmUpMs / 1e3} s of warm-up`],
      ['timeout of a request', `${plan.timeoutMs} ms`],
    ]),
  ];
  return renderPage({ title: 'Load test', intro: loadText(plan), sections });
}
