/**
 * Telemetry, locked against ring buffer, in real threads: what a record costs the thread that makes it, how often it
 * finds the lock taken, and what main pays.
 *
 * Each implementation has a process of its own; rounds take turns. After every round the samples that main took, those
 * dropped and those thrown away on purpose must add up to those recorded, and the sums of all stages must agree.
 * `nothing` records nothing: what the loop and the clock cost, and how disturbed the machine was.
 *
 * `--report DIR` writes telemetry.json and two charts; `--smoke`, `--json`, `--only=TEXT`, BENCH_ROUNDS as in harness.ts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answer, digestOf, jsonOutput, machine, only, rounds, smokeRun, spreadOf } from '../harness.ts';
import { lineChart } from '../plot/line-chart.ts';
import { startImplementation } from './child.ts';
import {
  IMPLEMENTATIONS,
  type ImplementationName,
  makeUnits,
  type RoundFigures,
  SEED,
  type Setting,
} from './setting.ts';

const TITLE = 'locked and ring telemetry';
const CHILD_ENV = 'BENCH_TELEMETRY_CHILD';
const ROUND_MS = 200;
const SMOKE_ROUND_MS = 10;

/** What a small request costs besides: 8 µs of CPU. */
const REQUEST_NS = 8000;
const SETTINGS: readonly Setting[] = [
  ...[1, 2, 4].map((threads) => ({ threads, gapNs: 0 })),
  ...[1, 2, 4].map((threads) => ({ threads, gapNs: REQUEST_NS })),
  ...[500, 1000, 2000, 4000, 16_000, 32_000].map((gapNs) => ({ threads: 2, gapNs })),
];

type Spreads = Readonly<Record<keyof RoundFigures, ReturnType<typeof spreadOf>>>;

interface Row extends Setting {
  readonly name: ImplementationName;
  readonly figures: Spreads;
}

