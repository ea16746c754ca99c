/** Runs the tests of a phase's steps in a process of their own, so that an endless loop ends too. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Step } from './catalogue.ts';
import type { Finding } from './failure.ts';
import { RESULTS_FD, type RunRequest, type StepResult } from './step-result.ts';

export interface Examination {
  readonly passed: readonly Step[];
  /** Sentences of steps that passed. */
  readonly notes: readonly string[];
  readonly failed: FailedStep | null;
}

export interface FailedStep {
  readonly step: Step;
  /** `assertion`: the step's own; others: the code threw, or did not end. */
  readonly kind: 'assertion' | 'error' | 'endless';
  readonly finding: Finding;
  readonly stack: string;
}

export interface ExamineOptions {
  readonly root: string;
  /** The directory with the compiled `src/` and `test/`. */
  readonly output: string;
  readonly steps: readonly Step[];
  readonly guesses: Readonly<Record<string, number>>;
  /** Longest time of one step. */
  readonly limitMs: number;
}

/** The first line of the learner's own in a stack with source maps. */
function ownLine(stack: string): string {
  const line = stack.split('\n').find((text) => /\/src\/(?!learn\/)/.test(text)) ?? '';
  return /(src\/[^\s:)]+:\d+)/.exec(line)?.[1] ?? '';
}

function failureOf(step: Step, result: StepResult | null, limitMs: number): FailedStep {
  if (result?.kind === 'failed') return { step, kind: 'assertion', finding: result.finding, stack: '' };
  if (result?.kind === 'threw') {
    const place = ownLine(result.stack);
    const got = `${result.message}${place === '' ? '' : `, at ${place}`}`;
    const finding = { did: 'The test called your code.', expected: 'it returns', got: `it threw: ${got}` };
    return { step, kind: 'error', finding, stack: result.stack };
  }
  const finding = {
    did: `The test waited ${limitMs / 1e3} s for your code.`,
    expected: 'it returns',
    got: 'it did not',
    so: 'a loop or a wait has no end',
  };
  return { step, kind: 'endless', finding, stack: '' };
}

/** @returns the steps that pass up to the first that fails */
export async function examine({
  root,
  output,
  steps,
  guesses,
  limitMs,
}: ExamineOptions): Promise<Examination> {
  const request: RunRequest = {
    root,
    steps: steps.map(({ id, path }) => ({
      id,
      module: join(output, `${path}.js`),
      guess: guesses[id] ?? null,
    })),
  };
  const runner = join(output, 'src/learn/run-steps.js');
  const child = spawn(process.execPath, ['--enable-source-maps', runner, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const results: StepResult[] = [];
  let errorText = '';
  child.stdout!.on('data', (bytes: Buffer) => process.stdout.write(bytes));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errorText = (errorText + text).slice(-4096);
  });
  const kill = (): void => void child.kill('SIGKILL');
  let timer = setTimeout(kill, limitMs);
  let rest = '';
  (child.stdio[RESULTS_FD] as Readable).setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) results.push(JSON.parse(line) as StepResult);
    clearTimeout(timer);
    timer = setTimeout(kill, limitMs);
  });
  const signal = await new Promise<NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (_code, how) => resolve(how));
  });
  clearTimeout(timer);
  return summary(steps, results, { signal, errorText, limitMs });
}

interface Ending {
  readonly signal: NodeJS.Signals | null;
  readonly errorText: string;
  readonly limitMs: number;
}

function summary(steps: readonly Step[], results: readonly StepResult[], ending: Ending): Examination {
  const passedIds = new Set(results.filter(({ kind }) => kind === 'passed').map(({ step }) => step));
  const passed = steps.filter(({ id }) => passedIds.has(id));
  const notes = results.flatMap((result) =>
    result.kind === 'passed' && result.note !== '' ? [`${result.step}: ${result.note}`] : [],
  );
  const next = steps[passed.length];
  if (next === undefined) return { passed, notes, failed: null };
  const last = results.findLast(({ step, kind }) => step === next.id && kind !== 'starts') ?? null;
  if (last === null && ending.signal === null) {
    // The process ended before the test did: the module could not be loaded, or a thread of it died.
    const [message = 'the process ended'] = ending.errorText.split('\n').filter((line) => /Error/.test(line));
    const stack = ending.errorText;
    return {
      passed,
      notes,
      failed: failureOf(next, { step: next.id, kind: 'threw', message, stack }, ending.limitMs),
    };
  }
  return { passed, notes, failed: failureOf(next, last, ending.limitMs) };
}
