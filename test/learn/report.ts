/**
 * `npm run test:learn`: the learning path in a fresh clone, timed, as the tables of docs/results/learn.md. For each phase:
 * start, each step refused and then solved, all steps pass, benchmark, reset. Exits 1 if a command does not do what it should.
 *
 * `--only 0,5`: these phases; `--bench`: whole benchmarks instead of one short round; `--keep`: leaves the clone behind.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LEARN_PHASES, type LearnPhase, type Step, stepsOf } from '../../src/learn/catalogue.ts';
import { ROOT } from '../../src/learn/workspace.ts';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    bench: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
/** Each check answers within it, on a machine that does nothing else. */
const ANSWER_SECONDS = 3;
const FIRST_CHECK_SECONDS = 60;

interface Timed {
  readonly seconds: number;
  readonly text: string;
}

const directory = mkdtempSync(join(tmpdir(), 'metricsstream-learn-'));
const root = join(directory, 'clone');
process.once('exit', () => {
  if (!options.keep) rmSync(directory, { recursive: true, force: true });
});

/** @throws if the exit code is another than expected */
function timed(cwd: string, expected: number, command: string, ...args: readonly string[]): Timed {
  const startMs = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  const seconds = (performance.now() - startMs) / 1e3;
  if (status === expected) return { seconds, text: stdout };
  throw new Error(
    `${command} ${args.join(' ')} exited with ${status} instead of ${expected}:\n${stdout}${stderr}`,
  );
}

const learn = (expected: number, ...args: readonly string[]): Timed =>
  timed(root, expected, process.execPath, 'scripts/learn.mjs', ...args);

function mustShow({ text }: Timed, part: string): void {
  if (!text.includes(part)) throw new Error(`expected "${part}" in:\n${text}`);
}

interface StepTimes {
  readonly step: Step;
  /** The check that refuses the step. */
  readonly refused: number;
  /** The check after it was solved. */
  readonly solved: number;
}

/** A prediction that the last failure states as measured: "9.8 requests a second, as measured just now". */
function measuredIn({ text }: Timed): string {
  const [, value] = /expected: ([\d.,]+) /.exec(text) ?? [];
  if (value === undefined) throw new Error(`no measured figure in:\n${text}`);
  return value.replaceAll(',', '');
}

function solveByPredicting(step: Step, isLast: boolean): StepTimes {
  mustShow(learn(1, 'check', '--once'), `${step.id} ${step.title} ✗`);
  const refused = learn(1, 'check', '--once', '--guess', '1000000');
  const solved = learn(isLast ? 0 : 1, 'check', '--once', '--guess', measuredIn(refused));
  mustShow(solved, `${step.id} ${step.title} ok`);
  return { step, refused: refused.seconds, solved: solved.seconds };
}

function solve(step: Step, isLast: boolean): StepTimes {
  const refused = learn(1, 'check', '--once');
  mustShow(refused, `${step.id} ${step.title} ✗`);
  learn(0, 'solution', step.id, '--yes');
  const solved = learn(isLast ? 0 : 1, 'check', '--once');
  mustShow(solved, `${step.id} ${step.title} ok`);
  return { step, refused: refused.seconds, solved: solved.seconds };
}

interface PhaseTimes {
  readonly phase: LearnPhase;
  readonly start: number;
  readonly steps: readonly StepTimes[];
  readonly bench: Timed | null;
  readonly reset: number;
}

function walk(phase: LearnPhase): PhaseTimes {
  const start = learn(0, 'start', phase.number).seconds;
  const all = stepsOf(root, phase);
  const isBuilt = phase.files.length > 0;
  const steps = all.map((step, index) =>
    (isBuilt ? solve : solveByPredicting)(step, index === all.length - 1),
  );
  const bench = isBuilt ? learn(0, 'bench', '--guess', '1', ...(options.bench ? [] : ['--smoke'])) : null;
  const reset = learn(0, 'reset', phase.number).seconds;
  if (isBuilt) mustShow(learn(1, 'check', '--once'), `${all[0]!.id} ${all[0]!.title} ✗`);
  return { phase, start, steps, bench, reset };
}

const shown = (seconds: number): string => seconds.toFixed(1);

function printPhases(rows: readonly PhaseTimes[]): void {
  console.log(
    '\n| phase | start | first check: refused | slowest check, refused | slowest check, solved | bench | reset |',
  );
  console.log('|---|---|---|---|---|---|---|');
  for (const { phase, start, steps, bench, reset } of rows) {
    const slowest = (of: 'refused' | 'solved'): string => {
      const row = steps.reduce((worst, next) => (next[of] > worst[of] ? next : worst));
      return `${shown(row[of])} (${row.step.id})`;
    };
    const cells = [
      `${phase.number} ${phase.title}`,
      shown(start),
      shown(steps[0]!.refused),
      slowest('refused'),
      slowest('solved'),
      bench === null ? '–' : shown(bench.seconds),
      shown(reset),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

function printChecks(rows: readonly PhaseTimes[]): void {
  const checks = rows
    .filter(({ phase }) => phase.files.length > 0)
    .flatMap(({ steps }) => steps.flatMap(({ refused, solved }) => [refused, solved]))
    .sort((a, b) => a - b);
  if (checks.length === 0) return;
  const slow = checks.filter((seconds) => seconds > ANSWER_SECONDS).length;
  console.log(
    `\n${checks.length} checks of ${checks.length / 2} steps: median ${shown(checks[checks.length >> 1]!)} s, ` +
      `slowest ${shown(checks.at(-1)!)} s, ${slow} slower than ${ANSWER_SECONDS} s`,
  );
}

function printBenches(rows: readonly PhaseTimes[]): void {
  if (!options.bench) return;
  for (const { phase, bench } of rows) {
    if (bench !== null) console.log(`\nphase ${phase.number}, ${phase.title}\n\n${bench.text.trim()}`);
  }
}

function firstCheck(): void {
  const clone = timed(ROOT, 0, 'git', 'clone', '--quiet', ROOT, root).seconds;
  const prepare = timed(root, 0, process.execPath, 'scripts/prepare.mjs').seconds;
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const build = timed(root, 0, process.execPath, 'scripts/prepare.mjs').seconds;
  const start = learn(0, 'start', '5').seconds;
  const refused = learn(1, 'check', '--once');
  mustShow(refused, '5.1 layout ✗');
  const total = clone + prepare + start + refused.seconds;
  console.log(`first check ${shown(total)} s after the clone began (target ${FIRST_CHECK_SECONDS} s): `);
  console.log(
    `clone ${shown(clone)}, npm ci ${shown(prepare - build)}, build ${shown(build)}, learn start ${shown(start)}, check ${shown(refused.seconds)}`,
  );
}

firstCheck();
const wanted = options.only === '' ? null : options.only.split(',');
const rows = LEARN_PHASES.filter(({ number }) => wanted?.includes(number) ?? true).map(walk);
printPhases(rows);
printChecks(rows);
printBenches(rows);