async function serveRounds(name: ImplementationName): Promise<void> {
  const { runRound } = await startImplementation(name);
  process.on('message', ({ setting, roundMs }: { setting: Setting; roundMs: number }) => {
    runRound(setting, roundMs).then(
      (figures) => process.send!(figures),
      (error) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.send!('ready');
}

/** Runs all settings on all implementations, round by round in turns. */
async function measure(settings: readonly Setting[], roundCount: number, roundMs: number): Promise<Row[]> {
  const children = new Map<ImplementationName, ChildProcess>();
  const measured = new Map<string, RoundFigures[]>();
  const keyOf = (name: string, { threads, gapNs }: Setting): string => JSON.stringify([name, threads, gapNs]);
  try {
    for (const name of IMPLEMENTATIONS) {
      const child = fork(process.argv[1]!, [], {
        env: { ...process.env, [CHILD_ENV]: name },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.set(name, child);
      await answer(child, name);
    }
    // The first round only warms up: compilation ends there.
    for (let round = 0; round <= roundCount; round++) {
      for (const setting of settings) {
        for (const [name, child] of children) {
          child.send({ setting, roundMs });
          const figures = (await answer(child, name)) as RoundFigures;
          const key = keyOf(name, setting);
          if (round > 0) measured.set(key, [...(measured.get(key) ?? []), figures]);
        }
      }
    }
  } finally {
    for (const child of children.values()) child.kill();
    await Promise.all([...children.values()].map((child) => child.exitCode === null && once(child, 'exit')));
  }
  return settings.flatMap((setting) =>
    IMPLEMENTATIONS.map((name) => ({
      ...setting,
      name,
      figures: spreads(measured.get(keyOf(name, setting))!),
    })),
  );
}

function spreads(figures: readonly RoundFigures[]): Spreads {
  const names = Object.keys(figures[0]!) as (keyof RoundFigures)[];
  const entries = names.map((name) => [name, spreadOf(figures.map((round) => round[name]))] as const);
  return Object.fromEntries(entries) as Record<keyof RoundFigures, ReturnType<typeof spreadOf>>;
}

const percent = (part: number): string => (part === 0 ? '0' : `${(100 * part).toPrecision(2)}%`);

function tableLine(cells: readonly string[]): string {
  const [first = '', second = '', ...rest] = cells;
  return `  ${first.padEnd(9)}${second.padEnd(13)}${rest.map((cell) => cell.padStart(14)).join('')}`;
}

function printBackToBack(rows: readonly Row[]): void {
  console.log('\n  one record after the other, main asleep');
  console.log(tableLine(['threads', '', 'ns/record', 'p25–p75', 'CPU ns', 'lock taken', 'slept', 'dropped']));
  for (const { threads, name, figures } of rows) {
    const { wallNs, cpuNs, contended, slept, dropped } = figures;
    const spread = `${wallNs.p25.toFixed(1)}–${wallNs.p75.toFixed(1)}`;
    const parts = [contended.p50, slept.p50, dropped.p50].map(percent);
    console.log(
      tableLine([`${threads}`, name, wallNs.p50.toFixed(1), spread, cpuNs.p50.toFixed(1), ...parts]),
    );
  }
}

function printBesideWork(rows: readonly Row[]): void {
  console.log(
    '\n  a gap of other work between records, main drains every 50 ms; means of the middle half, with the clock',
  );
  console.log(
    tableLine(['gap', '', 'ns/record', 'p25–p75', 'p99', 'p99.9', 'lock taken', 'dropped', 'main, each']),
  );
  for (const { threads, gapNs, name, figures } of rows) {
    const { wallNs, p99Ns, p999Ns, contended, dropped, drainNsPerSample } = figures;
    const spread = `${wallNs.p25.toFixed(1)}–${wallNs.p75.toFixed(1)}`;
    const times = [p99Ns.p50, p999Ns.p50].map((ns) => ns.toFixed(0));
    const parts = [contended.p50, dropped.p50].map(percent);
    const main = drainNsPerSample.p50.toFixed(1);
    const head = [`${threads}×${gapNs / 1e3} µs`, name, wallNs.p50.toFixed(1), spread];
    console.log(tableLine([...head, ...times, ...parts, main]));
  }
}

function series(rows: readonly Row[], x: (row: Row) => number, y: (row: Row) => number) {
  return IMPLEMENTATIONS.filter((name) => name !== 'nothing').map((name) => ({
    name,
    points: rows.filter((row) => row.name === name).map((row) => [x(row), y(row)] as const),
  }));
}

function writeReport(directory: string, rows: readonly Row[], about: object): void {
  mkdirSync(directory, { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(directory, file), text);
  write('telemetry.json', `${JSON.stringify({ ...about, rows }, null, 2)}\n`);
  const backToBack = rows.filter(({ gapNs }) => gapNs === 0);
  write(
    'telemetry.svg',
    lineChart({
      title: 'Recording a sample, one after the other',
      xLabel: 'threads',
      yLabel: 'CPU ns for each record',
      xScale: 'linear',
      yScale: 'log',
      xTicks: [1, 2, 4],
      series: series(
        backToBack,
        ({ threads }) => threads,
        ({ figures }) => figures.cpuNs.p50,
      ),
    }),
  );
  const byGap = rows
    .filter(({ threads, gapNs }) => threads === 2 && gapNs > 0)
    .sort((a, b) => a.gapNs - b.gapNs);
  write(
    'telemetry-gap.svg',
    lineChart({
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
    }),
  );
}

/** What recording nothing took in the same setting. */
function clockNs(rows: readonly Row[], { threads, gapNs }: Setting): number {
  const same = (row: Row): boolean =>
    row.name === 'nothing' && row.threads === threads && row.gapNs === gapNs;
  return rows.find(same)!.figures.wallNs.p50;
}

async function run(): Promise<void> {
  if (!TITLE.includes(only)) return;
  if (smokeRun) {
    const rows = await measure(SETTINGS.slice(0, 6), 1, SMOKE_ROUND_MS);
    console.log(`${TITLE}: ${rows.length} cases verified`);
    return;
  }
  const rows = await measure(SETTINGS, rounds, ROUND_MS);
  const workload = { seed: SEED, digest: digestOf(new Uint8Array(makeUnits().buffer)) };
  const about = { title: TITLE, machine: machine(), rounds, roundMs: ROUND_MS, workload };
  const reportAt = process.argv.indexOf('--report');
  if (reportAt > 0) writeReport(process.argv[reportAt + 1]!, rows, about);
  if (jsonOutput) {
    console.log(JSON.stringify({ ...about, rows }));
    return;
  }
  console.log(`\n${TITLE}`);
  console.log(`  ${about.machine}; ${rounds} rounds of ${ROUND_MS} ms in turns`);
  console.log(`  workload: seed ${workload.seed}, digest ${workload.digest}`);
  printBackToBack(rows.filter(({ gapNs }) => gapNs === 0));
  printBesideWork(rows.filter(({ gapNs }) => gapNs > 0));
}

const child = process.env[CHILD_ENV] as ImplementationName | undefined;
if (child === undefined) await run();
else await serveRounds(child);
