/**
 * What it costs to have a request served by another thread: done in place; handed to a fixed pool, by rings in shared
 * memory or by postMessage; done in a new thread. One at a time, to see how long a task takes, and 16 at once, to see
 * what it costs when wake-ups are shared. Besides, the memory that threads take which live and do nothing.
 *
 * Each way has a process of its own; the processes take turns within a round. The task is a checksum of its body, and
 * each answer is checked. Options as in harness.ts; besides, `--report DIR` writes dispatch.json and .svg there.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer, jsonOutput, machine, only, type Spread, smokeRun, spreadOf } from '../harness.ts';
import { lineChart } from '../plot/line-chart.ts';
import type { RoundFigures } from './child.ts';
import type { IdleFigures } from './idle-threads.ts';
import { POOL_THREADS } from './pool.ts';
import {
  BODY_BYTES,
  DEPTH_MAX,
  SEED,
  SETTINGS,
  type Setting,
  WAYS,
  type Way,
  workloadDigest,
} from './tasks.ts';

const TITLE = 'dispatch';
/** Fewer than elsewhere: a round of threads takes seconds. */
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);

const IDLE_COUNTS = smokeRun ? ([1] as const) : ([1, 8, 32] as const);
const IDLE_KINDS = ['empty', 'loaded'] as const;
const IDLE_ROUNDS = smokeRun ? 1 : 3;

interface Cell extends Setting {
  readonly way: Way;
}

interface CellResult extends Cell {
  readonly tasks: number;
  readonly wallNs: Spread;
  readonly cpuNs: Spread;
  readonly answerNs: Spread | null;
  /** CPU time of a task beyond that in place: median over rounds. */
  readonly extraCpuNs: number;
}

interface IdleResult {
  readonly kind: (typeof IDLE_KINDS)[number];
  readonly threads: number;
  readonly rssBytes: Spread;
  readonly startMs: Spread;
  readonly kernelThreads: number;
}

const CELLS: readonly Cell[] = SETTINGS.flatMap((setting) => WAYS.map((way) => ({ ...setting, way })));

const scriptOf = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** A child for each way; each has verified that it answers all tasks rightly. */
async function startWays(): Promise<Map<Way, ChildProcess>> {
  const children = new Map<Way, ChildProcess>();
  for (const way of WAYS) {
    const child = fork(scriptOf('child'), [way, ...process.argv.slice(2)]);
    children.set(way, child);
    await answer(child, way);
  }
  return children;
}

