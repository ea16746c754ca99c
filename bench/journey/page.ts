/** journey.html: the charts, on one page that needs no network. The tables and their explanation are in journey.md. */
import { type Chart, type ChartSeries, renderPage, type Section } from '../../load-test/report/page.ts';
import type { Range } from '../statistics.ts';
import { type Cell, type Figures, type Journey, RATE_KINDS, type RateKind } from './figures.ts';
import {
  clientsOf,
  cpuPerMillion,
  figureOf,
  ladderCellsOf,
  metricsPerCpuSecond,
  openCellsOf,
  phasesOf,
  ratioOf,
  revertBatchesOf,
  revertCellsOf,
  revertVariantsOf,
  saturationOf,
} from './summary.ts';
import { phaseName } from './tables.ts';

/** Short, to stand under an axis. */
const RATE_TICKS: Readonly<Record<RateKind, string>> = {
  fixed: '100/s',
  baseline: "phase 0's saturation",
  below: '80% of the own',
  above: '150% of the own',
};

/** Null where a logarithmic scale has no place for it. */
const point = (range: Range | undefined): number | null =>
  range === undefined || range.median <= 0 ? null : Number(range.median.toPrecision(4));

const numbersTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

function phaseLines(
  journey: Journey,
  chart: Pick<Chart, 'title' | 'xLabel' | 'yLabel' | 'categories'>,
  cellsOf: (phase: number, at: number) => readonly Cell[],
  pick: (figures: Figures) => number | null,
): Chart {
  const categories = chart.categories ?? [];
  const x = numbersTo(categories.length);
  const series = phasesOf(journey).map(
    (phase): ChartSeries => ({
      label: phaseName(journey, phase),
      values: x.map((at) => point(figureOf(cellsOf(phase, at), pick))),
      points: true,
    }),
  );
  return { ...chart, x, yScale: 'log', series };
}

function ladderCharts(journey: Journey): Chart[] {
  const clients = clientsOf(journey);
  const axis = { xLabel: 'clients', categories: clients.map(String) };
  const cells = (phase: number, at: number): Cell[] => ladderCellsOf(journey, phase, clients[at]!);
  return [
    phaseLines(
      journey,
      { ...axis, title: 'Metrics stored a second over clients', yLabel: 'metrics/s' },
      cells,
      (f) => f.storedPerSecond,
    ),
    phaseLines(
      journey,
      { ...axis, title: 'p99 of 2xx answers over clients', yLabel: 'ms' },
      cells,
      (f) => f.p99Ms,
    ),
  ];
}

function openChart(journey: Journey): Chart {
  return phaseLines(
    journey,
    {
      title: 'p99 of 2xx answers over the offered rate',
      xLabel: 'offered rate',
      yLabel: 'ms',
      categories: RATE_KINDS.map((kind) => RATE_TICKS[kind]),
    },
    (phase, at) => openCellsOf(journey, phase, RATE_KINDS[at]!),
    (f) => f.p99Ms,
  );
}

/** One figure at saturation, phase by phase. */
function phaseChart(
  journey: Journey,
  title: string,
  yLabel: string,
  pick: (figures: Figures) => number | null,
): Chart {
  const phases = phasesOf(journey);
  const values = phases.map((phase) =>
    point(figureOf(saturationOf(journey.ladder, phase)?.cells ?? [], pick)),
  );
  return {
    title,
    x: numbersTo(phases.length),
    xLabel: 'phase',
    yLabel,
    yScale: 'log',
    categories: phases.map(String),
    series: [{ label: yLabel, values, points: true }],
  };
}

function revertChart(journey: Journey): Chart {
  const variants = revertVariantsOf(journey).filter(({ revert }) => revert !== undefined);
  return {
    title: 'Metrics per CPU second with one slot reverted, relative to the phase as it is',
    x: numbersTo(variants.length),
    xLabel: 'slot reverted',
    yLabel: 'ratio',
    kind: 'bars',
    categories: variants.map(({ phase, revert }) => `${phase}: ${revert}`),
    series: revertBatchesOf(journey).map((batch) => ({
      label: `${batch} a request`,
      values: variants.map((variant) => {
        const complete = revertCellsOf(journey, { phase: variant.phase }, batch);
        return point(ratioOf(revertCellsOf(journey, variant, batch), complete, metricsPerCpuSecond));
      }),
    })),
  };
}

export function page(journey: Journey): string {
  const { open, reverts, command, machine, date } = journey;
  const sections: Section[] = [
    ...(reverts.length > 0 ? [{ heading: 'One slot reverted', charts: [revertChart(journey)] }] : []),
    {
      heading: 'At saturation',
      charts: [
        phaseChart(journey, 'Metrics stored a second, phase by phase', 'metrics/s', (f) => f.storedPerSecond),
        phaseChart(journey, 'CPU seconds per million metrics stored, phase by phase', 'CPU s', cpuPerMillion),
      ],
    },
    { heading: 'The client ladder, closed loop', charts: ladderCharts(journey) },
    ...(open.length > 0 ? [{ heading: 'Constant rates, open loop', charts: [openChart(journey)] }] : []),
  ];
  return renderPage({
    title: 'The optimisation journey, measured',
    intro: `\`${command}\`; ${machine}; ${date}`,
    sections,
  });
}
