/**
 * Verify, then time: the harness of every component benchmark.
 *
 * `compare` first runs each case's `verify`, which throws when its answer is wrong, so that nothing wrong is ever
 * timed. Then each case gets a process of its own (a call site that has seen several implementations is slower
 * than in production) and the cases take turns, round by round, so that a noisy neighbour hits all alike. Times
 * come from tinybench; beside wall time stands the CPU time of the whole process, garbage collection included,
 * which preemption does not inflate.
 *
 * Options, as arguments or environment: `--smoke` / BENCH_SMOKE=1 verifies and runs a handful of iterations in
 * this process, for CI; `--json` prints one JSON object a comparison; BENCH_ROUNDS, BENCH_ROUND_MS set the length;
 * `--only=TEXT` runs only the comparisons whose title contains TEXT.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import os from 'node:os';
import { Bench } from 'tinybench';

export interface BenchCase {
  readonly name: string;
  /** Throws when the case computes something wrong. */
  verify(): void;
  /** One timed call; at least a few microseconds long, so that the timer does not matter. */
  run(): void;
  /** Units (metrics, operations) that one call of `run` handles. */
  readonly perRun: number;
  /** The ratio to the baseline that this case should reach; printed with whether it does. */
  readonly target?: number;
}

export interface Comparison {
  readonly title: string;
  /** What `perRun` counts: 'metric', 'operation'. */
  readonly unit: string;
  readonly cases: readonly BenchCase[];
  /** Name of the case that the others are compared with. */
  readonly baseline: string;
  /** Where the input came from, so that a figure can be made again: its seed and the digest of its bytes. */
  readonly workload?: { readonly seed: number; readonly digest: string };
  /** Overrides `--smoke`. */
  readonly smoke?: boolean;
  /** Rounds, where fewer than BENCH_ROUNDS have to do. */
  readonly maxRounds?: number;
  /** A call may take longer than a round: one call a round is enough, and none warms up within it. */
  readonly longCalls?: boolean;
}

/** What one round of one case took, in nanoseconds per unit. */
interface Round {
  readonly wallNs: number;
  readonly cpuNs: number;
}

export interface CaseResult {
  readonly name: string;
  readonly wallNs: Spread;
  readonly cpuNs: Spread;
  /** How many times faster than the baseline: median of the rounds' ratios. */
  readonly ratio: number;
  readonly cpuRatio: number;
  readonly target?: number;
}

export interface Spread {
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
}

const CHILD_ENV = 'BENCH_CHILD_CASE';
const SMOKE_RUNS = 5;
export const rounds = Number(process.env.BENCH_ROUNDS ?? 9);
const roundMs = Number(process.env.BENCH_ROUND_MS ?? 100);
export const only =
  process.argv.find((argument) => argument.startsWith('--only='))?.slice('--only='.length) ?? '';

export const smokeRun = process.argv.includes('--smoke') || process.env.BENCH_SMOKE === '1';
export const jsonOutput = process.argv.includes('--json');