/** Figures of every round but the first, which only warms up. */
async function takeTurns(children: ReadonlyMap<Way, ChildProcess>): Promise<Map<Cell, RoundFigures[]>> {
  const measured = new Map<Cell, RoundFigures[]>(CELLS.map((cell) => [cell, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const cell of CELLS) {
      const { way, bodyBytes, depth } = cell;
      const child = children.get(way)!;
      child.send({ bodyBytes, depth } satisfies Setting);
      const figures = (await answer(child, way)) as RoundFigures;
      if (round > 0) measured.get(cell)!.push(figures);
    }
  }
  return measured;
}

function summarize(measured: ReadonlyMap<Cell, readonly RoundFigures[]>): CellResult[] {
  return CELLS.map((cell) => {
    const own = measured.get(cell)!;
    const inPlace = measured.get(
      CELLS.find(
        ({ way, bodyBytes, depth }) =>
          way === 'in place' && bodyBytes === cell.bodyBytes && depth === cell.depth,
      )!,
    )!;
    const toAnswer = own.flatMap(({ answerNs }) => answerNs ?? []);
    return {
      ...cell,
      tasks: own[0]!.tasks,
      wallNs: spreadOf(own.map(({ wallNs }) => wallNs)),
      cpuNs: spreadOf(own.map(({ cpuNs }) => cpuNs)),
      answerNs: toAnswer.length === 0 ? null : spreadOf(toAnswer),
      extraCpuNs: spreadOf(own.map(({ cpuNs }, round) => cpuNs - inPlace[round]!.cpuNs)).p50,
    };
  });
}

/** Each count in a process of its own: memory that threads have left is not given back. */
async function measureIdle(): Promise<IdleResult[]> {
  const cells = IDLE_KINDS.flatMap((kind) => IDLE_COUNTS.map((threads) => ({ kind, threads })));
  const measured = new Map(cells.map((cell) => [cell, [] as IdleFigures[]]));
  for (let round = 0; round < IDLE_ROUNDS; round++) {
    for (const cell of cells) {
      const child = fork(scriptOf('idle-threads'), [cell.kind, String(cell.threads)]);
      measured.get(cell)!.push((await answer(child, 'idle threads')) as IdleFigures);
      child.disconnect();
    }
  }
  return cells.map((cell) => {
    const own = measured.get(cell)!;
    return {
      ...cell,
      rssBytes: spreadOf(own.map(({ rssBytes }) => rssBytes)),
      startMs: spreadOf(own.map(({ startMs }) => startMs)),
      kernelThreads: own[0]!.kernelThreads,
    };
  });
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

const spread = ({ p25, p75 }: Spread): string => `${time(p25)}–${time(p75)}`;

function print(results: readonly CellResult[], idle: readonly IdleResult[], digest: string): void {
  console.log(`\n${TITLE}: a task's checksum, by the thread that has its body or by another`);
  console.log(`  ${machine()}; pools of ${POOL_THREADS}; ${ROUNDS} rounds in turns`);
  console.log(`  workload: seed ${SEED}, digest ${digest}`);
  console.log(
    '    body  at once  way                     a task             p25–p75   to answer    CPU a task             p25–p75   CPU beyond in place   tasks/s',
  );
  for (const { way, bodyBytes, depth, wallNs, cpuNs, answerNs, extraCpuNs } of results) {
    console.log(
      `${String(bodyBytes).padStart(8)}${String(depth).padStart(9)}  ${way.padEnd(18)}` +
        time(wallNs.p50).padStart(12) +
        spread(wallNs).padStart(20) +
        (answerNs === null ? '' : time(answerNs.p50)).padStart(12) +
        time(cpuNs.p50).padStart(14) +
        spread(cpuNs).padStart(20) +
        (way === 'in place' ? '' : time(extraCpuNs)).padStart(22) +
        compact.format(1e9 / wallNs.p50).padStart(10),
    );
  }
  console.log('\n  threads that are idle   memory each (p25–p75)   started within, each');
  for (const { kind, threads, rssBytes, startMs } of idle) {
    const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
    console.log(
      `  ${String(threads).padStart(4)} ${kind.padEnd(8)}${`${mb(rssBytes.p50)} MB (${mb(rssBytes.p25)}–${mb(rssBytes.p75)})`.padStart(32)}` +
        `${startMs.p50.toFixed(1)} ms`.padStart(20),
    );
  }
}

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

function reportDir(): string | undefined {
  const at = process.argv.indexOf('--report');
  return at < 0 ? undefined : process.argv[at + 1];
}

async function main(): Promise<void> {
  if (!TITLE.includes(only)) return;
  const children = await startWays();
  let results: CellResult[] = [];
  try {
    if (!smokeRun) results = summarize(await takeTurns(children));
  } finally {
    for (const child of children.values()) child.disconnect();
  }
  const idle = await measureIdle();
  if (smokeRun) {
    console.log(`${TITLE}: ${WAYS.length} ways verified`);
    return;
  }
  const digest = workloadDigest();
  const figures = {
    title: TITLE,
    machine: machine(),
    seed: SEED,
    digest,
    rounds: ROUNDS,
    poolThreads: POOL_THREADS,
    results,
    idle,
  };
  if (jsonOutput) console.log(JSON.stringify(figures));
  else print(results, idle, digest);
  const dir = reportDir();
  if (dir === undefined) return;
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'dispatch.json'), `${JSON.stringify(figures, null, 2)}\n`);
  writeFileSync(join(dir, 'dispatch.svg'), chart(results));
}

await main();
