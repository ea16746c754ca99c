/**
 * Verify, then time: compares the implementations of one component.
 *
 * `compare` first runs each case's `verify`, which throws when its answer is wrong, so nothing wrong is ever timed.
 * Then each case gets a process of its own, and the cases take turns round by round. tinybench measures the wall time.
 * The CPU time covers the whole process with its garbage collection; preemption does not inflate it.
 */
import { Bench } from 'tinybench';
import { textTable } from '../../load-test/format.ts';
import { machine } from '../report/origin.ts';
import { medianOf, type Quartiles, quartilesOf } from '../statistics.ts';
import { serveRounds, withForks } from './forks.ts';
import { isWanted, roundMsOr, roundsOr, smokeRun } from './options.ts';
import { takeTurns } from './turns.ts';

export interface BenchCase {
  readonly name: string;
  /** Throws when the case computes something wrong. */
  verify(): void;
  /** One timed call, at least a few microseconds long, so that the timer does not matter. */
  run(): void;
  /** Units (metrics, operations) that one call of `run` handles. */
  readonly perRun: number;
  /** The ratio to the baseline that this case should reach; the table says whether it does. */
  readonly target?: number;
}

export interface Comparison {
  readonly title: string;
  /** Unit of `perRun`: 'metric', 'operation'. */
  readonly unit: string;
  readonly cases: readonly BenchCase[];
  /** Name of the case that the others are compared with. */
  readonly baseline: string;
  /** Seed and digest of the input, so that a figure can be reproduced. */
  readonly workload?: { readonly seed: number; readonly digest: string };
  /** At most so many rounds. */
  readonly maxRounds?: number;
  /** A call may take longer than a round: run one a round, without a warm-up. */
  readonly longCalls?: boolean;
}

/** Figures of one round of one case, in nanoseconds per unit. */
interface Round {
  readonly wallNs: number;
  readonly cpuNs: number;
}

export interface CaseResult {
  readonly name: string;
  readonly wallNs: Quartiles;
  readonly cpuNs: Quartiles;
  /** How many times faster than the baseline: median of the rounds' ratios. */
  readonly ratio: number;
  readonly cpuRatio: number;
  readonly target?: number;
}

const CHILD_ENV = 'BENCH_CHILD_CASE';
const SMOKE_RUNS = 5;
const rounds = roundsOr(9);
const roundMs = roundMsOr(100);

/** Whether this process may run the case: the process of a case runs no other. */
export function mayRun(name: string): boolean {
  const childCase = process.env[CHILD_ENV];
  return childCase === undefined || (JSON.parse(childCase) as string[]).includes(name);
}

/** Verifies all cases, times them in turns, prints a table. @returns its figures, none in a smoke run */
export async function compare(comparison: Comparison): Promise<CaseResult[]> {
  const { title, cases } = comparison;
  const childCase = process.env[CHILD_ENV];
  if (childCase !== undefined) return serveCase(comparison, childCase);
  if (!isWanted(title)) return [];
  for (const { verify } of cases) verify();
  if (smokeRun) {
    for (const { run } of cases) for (let call = 0; call < SMOKE_RUNS; call++) run();
    console.log(`${title}: ${cases.length} cases verified`);
    return [];
  }
  const results = summarize(comparison, await measure(comparison));
  print(comparison, results);
  return results;
}

const childId = ({ title }: Comparison, name: string): string => JSON.stringify([title, name]);

/** In a case's own process: serves the case that it was started for, and skips all other comparisons. */
async function serveCase(comparison: Comparison, id: string): Promise<CaseResult[]> {
  const benchCase = comparison.cases.find(({ name }) => childId(comparison, name) === id);
  if (benchCase === undefined) return [];
  benchCase.verify();
  serveRounds(() => timeRound(benchCase, comparison.longCalls ?? false));
  return new Promise(() => {});
}

function timeRound({ name, run, perRun }: BenchCase, longCalls: boolean): Round {
  // The case stays optimised between rounds; a short warm-up refills the caches that others have used since.
  const bench = new Bench({
    time: roundMs,
    iterations: longCalls ? 1 : 3,
    warmup: !longCalls,
    warmupTime: roundMs / 4,
    warmupIterations: 1,
    throws: true,
  });
  let cpu = process.cpuUsage();
  bench.add(name, run, {
    beforeAll: (mode) => {
      if (mode === 'run') cpu = process.cpuUsage();
    },
  });
  const [task] = bench.runSync();
  const used = process.cpuUsage(cpu);
  const result = task?.result;
  if (result === undefined || !('latency' in result)) throw new Error(`${name}: no result`);
  return {
    wallNs: (result.latency.mean * 1e6) / perRun,
    cpuNs: ((used.user + used.system) * 1e3) / result.latency.samplesCount / perRun,
  };
}

const roundsOf = ({ maxRounds = rounds }: Comparison): number => Math.min(rounds, maxRounds);

function measure(comparison: Comparison): Promise<Map<BenchCase, Round[]>> {
  const forks = comparison.cases.map(({ name }) => ({
    name,
    script: process.argv[1]!,
    args: process.argv.slice(2),
    env: { [CHILD_ENV]: childId(comparison, name) },
  }));
  return withForks(forks, (ask) =>
    takeTurns(comparison.cases, roundsOf(comparison), ({ name }) => ask(name, 'round') as Promise<Round>),
  );
}

function summarize(
  { baseline, cases }: Comparison,
  measured: ReadonlyMap<BenchCase, readonly Round[]>,
): CaseResult[] {
  const base = measured.get(cases.find(({ name }) => name === baseline)!) ?? [];
  return [...measured].map(([{ name, target }, own]) => {
    const ratioOf = (pick: (round: Round) => number): number =>
      medianOf(own.map((round, at) => pick(base[at] ?? round) / pick(round)));
    return {
      name,
      wallNs: quartilesOf(own.map(({ wallNs }) => wallNs)),
      cpuNs: quartilesOf(own.map(({ cpuNs }) => cpuNs)),
      ratio: ratioOf(({ wallNs }) => wallNs),
      cpuRatio: ratioOf(({ cpuNs }) => cpuNs),
      ...(target === undefined ? {} : { target }),
    };
  });
}

function print(comparison: Comparison, results: readonly CaseResult[]): void {
  const { title, unit, baseline, workload } = comparison;
  console.log(`\n${title}\n  ${machine()}; ${roundsOf(comparison)} rounds of ${roundMs} ms in turns`);
  if (workload) console.log(`  workload: seed ${workload.seed}, digest ${workload.digest}`);
  const rows = results.map(({ name, wallNs, cpuNs, ratio, cpuRatio, target }) => [
    `  ${name}`,
    wallNs.p50.toFixed(1),
    `${wallNs.p25.toFixed(1)}–${wallNs.p75.toFixed(1)}`,
    cpuNs.p50.toFixed(1),
    `${ratio.toFixed(2)} (${cpuRatio.toFixed(2)})`,
    target === undefined ? '' : `target ≥ ${target}: ${ratio >= target ? 'met' : 'NOT MET'}`,
  ]);
  console.log(textTable([['', `ns/${unit}`, 'p25–p75', 'CPU ns', `× ${baseline} (CPU)`, ''], ...rows]));
}
