/** Ladders: the same load with ever more of one thing. */
import { formatCount } from '../format.ts';
import type { LoadResult } from '../plan.ts';
import type { Chart } from '../report/page.ts';
import { expectAllSucceed, expectOrderlyAnswers, isPooled } from './expectations.ts';
import type { Scenario, Step } from './scenario.ts';

const REQUESTS = 100;
/** Clients and the time between the sends of each. */
const CLASSIC_RUNGS = [
  [10, 100],
  [25, 20],
  [50, 10],
  [100, 5],
  [125, 4],
] as const;
const CLIENT_RUNGS = [10, 20, 50, 100, 150] as const;
const CLIENT_RUNG_MS = 5_000;
const CLIENT_BATCH = 10;
const WARM_UP_MS = 1_000;
/** More clients must not halve what fewer got done. */
const COLLAPSE_SHARE = 0.5;

export function ladderCharts(steps: readonly Step[], xLabel: string): Chart[] {
  const categories = steps.map(({ name }) => name);
  const x = steps.map((_, index) => index);
  const line = (label: string, value: (result: LoadResult) => number) => ({
    label,
    values: steps.map(({ result }) => (result.apiLatency.count === 0 ? null : value(result))),
    points: true,
  });
  return [
    {
      title: 'Metrics accepted a second',
      x,
      categories,
      xLabel,
      yLabel: 'a second',
      kind: 'bars',
      series: [
        { label: 'metrics a second', values: steps.map(({ result }) => result.acceptedMetricsPerSecond) },
      ],
    },
    {
      title: 'Latency of 2xx answers, from the moment they were due',
      x,
      categories,
      xLabel,
      yLabel: 'ms',
      yScale: 'log',
      series: [
        line('p50', ({ apiLatency }) => apiLatency.p50Ms),
        line('p99', ({ apiLatency }) => apiLatency.p99Ms),
        line('p99.9', ({ apiLatency }) => apiLatency.p999Ms),
      ],
    },
  ];
}

export const classicLadder: Scenario = {
  name: 'classic',
  title: 'Classic ladder: 100 requests each from 10 clients every 100 ms up to 125 every 4 ms',
  expects:
    'every request gets 2xx, or a refusal with Retry-After; on the first rung, and from phase 6 on on every rung, ' +
    'all get 2xx',
  async run(stage) {
    const target = await stage.server();
    await stage.tryOut(target, {
      clients: CLASSIC_RUNGS[0][0],
      load: { kind: 'closed', intervalMs: 0, durationMs: WARM_UP_MS },
    });
    const steps: Step[] = [];
    for (const [clients, intervalMs] of CLASSIC_RUNGS) {
      const name = `${clients} × ${REQUESTS} @ ${intervalMs} ms`;
      const load = { kind: 'closed', requestsPerClient: REQUESTS, intervalMs } as const;
      steps.push({ name, result: await stage.load(name, target, { clients, load }) });
    }
    expectOrderlyAnswers(stage, steps);
    expectAllSucceed(stage, isPooled(stage) ? steps : steps.slice(0, 1));
    for (const chart of ladderCharts(steps, 'load')) stage.chart(chart);
  },
};

export const clientLadder: Scenario = {
  name: 'clients',
  title: `Client ladder: ${CLIENT_RUNGS.join(', ')} clients that send as soon as they are answered`,
  expects:
    'every request gets 2xx, or a refusal with Retry-After; from phase 6 on all get 2xx, and the most clients get at ' +
    'least half of the best throughput done',
  async run(stage) {
    const target = await stage.server();
    const durationMs = stage.options.durationMs ?? CLIENT_RUNG_MS;
    const steps: Step[] = [];
    for (const clients of CLIENT_RUNGS) {
      const name = `${clients} clients`;
      const load = { kind: 'closed', intervalMs: 0, durationMs } as const;
      const plan = { clients, batch: CLIENT_BATCH, load, warmUpMs: WARM_UP_MS };
      steps.push({ name, result: await stage.load(name, target, plan) });
    }
    expectOrderlyAnswers(stage, steps);
    if (isPooled(stage)) {
      expectAllSucceed(stage, steps);
      const rates = steps.map(({ result }) => result.acceptedMetricsPerSecond);
      const best = Math.max(...rates);
      const last = rates.at(-1) ?? 0;
      stage.expect(
        'throughput does not collapse with the number of clients',
        last >= best * COLLAPSE_SHARE,
        `${formatCount(last)} metrics/s with the most clients, ${formatCount(best)} at best`,
      );
    }
    for (const chart of ladderCharts(steps, 'clients')) stage.chart(chart);
  },
};
