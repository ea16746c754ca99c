/**
 * Telemetry, locked against ring buffer, in real threads: the time that a record costs its thread, how often the thread
 * finds the lock taken, and the time that main spends.
 *
 * Each implementation has a process of its own. After every round the samples that main took, dropped and discarded on
 * purpose must add up to those recorded, and the sums of all stages must agree. `nothing` records nothing: its time is
 * that of the loop and the clock, and shows how disturbed the machine was.
 *
 * `--report DIR` writes telemetry.json and two charts.
 */
import { withForks } from '../harness/forks.ts';
import { roundsOr, smokeRun } from '../harness/options.ts';
import { type Measurement, runComponent } from '../harness/publish.ts';
import { takeTurns } from '../harness/turns.ts';
import { lineChart } from '../report/line-chart.ts';
import { type Column, quartileColumns, tableOf } from '../report/table.ts';
import { type QuartilesOf, quartilesOfEach } from '../statistics.ts';
import { digestOf } from '../workloads.ts';
import type { RoundFigures } from './child.ts';
import { IMPLEMENTATIONS, type ImplementationName, makeUnits, SEED, type Setting } from './setting.ts';

const ROUNDS = smokeRun ? 1 : roundsOr(9);
const ROUND_MS = smokeRun ? 10 : 200;
/** Settings that a smoke run covers: both kinds of gap, all numbers of threads. */
const SMOKE_SETTINGS = 6;

/** The remaining cost of a small request: 8 µs of CPU. */
const REQUEST_NS = 8000;
const SETTINGS: readonly Setting[] = [
  ...[1, 2, 4].map((threads) => ({ threads, gapNs: 0 })),
  ...[1, 2, 4].map((threads) => ({ threads, gapNs: REQUEST_NS })),
  ...[500, 1000, 2000, 4000, 16_000, 32_000].map((gapNs) => ({ threads: 2, gapNs })),
];

interface Cell extends Setting {
  readonly name: ImplementationName;
}

interface Row extends Cell {
  readonly figures: QuartilesOf<RoundFigures>;
}

/** All settings on all implementations. */
async function measure(): Promise<Row[]> {
  const script = new URL('./child.js', import.meta.url);
  const settings = smokeRun ? SETTINGS.slice(0, SMOKE_SETTINGS) : SETTINGS;
  const cells = settings.flatMap((setting) => IMPLEMENTATIONS.map((name): Cell => ({ ...setting, name })));
  const measured = await withForks(
    IMPLEMENTATIONS.map((name) => ({ name, script, args: [name] })),
    (ask) =>
      takeTurns(
        cells,
        ROUNDS,
        ({ name, threads, gapNs }) =>
          ask(name, { setting: { threads, gapNs }, roundMs: ROUND_MS }) as Promise<RoundFigures>,
      ),
  );
  return [...measured].map(([cell, figures]) => ({ ...cell, figures: quartilesOfEach(figures) }));
}

const percent = (part: number): string => (part === 0 ? '0' : `${(100 * part).toPrecision(2)}%`);

const COMMON: readonly Column<Row>[] = [
  ['telemetry', ({ name }) => name],
  ...quartileColumns<Row>(
    'ns/record',
    ({ figures }) => figures.wallNs,
    (ns) => ns.toFixed(1),
  ),
];

/** One record after the other, main asleep. */
const BACK_TO_BACK: readonly Column<Row>[] = [
  ['threads', ({ threads }) => String(threads)],
  ...COMMON,
  ['CPU ns', ({ figures }) => figures.cpuNs.p50.toFixed(1)],
  ['lock taken', ({ figures }) => percent(figures.contended.p50)],
  ['slept', ({ figures }) => percent(figures.slept.p50)],
  ['dropped', ({ figures }) => percent(figures.dropped.p50)],
];

/** A gap of other work between records; main drains every 50 ms. Times are means of the middle half, with the clock. */
const BESIDE_WORK: readonly Column<Row>[] = [
  ['threads × gap', ({ threads, gapNs }) => `${threads} × ${gapNs / 1e3} µs`],
  ...COMMON,
  ['p99', ({ figures }) => figures.p99Ns.p50.toFixed(0)],
  ['p99.9', ({ figures }) => figures.p999Ns.p50.toFixed(0)],
  ['lock taken', ({ figures }) => percent(figures.contended.p50)],
  ['dropped', ({ figures }) => percent(figures.dropped.p50)],
  ['main, each', ({ figures }) => figures.drainNsPerSample.p50.toFixed(1)],
];

function series(rows: readonly Row[], x: (row: Row) => number, y: (row: Row) => number) {
  return IMPLEMENTATIONS.filter((name) => name !== 'nothing').map((name) => ({
    name,
    points: rows.filter((row) => row.name === name).map((row) => [x(row), y(row)] as const),
  }));
}

function backToBackChart(rows: readonly Row[]): string {
  return lineChart({
    title: 'Recording a sample, one after the other',
    xLabel: 'threads',
    yLabel: 'CPU ns for each record',
    xScale: 'linear',
    yScale: 'log',
    xTicks: [1, 2, 4],
    series: series(
      rows.filter(({ gapNs }) => gapNs === 0),
      ({ threads }) => threads,
      ({ figures }) => figures.cpuNs.p50,
    ),
  });
}

function gapChart(rows: readonly Row[]): string {
  const byGap = rows
    .filter(({ threads, gapNs }) => threads === 2 && gapNs > 0)
    .sort((a, b) => a.gapNs - b.gapNs);
  return lineChart({
    title: 'Recording a sample beside other work, two threads',
    xLabel: 'µs of other work between two records of a thread',
    yLabel: 'ns for each record (middle half), less the clock',
    xScale: 'log',
    yScale: 'linear',
    xTicks: byGap.filter(({ name }) => name === 'locked').map(({ gapNs }) => gapNs / 1e3),
    series: series(
      byGap,
      ({ gapNs }) => gapNs / 1e3,
      (row) => Math.max(row.figures.wallNs.p50 - clockNs(byGap, row), 0),
    ),
  });
}

/** Time to record nothing in the same setting. */
function clockNs(rows: readonly Row[], { threads, gapNs }: Setting): number {
  const same = (row: Row): boolean =>
    row.name === 'nothing' && row.threads === threads && row.gapNs === gapNs;
  return rows.find(same)!.figures.wallNs.p50;
}

interface Figures extends Measurement {
  readonly roundMs: number;
  readonly rows: readonly Row[];
}

await runComponent<Figures>({
  title: 'locked and ring telemetry',
  name: 'telemetry',
  measure: async () => {
    const rows = await measure();
    if (smokeRun) return `${rows.length} cases`;
    const digest = digestOf(new Uint8Array(makeUnits().buffer));
    return { rounds: ROUNDS, seed: SEED, digest, roundMs: ROUND_MS, rows };
  },
  tables: ({ rows }) => ({
    'back-to-back': tableOf(
      BACK_TO_BACK,
      rows.filter(({ gapNs }) => gapNs === 0),
    ),
    'beside-work': tableOf(
      BESIDE_WORK,
      rows.filter(({ gapNs }) => gapNs > 0),
    ),
  }),
  charts: ({ rows }) => ({ 'telemetry.svg': backToBackChart(rows), 'telemetry-gap.svg': gapChart(rows) }),
});
