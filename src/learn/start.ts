/** Begins or continues a phase: branch, reference, places to fill. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { makeDirectories } from '../base/directories.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { compile, filesToBuild } from './build.ts';
import { type LearnPhase, phaseNamed, phaseOfNumber, type Step, stepNamed, stepsOf } from './catalogue.ts';
import { changedFiles, commit, currentBranch, git, tryGit } from './git.ts';
import { render, stepsIn, transplant } from './markers.ts';
import { bold, print } from './screen.ts';
import { placesOfStep, printStep } from './step-text.ts';
import { branchOf, type Workspace } from './workspace.ts';

const MODE = 0o755;
/** Folders and files that the reference is compiled from. */
const TREE = ['src', 'test', 'load-test', 'bench', 'docs', 'package.json', 'tsconfig.json'];

function requireCleanTree(root: string): void {
  const changed = changedFiles(root);
  if (changed.length === 0) return;
  const names = changed.slice(0, 3).join(', ') + (changed.length > 3 ? ', …' : '');
  throw new MetricsStreamError(
    'LEARN_UNAVAILABLE',
    `changes are not committed (${names}): commit them, or run git stash`,
  );
}

/** @throws LEARN_UNAVAILABLE if git or tar fails, or if the base does not compile */
function compileReference(workspace: Workspace, phase: LearnPhase, output: string): void {
  const { root, state } = workspace;
  const tree = workspace.referenceTree(phase);
  makeDirectories(tree, MODE);
  const command = 'git archive "$1" -- $2 | tar -x -C "$3"';
  const parameters = ['-c', command, 'sh', state.base, TREE.join(' '), tree];
  const { status, stderr } = spawnSync('sh', parameters, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new MetricsStreamError('LEARN_UNAVAILABLE', `git archive failed: ${stderr.trim()}`);
  const [error] = compile({ root: tree, output, files: filesToBuild(tree, phase) }, root);
  if (error === undefined) return;
  const place = `${error.file}:${error.line}`;
  throw new MetricsStreamError(
    'LEARN_UNAVAILABLE',
    `${state.base} does not compile: ${place}: ${error.text}`,
  );
}

/** The reference is the learner's base as of the first start, so that later commits there change nothing here. */
function buildReference(workspace: Workspace, phase: LearnPhase): void {
  const output = workspace.referenceBuild(phase);
  if (existsSync(output)) return;
  rmSync(workspace.referenceDirectory(phase), { recursive: true, force: true });
  // The compiler also writes files if it finds errors or is interrupted: only a complete build gets the name.
  const unfinished = `${output}.new`;
  compileReference(workspace, phase, unfinished);
  renameSync(unfinished, output);
}

/** The phase's files as the reference has them, with its steps open unless `isSolved`. */
export function stateOf(
  workspace: Workspace,
  phase: LearnPhase,
  isSolved: (step: string) => boolean,
): Map<string, string> {
  const own = (step: string): boolean => step.startsWith(`${phase.number}.`);
  return new Map(
    phase.files.map((file) => [
      file,
      render(workspace.reference(phase, file), (step) => !own(step) || isSolved(step), file),
    ]),
  );
}

function createBranch(workspace: Workspace, phase: LearnPhase, steps: readonly Step[], first: number): void {
  const { root, state } = workspace;
  git(root, ['switch', '--quiet', '--create', branchOf(phase), state.base]);
  const solved = new Set(steps.slice(0, first).map(({ id }) => id));
  for (const [file, text] of stateOf(workspace, phase, (step) => solved.has(step))) {
    writeFileSync(workspace.path(file), text);
  }
  for (const step of steps.slice(0, first)) workspace.pass(step, true);
  commit(root, `Start phase ${phase.number}: ${phase.title}`, phase.files);
}

/** Fills in the steps before `first` that never passed. */
function catchUp(workspace: Workspace, phase: LearnPhase, steps: readonly Step[], first: number): void {
  for (const step of steps.slice(0, first).filter((earlier) => !workspace.isPassed(earlier))) {
    applySolution(workspace, phase, step);
    workspace.pass(step, true);
    commit(workspace.root, `${step.id} ${step.title} (filled in)`, phase.files);
  }
}

/** Puts the reference's text of a step into the learner's files; later steps in it stay open. */
export function applySolution(workspace: Workspace, phase: LearnPhase, step: Step): void {
  const ids = stepsOf(workspace.root, phase).map(({ id }) => id);
  const last = ids.indexOf(step.id);
  replaceStep(
    workspace,
    phase,
    step,
    (id) => ids.indexOf(id) <= last || workspace.state.passed[id] !== undefined,
  );
}

/** Puts the step's stub back. */
export function applyStub(workspace: Workspace, phase: LearnPhase, step: Step): void {
  replaceStep(workspace, phase, step, (id) => id !== step.id);
}

function replaceStep(
  workspace: Workspace,
  phase: LearnPhase,
  step: Step,
  isSolved: (step: string) => boolean,
): void {
  for (const [file, text] of stateOf(workspace, phase, isSolved)) {
    if (!stepsIn(workspace.reference(phase, file), file).includes(step.id)) continue;
    const mine = readFileSync(workspace.path(file), 'utf8');
    const changed = transplant(mine, text, step.id, file);
    if (changed === null) {
      // The stub of an open step hides the places inside it.
      const remedy = `solve the steps before it, or run learn reset ${phase.number} to begin the phase again`;
      throw new MetricsStreamError(
        'LEARN_UNAVAILABLE',
        `${file} lacks markers "//> ${step.id}": ${remedy}; your text stays in the branch's commits`,
      );
    }
    writeFileSync(workspace.path(file), changed);
  }
}

function printStart(workspace: Workspace, phase: LearnPhase, steps: readonly Step[]): void {
  const places = steps.flatMap((step) => placesOfStep(workspace, phase, step)).length;
  const minutes = steps
    .filter((step) => !workspace.isPassed(step))
    .reduce((sum, step) => sum + step.minutes, 0);
  if (phase.files.length > 0) {
    print(
      `branch ${bold(branchOf(phase))}: ${phase.files.join(', ')}, ${places} places, about ${minutes} minutes.`,
    );
    print(`${workspace.state.base} is untouched.`);
  }
  print(`read first: ${phase.read.join(', ')}`);
  const next = steps.find((step) => !workspace.isPassed(step));
  if (next === undefined) return;
  print('');
  printStep(workspace, phase, next);
  print('');
  print('then: npm run learn check');
}

/** The revision with every phase solved: the current one, or that which a generated or a learner's branch came from. */
function baseOf({ root, state }: Workspace): string {
  const branch = currentBranch(root);
  if (branch?.startsWith('my/') === true) return state.base;
  const generated = git(root, [
    'log',
    '-1',
    '--grep=^Generate \\(learning\\|solution\\)/phase-',
    '--format=%P',
    'HEAD',
  ]);
  return generated || branch || git(root, ['rev-parse', 'HEAD']);
}

/** @param target a phase, `5`, or a step, `5.3` @returns the exit code */
export function start(workspace: Workspace, target: string): number {
  const { root, state } = workspace;
  const isStep = target.includes('.') && phaseOfNumber(target) === null;
  const phase = isStep ? phaseNamed(stepNamed(root, target).phase) : phaseNamed(target);
  const steps = stepsOf(root, phase);
  const first = isStep ? steps.findIndex(({ id }) => id === target) : 0;
  requireCleanTree(root);
  state.base = baseOf(workspace);
  if (phase.files.length > 0) {
    buildReference(workspace, phase);
    if (tryGit(root, ['rev-parse', '--verify', '--quiet', branchOf(phase)]).ok) {
      git(root, ['switch', '--quiet', branchOf(phase)]);
      catchUp(workspace, phase, steps, first);
    } else {
      createBranch(workspace, phase, steps, first);
    }
  }
  state.phase = phase.number;
  workspace.save();
  printStart(workspace, phase, steps);
  return 0;
}
