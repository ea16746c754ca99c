/** `learn bench`: before, yours and the reference in turns, each measurement in a process of its own. */
import { execFile } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { MetricsStreamError } from '../base/errors.ts';
import { askNumber, canAsk } from './ask.ts';
import type { BenchModule, PhaseBench, Side } from './bench-module.ts';
import { compile, filesToBuild } from './build.ts';
import { hasBench, LEARN_PHASES, type LearnPhase, stepFolder } from './catalogue.ts';
import { currentPhase } from './current.ts';
import { aligned, bold, dim, print } from './screen.ts';
import { type BenchRun, type Figure, requireBranch, type Workspace } from './workspace.ts';

const ROUNDS = 5;
const MEASURE_MS = 300;
const SMOKE_MS = 20;
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

async function measure(module: string, child: string, row: string, side: Side, ms: number): Promise<number> {
  try {
    const { stdout } = await run(process.execPath, [child, module, row, side, String(ms)], {
      timeout: 30_000,
    });
    return Number(stdout);
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string };
    const [line = message] = stderr.split('\n').filter((text) => /Error/.test(text));
    throw new MetricsStreamError('LEARN_UNAVAILABLE', `the benchmark of "${row}" failed: ${line.trim()}`);
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

function requireBench(root: string, phase: LearnPhase): void {
  if (hasBench(root, phase)) return;
  const others = LEARN_PHASES.filter((other) => hasBench(root, other)).map(({ number }) => number);
  throw new MetricsStreamError(
    'LEARN_UNAVAILABLE',
    `phase ${phase.number} has no benchmark, because its steps measure; phases ${others.join(', ')} have one`,
  );
}

const benchModule = (build: string, phase: LearnPhase): string => join(build, stepFolder(phase), 'bench.js');

async function loadBench(build: string, phase: LearnPhase): Promise<PhaseBench> {
  return ((await import(pathToFileURL(benchModule(build, phase)).href)) as BenchModule).bench;
}

async function measureAll(
  contenders: readonly Contender[],
  phase: LearnPhase,
  bench: PhaseBench,
  smoke: boolean,
): Promise<BenchRun['rows']> {
  const values = new Map<string, number[]>();
  for (let round = 0; round < (smoke ? 1 : ROUNDS); round++) {
    for (const { name: row } of bench.rows) {
      for (const { name, build, side } of contenders) {
        const module = benchModule(build, phase);
        const child = join(build, 'src/learn/bench-child.js');
        const figure = await measure(module, child, row, side, smoke ? SMOKE_MS : MEASURE_MS);
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

function tableOf({ unit, rows }: BenchRun): string {
  const lines = rows.map(({ name, before, yours, reference }) => [
    name,
    withRange(before),
    withRange(yours),
    withRange(reference),
  ]);
  return aligned([[unit, 'before', 'yours', 'reference'], ...lines]);
}

/** `0.29×`, or `1/5,600 of` if that reads better. */
function shareOf(ratio: number): string {
  return ratio >= 0.01
    ? `${ratio.toPrecision(2)}×`
    : `1/${Math.round(Number((1 / ratio).toPrecision(2))).toLocaleString('en-GB')} of`;
}

function verdictOf({ rows, guess }: BenchRun): string {
  const { before, yours, reference } = rows[0]!;
  const share = shareOf(yours.median / before.median);
  const distance = yours.median / reference.median;
  const guessed = guess === null ? '' : `you guessed ${shown(guess)}. `;
  const star = distance <= NEAR ? `  ★ within ${NEAR}× of the reference` : '';
  return `${guessed}yours takes ${share} the time before, ${distance.toFixed(1)}× the reference's.${star}`;
}

function save(workspace: Workspace, result: BenchRun): void {
  workspace.state.runs.push(result);
  workspace.save();
  const text = `## Phase ${result.phase}, ${result.at}\n\n\`\`\`\n${tableOf(result)}\n\`\`\`\n\n${verdictOf(result)}\n\n`;
  appendFileSync(workspace.inDirectory('results.md'), text);
}

/** @returns the exit code */
export async function bench(workspace: Workspace, { guess, smoke }: BenchOptions): Promise<number> {
  const { root, build, state } = workspace;
  const phase = currentPhase(workspace);
  const reference = workspace.referenceBuild(phase);
  requireBench(root, phase);
  requireBranch(root, phase);
  const measured = await loadBench(reference, phase);
  const { unit, question } = measured;
  let guessed = guess ?? state.guesses[phase.number] ?? null;
  if (guessed === null) {
    print(`before you measure, guess: ${question}`);
    if (canAsk()) guessed = await askNumber(`your guess in ${unit}`);
    else print(`  npm run learn bench -- --guess ${shown(10)}     in ${unit}`);
    if (guessed === null) return 1;
  }
  state.guesses[phase.number] = guessed;
  workspace.save();
  const [error] = compile({ root, output: build, files: filesToBuild(root, phase) }, root);
  if (error !== undefined) {
    throw new MetricsStreamError(
      'LEARN_UNAVAILABLE',
      `${error.file}:${error.line} does not compile: ${error.text}`,
    );
  }
  const contenders: readonly Contender[] = [
    { name: 'before', build: reference, side: 'before' },
    { name: 'yours', build, side: 'after' },
    { name: 'reference', build: reference, side: 'after' },
  ];
  print(dim('measuring in turns; leave the machine alone for a moment'));
  const figures = await measureAll(contenders, phase, measured, smoke);
  const result: BenchRun = {
    at: new Date().toISOString(),
    phase: phase.number,
    guess: guessed,
    unit,
    rows: figures,
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
