/**
 * `npm run test:learn`: the learning path in a fresh clone, timed, as the tables of docs/results/learn.md. For each phase:
 * start, each step refused and then filled in, all steps pass, benchmark, reset. Exits 1 if a command does not do what it should.
 *
 * `--only 0,5`: these phases; `--bench`: whole benchmarks instead of one short round; `--keep`: leaves the clone behind.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
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
const TURNS_MAX = 3;

interface Timed {
  readonly seconds: number;
  readonly text: string;
}

const directory = mkdtempSync(join(tmpdir(), 'metricsstream-learn-'));
const root = join(directory, 'clone');
process.once('exit', () => {
  if (!options.keep) rmSync(directory, { recursive: true, force: true });
});

/** @param expected exit code; null: any @throws if it is another */
function timed(cwd: string, expected: number | null, command: string, ...args: readonly string[]): Timed {
  const startMs = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  const seconds = (performance.now() - startMs) / 1e3;
  if (expected === null || status === expected) return { seconds, text: stdout };
  throw new Error(
    `${command} ${args.join(' ')} exited with ${status} instead of ${expected}:\n${stdout}${stderr}`,
  );
}

const learn = (expected: number | null, ...args: readonly string[]): Timed =>
  timed(root, expected, process.execPath, 'scripts/learn.mjs', ...args);

function mustShow({ text }: Timed, part: string): void {
  if (!text.includes(part)) throw new Error(`expected "${part}" in:\n${text}`);
}

interface Check {
  /** The step that it refuses; `solved` if all pass. */
  readonly name: string;
  readonly seconds: number;
}

/** A prediction that the last failure states as measured: "9.8 requests a second, as measured just now". */
function measuredIn({ text }: Timed): string {
  const [, value] = /expected: ([\d.,]+) /.exec(text) ?? [];
  if (value === undefined) throw new Error(`no measured figure in:\n${text}`);
  return value.replaceAll(',', '');
}

/** Each check measures and refuses a wrong prediction; the filled-in one passes, as a measurement shows. */
function checkByPredicting(steps: readonly Step[]): Check[] {
  const checks = steps.map(({ id, title }) => {
    mustShow(learn(1, 'check', '--once'), `${id} ${title} ✗`);
    const refused = learn(1, 'check', '--once', '--guess', '1000000');
    mustShow(refused, `${id} ${title} ✗`);
    learn(0, 'solution', id, '--yes');
    let solved = learn(null, 'check', '--once');
    // A machine that is busy with other work is slower than the prediction; then the figure that it measured has to pass.
    for (let turn = 0; turn < TURNS_MAX && !solved.text.includes(`${id} ${title} ok`); turn++) {
      console.log(`${id}: the machine is too busy for the prediction`);
      solved = learn(null, 'check', '--once', '--guess', measuredIn(solved));
    }
    mustShow(solved, `${id} ${title} ok`);
    return { name: id, seconds: refused.seconds };
  });
  return [...checks, { name: 'solved', seconds: learn(0, 'check', '--once').seconds }];
}

/** One check in each state: it passes the steps that were filled in, and refuses the next. */
function checkEachState(steps: readonly Step[]): Check[] {
  const checks = steps.map(({ id, title }, index) => {
    const refused = learn(1, 'check', '--once');
    mustShow(refused, `${id} ${title} ✗`);
    for (const passed of steps.slice(0, index)) mustShow(refused, `${passed.id} ${passed.title} ok`);
    learn(0, 'solution', id, '--yes');
    return { name: id, seconds: refused.seconds };
  });
  return [...checks, { name: 'solved', seconds: learn(0, 'check', '--once').seconds }];
}

interface PhaseTimes {
  readonly phase: LearnPhase;
  readonly start: number;
  readonly checks: readonly Check[];
  readonly bench: Timed;
  readonly reset: number;
}

function walk(phase: LearnPhase): PhaseTimes {
  const start = learn(0, 'start', phase.number).seconds;
  const all = stepsOf(root, phase);
  const isBuilt = phase.files.length > 0;
  const checks = isBuilt ? checkEachState(all) : checkByPredicting(all);
  const bench = learn(0, 'bench', '--guess', '1', ...(options.bench ? [] : ['--smoke']));
  const reset = learn(0, 'reset', phase.number).seconds;
  mustShow(learn(1, 'check', '--once'), `${all[0]!.id} ${all[0]!.title} ✗`);
  return { phase, start, checks, bench, reset };
}

const shown = (seconds: number): string => seconds.toFixed(1);

function printPhases(rows: readonly PhaseTimes[]): void {
  console.log(
    '\n| phase | start | first check, refused | slowest check | check, all solved | bench | reset |',
  );
  console.log('|---|---|---|---|---|---|---|');
  for (const { phase, start, checks, bench, reset } of rows) {
    const slowest = checks.reduce((worst, next) => (next.seconds > worst.seconds ? next : worst));
    const cells = [
      `${phase.number} ${phase.title}`,
      shown(start),
      shown(checks[0]!.seconds),
      `${shown(slowest.seconds)} (${slowest.name})`,
      shown(checks.at(-1)!.seconds),
      shown(bench.seconds),
      shown(reset),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
}

function printChecks(rows: readonly PhaseTimes[]): void {
  const seconds = rows
    .filter(({ phase }) => phase.files.length > 0)
    .flatMap(({ checks }) => checks.map((check) => check.seconds))
    .sort((a, b) => a - b);
  if (seconds.length === 0) return;
  const slow = seconds.filter((each) => each > ANSWER_SECONDS).length;
  console.log(
    `\n${seconds.length} checks: median ${shown(seconds[seconds.length >> 1]!)} s, ` +
      `slowest ${shown(seconds.at(-1)!)} s, ${slow} slower than ${ANSWER_SECONDS} s`,
  );
}

function printBenches(rows: readonly PhaseTimes[]): void {
  if (!options.bench) return;
  for (const { phase, bench } of rows) {
    console.log(`\nphase ${phase.number}, ${phase.title}\n\n${bench.text.trim()}`);
  }
}

function firstCheck(): void {
  const clone = timed(ROOT, 0, 'git', 'clone', '--quiet', ROOT, root).seconds;
  const prepare = learn(0, 'list').seconds;
  const start = learn(0, 'start', '5').seconds;
  const refused = learn(1, 'check', '--once');
  mustShow(refused, '5.1 layout ✗');
  const total = clone + prepare + start + refused.seconds;
  timed(root, 0, 'git', 'switch', '--quiet', '-');
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const build = learn(0, 'list').seconds;
  console.log(
    `first check ${shown(total)} s after the clone began (target ${FIRST_CHECK_SECONDS} s; load ${loadavg()[0]!.toFixed(0)}):`,
  );
  console.log(
    `clone ${shown(clone)}, packages ${shown(prepare - build)}, build ${shown(build)}, learn start ${shown(start)}, check ${shown(refused.seconds)}`,
  );
}

firstCheck();
const wanted = options.only === '' ? null : options.only.split(',');
const rows = LEARN_PHASES.filter(({ number }) => wanted?.includes(number) ?? true).map(walk);
printPhases(rows);
printChecks(rows);
printBenches(rows);
