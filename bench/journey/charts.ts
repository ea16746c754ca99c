/** The charts of journey.md: what the client ladder shows, a line for each phase. */
import { lineChart } from '../report/line-chart.ts';
import type { Journey } from './figures.ts';
import { clientsOf, figureOf, ladderCellsOf, type Pick, phasesOf } from './summary.ts';
import { phaseName } from './tables.ts';

function overClients(journey: Journey, title: string, yLabel: string, pick: Pick): string {
  const clients = clientsOf(journey);
  const series = phasesOf(journey).map((phase) => ({
    name: phaseName(journey, phase),
    points: clients.flatMap((count) => {
      const median = figureOf(ladderCellsOf(journey, phase, count), pick)?.median ?? 0;
      // A logarithmic scale has no place for nothing.
      return median > 0 ? [[count, median] as const] : [];
    }),
  }));
  const scales = { xScale: 'linear', yScale: 'log' } as const;
  return lineChart({ title, xLabel: 'clients', yLabel, ...scales, series, xTicks: clients });
}

export const charts = (journey: Journey): Record<string, string> => ({
  'journey-stored.svg': overClients(
    journey,
    'Metrics stored a second',
    'metrics/s',
    (f) => f.storedPerSecond,
  ),
  'journey-p99.svg': overClients(journey, 'p99 of 2xx answers', 'ms', (f) => f.p99Ms),
});