/** A short digest of the input bytes, printed so that two runs can be told to have timed the same thing. */
export function digestOf(...parts: readonly (Uint8Array | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex').slice(0, 16);
}

/** Verifies all cases, times them in turns, prints a table and returns its figures (none in a smoke run). */
export async function compare(comparison: Comparison): Promise<CaseResult[]> {
  const childCase = process.env[CHILD_ENV];
  if (childCase !== undefined) return serveRounds(comparison, childCase);
  if (!comparison.title.includes(only)) return [];
  for (const { verify } of comparison.cases) verify();
  if (comparison.smoke ?? smokeRun) {
    for (const { run } of comparison.cases) for (let call = 0; call < SMOKE_RUNS; call++) run();
    console.log(`${comparison.title}: ${comparison.cases.length} cases verified`);
    return [];
  }
  const measured = await takeTurns(comparison);
  const results = comparison.cases.map((benchCase) => summarize(comparison, measured, benchCase));
  print(comparison, results);
  return results;
}

function childId(comparison: Comparison, name: string): string {
  return JSON.stringify([comparison.title, name]);
}

/** In a case's own process: answers each 'round' message with a measurement, skips other comparisons. */
async function serveRounds(comparison: Comparison, childCase: string): Promise<CaseResult[]> {
  const benchCase = comparison.cases.find(({ name }) => childId(comparison, name) === childCase);
  if (benchCase === undefined) return [];
  benchCase.verify();
  process.send?.('ready');
  for await (const [message] of onMessages()) {
    if (message !== 'round') break;
    process.send?.(timeRound(benchCase, comparison.longCalls ?? false));
  }
  process.exit(0);
}

async function* onMessages(): AsyncGenerator<[unknown]> {
  for (;;) yield (await once(process, 'message')) as [unknown];
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

async function takeTurns(comparison: Comparison): Promise<Map<string, Round[]>> {
  const children = new Map<string, ChildProcess>();
  const measured = new Map<string, Round[]>();
  const script = process.argv[1];
  if (script === undefined) throw new Error('a benchmark runs from a file');
  try {
    for (const { name } of comparison.cases) {
      const child = fork(script, process.argv.slice(2), {
        env: { ...process.env, [CHILD_ENV]: childId(comparison, name) },
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      children.set(name, child);
      measured.set(name, []);
      await answer(child, name);
    }
    // The first round only warms up: compilation ends there.
    for (let round = 0; round <= roundsOf(comparison); round++) {
      for (const [name, child] of children) {
        child.send('round');
        const figures = (await answer(child, name)) as Round;
        if (round > 0) measured.get(name)?.push(figures);
      }
    }
  } finally {
    for (const child of children.values()) child.kill();
  }
  return measured;
}

function roundsOf({ maxRounds = rounds }: Comparison): number {
  return Math.min(rounds, maxRounds);
}

/** The child's next message; throws when it ends instead. */
export async function answer(child: ChildProcess, name: string): Promise<unknown> {
  // Takes the listener that was not needed away again.
  const answered = new AbortController();
  const { signal } = answered;
  const message = once(child, 'message', { signal });
  const gone = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`${name}: its process ended with ${code}`);
  });
  message.catch(() => {});
  gone.catch(() => {});
  try {
    const [value] = await Promise.race([message, gone]);
    return value;
  } finally {
    answered.abort();
  }
}

function quantile(sorted: readonly number[], part: number): number {
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  return { p25: quantile(sorted, 0.25), p50: quantile(sorted, 0.5), p75: quantile(sorted, 0.75) };
}

function summarize(
  { baseline }: Comparison,
  measured: ReadonlyMap<string, readonly Round[]>,
  { name, target }: BenchCase,
): CaseResult {
  const own = measured.get(name) ?? [];
  const base = measured.get(baseline) ?? [];
  const ratios = (pick: (round: Round) => number): number =>
    spreadOf(own.map((round, at) => pick(base[at] ?? round) / pick(round))).p50;
  return {
    name,
    wallNs: spreadOf(own.map(({ wallNs }) => wallNs)),
    cpuNs: spreadOf(own.map(({ cpuNs }) => cpuNs)),
    ratio: ratios(({ wallNs }) => wallNs),
    cpuRatio: ratios(({ cpuNs }) => cpuNs),
    ...(target === undefined ? {} : { target }),
  };
}

/** What the figures depend on besides the code: processor, runtime, kernel, commit. */
export function machine(): string {
  const cpus = os.cpus();
  let commit = 'no commit';
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { encoding: 'utf8', stdio: 'pipe' }).trim();
    commit =
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain', 'src', 'bench') ? ' with changes' : '');
  } catch {
    // Not a checkout, or no git: figures are still good.
  }
  return `${cpus[0]?.model ?? 'unknown CPU'} × ${cpus.length}, Node ${process.version}, ${os.type()} ${os.release()}, ${commit}`;
}

function print(comparison: Comparison, results: readonly CaseResult[]): void {
  const { title, unit, baseline, workload } = comparison;
  if (jsonOutput) {
    console.log(
      JSON.stringify({
        ...{ title, unit, baseline, workload, machine: machine() },
        ...{ rounds: roundsOf(comparison), roundMs, results },
      }),
    );
    return;
  }
  console.log(`\n${title}`);
  console.log(`  ${machine()}; ${roundsOf(comparison)} rounds of ${roundMs} ms in turns`);
  if (workload) console.log(`  workload: seed ${workload.seed}, digest ${workload.digest}`);
  const width = Math.max(...results.map(({ name }) => name.length));
  const head = `ns/${unit}`.padStart(12);
  console.log(
    `  ${''.padEnd(width)}${head}${'p25–p75'.padStart(20)}${'CPU ns'.padStart(10)}   × ${baseline} (CPU)`,
  );
  for (const { name, wallNs, cpuNs, ratio, cpuRatio, target } of results) {
    const spread = `${wallNs.p25.toFixed(1)}–${wallNs.p75.toFixed(1)}`;
    const verdict =
      target === undefined ? '' : `   target ≥ ${target}: ${ratio >= target ? 'met' : 'NOT MET'}`;
    console.log(
      `  ${name.padEnd(width)}${wallNs.p50.toFixed(1).padStart(12)}${spread.padStart(20)}` +
        `${cpuNs.p50.toFixed(1).padStart(10)}   ${ratio.toFixed(2)} (${cpuRatio.toFixed(2)})${verdict}`,
    );
  }
}
