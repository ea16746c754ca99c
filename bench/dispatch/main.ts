/**
 * Compares ways to have a request served: in place; by a fixed pool that gets the body through rings in shared memory or
 * through postMessage; in a new thread. One task at a time shows how long a task takes; 16 at once show the cost when
 * tasks share wake-ups. A last table shows the memory of threads that live and do nothing.
 *
 * The task is a checksum of its body, and each answer is checked. `--report DIR` writes dispatch.json and .svg.
 */
import { withForks } from '../harness/forks.ts';
import { roundsOr, smokeRun } from '../harness/options.ts';
import { type Measurement, runComponent } from '../harness/publish.ts';
import { baselineOf, takeTurns } from '../harness/turns.ts';
import { lineChart } from '../report/line-chart.ts';
import { type Column, quartileColumns, tableOf } from '../report/table.ts';
import { medianOf, type QuartilesOf, quartilesOf, quartilesOfEach } from '../statistics.ts';
import type { RoundFigures } from './child.ts';
import type { IdleFigures } from './idle-threads.ts';
import {
  BODY_BYTES,
  DEPTH_MAX,
  POOL_THREADS,
  SEED,
  SETTINGS,
  type Setting,
  workloadDigest,
} from './tasks.ts';
import { WAYS, type Way } from './ways.ts';

/** Fewer than elsewhere: a round of threads takes seconds. */
const ROUNDS = smokeRun ? 0 : roundsOr(5);
const IDLE_KINDS = ['empty', 'loaded'] as const;
const IDLE_COUNTS = smokeRun ? ([1] as const) : ([1, 8, 32] as const);
const IDLE_ROUNDS = smokeRun ? 1 : 3;

interface Cell extends Setting {
  readonly way: Way;
}

type CellResult = ReturnType<typeof summarize>[number];

interface IdleCell {
  readonly kind: (typeof IDLE_KINDS)[number];
  readonly threads: number;
}

type IdleResult = IdleCell & QuartilesOf<IdleFigures>;

const CELLS: readonly Cell[] = SETTINGS.flatMap((setting) => WAYS.map((way) => ({ ...setting, way })));

/** A child for each way; each has verified its answers before it is asked. */
function measure(): Promise<Map<Cell, RoundFigures[]>> {
  const script = new URL('./child.js', import.meta.url);
  return withForks(
    WAYS.map((way) => ({ name: way, script, args: [way] })),
    (ask) =>
      takeTurns(
        smokeRun ? [] : CELLS,
        ROUNDS,
        ({ way, bodyBytes, depth }) => ask(way, { bodyBytes, depth }) as Promise<RoundFigures>,
      ),
  );
}

function summarize(measured: ReadonlyMap<Cell, readonly RoundFigures[]>) {
  return [...measured].map(([cell, own]) => {
    const inPlace = baselineOf(measured, cell, { way: 'in place' });
    const toAnswer = own.flatMap(({ answerNs }) => answerNs ?? []);
    return {
      ...cell,
      tasks: own[0]!.tasks,
      wallNs: quartilesOf(own.map(({ wallNs }) => wallNs)),
      cpuNs: quartilesOf(own.map(({ cpuNs }) => cpuNs)),
      answerNs: toAnswer.length === 0 ? null : quartilesOf(toAnswer),
      /** CPU time of a task beyond that in place: median over rounds. */
      extraCpuNs: medianOf(own.map(({ cpuNs }, round) => cpuNs - inPlace[round]!.cpuNs)),
    };
  });
}

async function measureIdle(): Promise<IdleResult[]> {
  const script = new URL('./idle-threads.js', import.meta.url);
  const cells = IDLE_KINDS.flatMap((kind) => IDLE_COUNTS.map((threads): IdleCell => ({ kind, threads })));
  const measured = await takeTurns(
    cells,
    IDLE_ROUNDS,
    ({ kind, threads }) =>
      withForks([{ name: kind, script, args: [kind, String(threads)] }], (ask) =>
        ask(kind, 'measure'),
      ) as Promise<IdleFigures>,
    0,
  );
  return [...measured].map(([cell, figures]) => ({ ...cell, ...quartilesOfEach(figures) }));
}

const TIME_UNITS = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
  [1, 'ns'],
] as const;

const threeDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3, useGrouping: false });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** Three digits, in the unit that suits. */
function time(ns: number): string {
  const [scale, unit] = TIME_UNITS.find(([least]) => ns >= least) ?? [1, 'ns'];
  return `${threeDigits.format(ns / scale)} ${unit}`;
}

const COLUMNS: readonly Column<CellResult>[] = [
  ['way', ({ way }) => way],
  ['body', ({ bodyBytes }) => String(bodyBytes)],
  ['at once', ({ depth }) => String(depth)],
  ...quartileColumns<CellResult>('a task', ({ wallNs }) => wallNs, time),
  ['to answer', ({ answerNs }) => (answerNs === null ? '' : time(answerNs.p50))],
  ...quartileColumns<CellResult>('CPU a task', ({ cpuNs }) => cpuNs, time),
  ['CPU beyond in place', ({ way, extraCpuNs }) => (way === 'in place' ? '' : time(extraCpuNs))],
  ['tasks/s', ({ wallNs }) => compact.format(1e9 / wallNs.p50)],
];

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

const IDLE_COLUMNS: readonly Column<IdleResult>[] = [
  ['idle threads', ({ threads, kind }) => `${threads} ${kind}`],
  ...quartileColumns<IdleResult>('MB each', ({ rssBytes }) => rssBytes, megabytes),
  ['started within, each', ({ startMs }) => `${startMs.p50.toFixed(1)} ms`],
];

function chart(results: readonly CellResult[]): string {
  return lineChart({
    title: `CPU time of a task, ${DEPTH_MAX} at once`,
    xLabel: 'bytes of the body',
    yLabel: 'µs, all threads of the process',
    xScale: 'log',
    yScale: 'log',
    series: WAYS.map((way) => ({
      name: way,
      points: results
        .filter((result) => result.way === way && result.depth === DEPTH_MAX)
        .map(({ bodyBytes, cpuNs }) => [bodyBytes, cpuNs.p50 / 1e3] as const),
    })),
    xTicks: BODY_BYTES,
    xText: (value) => value.toLocaleString('en'),
  });
}

interface Figures extends Measurement {
  readonly poolThreads: number;
  readonly results: readonly CellResult[];
  readonly idle: readonly IdleResult[];
}

await runComponent<Figures>({
  title: 'dispatch',
  name: 'dispatch',
  measure: async () => {
    const measured = await measure();
    const idle = await measureIdle();
    if (smokeRun) return `${WAYS.length} ways`;
    const origin = { rounds: ROUNDS, seed: SEED, digest: workloadDigest() };
    return { ...origin, poolThreads: POOL_THREADS, results: summarize(measured), idle };
  },
  tables: ({ results, idle }) => ({ tasks: tableOf(COLUMNS, results), idle: tableOf(IDLE_COLUMNS, idle) }),
  charts: ({ results }) => ({ 'dispatch.svg': chart(results) }),
});
