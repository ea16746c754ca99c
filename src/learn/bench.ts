/** `learn bench`: before, yours and the reference in turns, each measurement in a process of its own. */
import { execFile } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { MetricsStreamError } from '../base/errors.ts';
import { askNumber, canAsk } from './ask.ts';
import type { BenchModule, Columns, PhaseBench, Side } from './bench-module.ts';
import { compile, filesToBuild } from './build.ts';
import { type LearnPhase, stepFolder } from './catalogue.ts';
import { currentPhase } from './current.ts';
import { aligned, bold, dim, print } from './screen.ts';
import { type BenchRun, type Figure, requireBranch, type Workspace } from './workspace.ts';

const ROUNDS = 5;
const MEASURE_MS = 300;
const SMOKE_MS = 20;
/** Of one measurement, which may start three servers on a busy machine. */
const LIMIT_MS = 180_000;
/** From the signal at that limit until the end of a process that does not react, as in an endless loop. */
const KILL_AFTER_MS = 5_000;
/** Times the reference's figure that still count as reached: shared machines spread. */
const NEAR = 1.5;

export interface BenchOptions {
  readonly guess: number | null;
  /** One short round, which says nothing about speed. */
  readonly smoke: boolean;
}

interface Contender {
  readonly name: 'before' | 'yours' | 'reference';
  readonly build: string;
  readonly side: Side;
}

const run = promisify(execFile);

const COLUMNS: Columns = { before: 'before', yours: 'yours', reference: 'reference' };

interface Failure {
  readonly message: string;
  readonly code?: number | string | null;
  readonly killed?: boolean;
  readonly stderr?: string;
}

function failureText({ message, code, killed, stderr = '' }: Failure): string {
  // Node.js kills the process for that too.
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'it prints too much: only the figure is read';
  if (killed) return `it did not end within ${LIMIT_MS / 1e3} s: a loop or a wait has no end`;
  const [line = message] = stderr.split('\n').filter((text) => /^\w*Error\b/.test(text));
  return line.trim();
}

/**
 * @param command arguments of Node.js; the third one names the row
 * @returns the figure that it prints
 * @throws MetricsStreamError LEARN_UNAVAILABLE with the reason
 */
export async function measure(command: readonly string[]): Promise<number> {
  const running = run(process.execPath, command, { timeout: LIMIT_MS });
  const timer = setTimeout(() => running.child.kill('SIGKILL'), LIMIT_MS + KILL_AFTER_MS);
  try {
    const { stdout } = await running;
    return Number(stdout);
  } catch (error) {
    const reason = failureText(error as Failure);
    throw new MetricsStreamError('LEARN_UNAVAILABLE', `the benchmark of "${command[2]}" failed: ${reason}`);
  } finally {
    clearTimeout(timer);
  }
}

function figureOf(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)]!, min: sorted[0]!, max: sorted.at(-1)! };
}

function shown(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-GB') : value.toPrecision(2).replace(/\.0$/, '');
}

function withRange({ median, min, max }: Figure): string {
  return `${shown(median)} (${shown(min)}–${shown(max)})`;
}

const benchModule = (build: string, phase: LearnPhase): string => join(build, stepFolder(phase), 'bench.js');

async function loadBench(build: string, phase: LearnPhase): Promise<PhaseBench> {
  return ((await import(pathToFileURL(benchModule(build, phase)).href)) as BenchModule).bench;
}

interface Measurement {
  readonly root: string;
  readonly phase: LearnPhase;
  readonly bench: PhaseBench;
  readonly contenders: readonly Contender[];
  readonly smoke: boolean;
}

async function measureAll({ root, phase, bench, contenders, smoke }: Measurement): Promise<BenchRun['rows']> {
  const values = new Map<string, number[]>();
  for (let round = 0; round < (smoke ? 1 : ROUNDS); round++) {
    for (const { name: row } of bench.rows) {
      for (const { name, build, side } of contenders) {
        const module = benchModule(build, phase);
        const child = join(build, 'src/learn/bench-child.js');
        const figure = await measure([child, module, row, side, String(smoke ? SMOKE_MS : MEASURE_MS), root]);
        const key = `${row} ${name}`;
        values.set(key, [...(values.get(key) ?? []), figure]);
      }
    }
  }
  return bench.rows.map(({ name }) => ({
    name,
    before: figureOf(values.get(`${name} before`)!),
    yours: figureOf(values.get(`${name} yours`)!),
    reference: figureOf(values.get(`${name} reference`)!),
  }));
}

