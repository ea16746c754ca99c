/** `learn check`: compile, run the steps in order, show the first that fails, commit those that pass for the first time. */
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import { askNumber, canAsk } from './ask.ts';
import { type CompileError, compile, filesToBuild } from './build.ts';
import { type LearnPhase, type Step, stepsOf } from './catalogue.ts';
import { currentPhase, nextStep } from './current.ts';
import { type Examination, examine, type FailedStep } from './examine.ts';
import { printFinished } from './finished.ts';
import { commit } from './git.ts';
import { dim, green, labelled, print, red } from './screen.ts';
import { placesOfStep, printStep } from './step-text.ts';
import { requireBranch, type Workspace } from './workspace.ts';

/** Steps answer within a second on an idle machine; this ends an endless loop. */
const LIMIT_MS = 30_000;
/** Steps that measure run a server for some seconds. */
const MEASURE_LIMIT_MS = 60_000;
const INDENT = '    ';

export interface CheckOptions {
  readonly once: boolean;
  readonly verbose: boolean;
  /** The prediction for the next step. */
  readonly guess: number | null;
}

function printCompileError({ file, line, text }: CompileError, count: number): void {
  print(`${red('does not compile')}: ${file}:${line}`);
  print(labelled('compiler', text.replace(/^TS\d+: /, ''), INDENT));
  if (count > 1) print(dim(`${INDENT}and ${count - 1} more, perhaps with the same cause`));
}

function printFailure(workspace: Workspace, phase: LearnPhase, failed: FailedStep, verbose: boolean): void {
  const { step, finding, stack } = failed;
  print(red(`${step.id} ${step.title} ✗`));
  print(labelled('did', finding.did, INDENT));
  print(labelled('expected', finding.expected, INDENT));
  print(labelled('got', finding.got, INDENT));
  if (finding.so !== undefined) print(labelled('so', finding.so, INDENT));
  const places = finding.where ?? placesOfStep(workspace, phase, step);
  const files = places.length > 0 ? places : phase.files;
  if (files.length > 0) print(labelled('where', files.join(', '), INDENT));
  if (verbose && stack !== '') print(stack.replace(/^/gm, INDENT));
  print(dim(`${INDENT}stuck? npm run learn hint`));
}

/** @param isFirstTime the failed step is the next one since this check, so its text has not been shown yet */
function printResult(
  workspace: Workspace,
  phase: LearnPhase,
  steps: readonly Step[],
  examination: Examination,
  { isFirstTime, verbose }: { readonly isFirstTime: boolean; readonly verbose: boolean },
): void {
  const { passed, notes, failed } = examination;
  if (passed.length > 0) print(passed.map(({ id, title }) => green(`${id} ${title} ok`)).join('   '));
  for (const note of notes) print(note);
  if (failed === null) {
    // Steps that measure and passed before are not among `steps`.
    printFinished(workspace, phase);
    return;
  }
  if (isFirstTime) {
    print('');
    printStep(workspace, phase, failed.step);
    print('');
  }
  printFailure(workspace, phase, failed, verbose);
  const later = steps.slice(passed.length + 1);
  if (later.length > 0)
    print(dim(`${later[0]!.id}${later.length > 1 ? ` … ${later.at(-1)!.id}` : ''} not checked yet`));
}

/** One commit for each step that passes for the first time. @returns whether one does */
function recordPassed(workspace: Workspace, phase: LearnPhase, passed: readonly Step[]): boolean {
  const first = passed.filter((candidate) => !workspace.isPassed(candidate));
  for (const step of first) {
    workspace.pass(step, workspace.state.filledIn.includes(step.id));
    workspace.save();
    if (phase.files.length > 0) commit(workspace.root, `${step.id} ${step.title}`, phase.files);
  }
  return first.length > 0;
}

/** @returns the exit code */
async function checkOnce(workspace: Workspace, phase: LearnPhase, verbose: boolean): Promise<number> {
  const { root, build } = workspace;
  const isBuilt = phase.files.length > 0;
  // At each check: a git switch in another terminal also counts as a save.
  if (isBuilt) requireBranch(root, phase);
  const [error, ...more] = compile({ root, output: build, files: filesToBuild(root, phase) }, root);
  if (error !== undefined) {
    printCompileError(error, more.length + 1);
    return 1;
  }
  const all = stepsOf(root, phase);
  // A prediction counts once: steps that measure are not repeated.
  const steps = isBuilt ? all : all.filter((step) => !workspace.isPassed(step));
  const limitMs = isBuilt ? LIMIT_MS : MEASURE_LIMIT_MS;
  const examination = await examine({
    root,
    output: build,
    steps,
    guesses: workspace.state.guesses,
    limitMs,
  });
  // Git writes the files before it moves HEAD, so the branch can have changed since.
  if (isBuilt) requireBranch(root, phase);
  const isFirstTime = recordPassed(workspace, phase, examination.passed);
  printResult(workspace, phase, steps, examination, { isFirstTime, verbose });
  return examination.failed === null ? 0 : 1;
}

/** Checks at each save until Ctrl-C, or until the last step passes. */
async function checkAlways(workspace: Workspace, phase: LearnPhase, verbose: boolean): Promise<number> {
  const folders = [...new Set(phase.files.map((file) => dirname(workspace.path(file))))];
  let changed: () => void = () => {};
  const names = new Set(phase.files.map((file) => file.slice(file.lastIndexOf('/') + 1)));
  const watchers = folders.map((folder) =>
    watch(folder, (_event, name) => {
      if (name !== null && names.has(name)) changed();
    }),
  );
  try {
    for (;;) {
      const change = new Promise<void>((resolve) => {
        changed = resolve;
      });
      const code = await checkOnce(workspace, phase, verbose);
      if (code === 0) return 0;
      print(dim('waiting for the next save; Ctrl-C ends'));
      await change;
      print('');
    }
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}

function predict(workspace: Workspace, phase: LearnPhase, guess: number): void {
  const next = nextStep(workspace, phase);
  if (next === null) return;
  workspace.state.guesses[next.id] = guess;
  workspace.state.filledIn = workspace.state.filledIn.filter((id) => id !== next.id);
  workspace.save();
}

/** Steps that measure: asks for the next prediction until the last step passes. */
async function checkPredictions(workspace: Workspace, phase: LearnPhase, verbose: boolean): Promise<number> {
  for (;;) {
    const code = await checkOnce(workspace, phase, verbose);
    if (code === 0) return 0;
    print('');
    const guess = await askNumber('your prediction');
    if (guess === null) return code;
    predict(workspace, phase, guess);
  }
}

/** @returns the exit code: 0 if all steps of the phase pass */
export async function check(workspace: Workspace, { once, verbose, guess }: CheckOptions): Promise<number> {
  const phase = currentPhase(workspace);
  if (guess !== null) predict(workspace, phase, guess);
  if (once) return checkOnce(workspace, phase, verbose);
  if (phase.files.length > 0) return checkAlways(workspace, phase, verbose);
  return canAsk() ? checkPredictions(workspace, phase, verbose) : checkOnce(workspace, phase, verbose);
}