function tableOf({ unit, rows, columns = COLUMNS }: BenchRun): string {
  const lines = rows.map(({ name, before, yours, reference }) => [
    name,
    withRange(before),
    withRange(yours),
    withRange(reference),
  ]);
  return aligned([[unit, columns.before, columns.yours, columns.reference], ...lines]);
}

/** `0.29×`, or `1/5,600 of` if that reads better. */
function shareOf(ratio: number): string {
  return ratio >= 0.01
    ? `${ratio.toPrecision(2)}×`
    : `1/${Math.round(Number((1 / ratio).toPrecision(2))).toLocaleString('en-GB')} of`;
}

function verdictOf({ rows, guess, columns }: BenchRun): string {
  const { before, yours, reference } = rows[0]!;
  const share = shareOf(yours.median / before.median);
  const guessed = guess === null ? '' : `you guessed ${shown(guess)}. `;
  if (columns !== undefined) {
    const last = shareOf(reference.median / before.median);
    return `${guessed}${columns.yours} takes ${share} the time of ${columns.before}, ${columns.reference} ${last}.`;
  }
  const distance = yours.median / reference.median;
  const star = distance <= NEAR ? `  ★ within ${NEAR}× of the reference` : '';
  return `${guessed}yours takes ${share} the time before, ${distance.toFixed(1)}× the reference's.${star}`;
}

function save(workspace: Workspace, result: BenchRun): void {
  workspace.state.runs.push(result);
  workspace.save();
  const text = `## Phase ${result.phase}, ${result.at}\n\n\`\`\`\n${tableOf(result)}\n\`\`\`\n\n${verdictOf(result)}\n\n`;
  appendFileSync(workspace.inDirectory('results.md'), text);
}

function compileMine({ root, build }: Workspace, phase: LearnPhase): void {
  const [error] = compile({ root, output: build, files: filesToBuild(root, phase) }, root);
  if (error === undefined) return;
  const place = `${error.file}:${error.line}`;
  throw new MetricsStreamError('LEARN_UNAVAILABLE', `${place} does not compile: ${error.text}`);
}

/** The guess of this run, or of an earlier one; asks if there is none. */
async function guessOf(
  { state }: Workspace,
  phase: LearnPhase,
  { question, unit }: PhaseBench,
  given: number | null,
): Promise<number | null> {
  const guess = given ?? state.guesses[phase.number] ?? null;
  if (guess !== null) return guess;
  print(`before you measure, guess: ${question}`);
  if (canAsk()) return askNumber(`your guess in ${unit}`);
  print(`  npm run learn bench -- --guess ${shown(10)}     in ${unit}`);
  return null;
}

function contendersOf(workspace: Workspace, phase: LearnPhase): readonly Contender[] {
  const { build } = workspace;
  if (phase.files.length === 0) {
    return [
      { name: 'before', build, side: 'before' },
      { name: 'yours', build, side: 'after' },
      { name: 'reference', build, side: 'reference' },
    ];
  }
  const reference = workspace.referenceBuild(phase);
  return [
    { name: 'before', build: reference, side: 'before' },
    { name: 'yours', build, side: 'after' },
    { name: 'reference', build: reference, side: 'after' },
  ];
}

/** @returns the exit code */
export async function bench(workspace: Workspace, { guess, smoke }: BenchOptions): Promise<number> {
  const { root, build, state } = workspace;
  const phase = currentPhase(workspace);
  const isBuilt = phase.files.length > 0;
  if (isBuilt) requireBranch(root, phase);
  else compileMine(workspace, phase);
  const measured = await loadBench(isBuilt ? workspace.referenceBuild(phase) : build, phase);
  const { unit, columns } = measured;
  const guessed = await guessOf(workspace, phase, measured, guess);
  if (guessed === null) return 1;
  state.guesses[phase.number] = guessed;
  workspace.save();
  if (isBuilt) compileMine(workspace, phase);
  print(dim('measuring in turns; leave the machine alone for a moment'));
  const contenders = contendersOf(workspace, phase);
  const result: BenchRun = {
    at: new Date().toISOString(),
    phase: phase.number,
    guess: guessed,
    unit,
    ...(columns === undefined ? {} : { columns }),
    rows: await measureAll({ root, phase, bench: measured, contenders, smoke }),
  };
  print(tableOf(result));
  if (smoke) {
    print('one short round: the benchmark works, the figures say nothing');
    return 0;
  }
  print(bold(verdictOf(result)));
  save(workspace, result);
  print(dim('saved to .learn/results.md'));
  return 0;
}
