/** `learn solution` and `learn reset`: one step's places, from the reference or as they were. */
import { readFileSync, writeFileSync } from 'node:fs';
import { MetricsStreamError } from '../base/errors.ts';
import { type LearnPhase, phaseNamed, phaseOfNumber, type Step, stepNamed, stepsOf } from './catalogue.ts';
import { changedFiles, commit } from './git.ts';
import { contentsOf } from './markers.ts';
import { bold, print } from './screen.ts';
import { applySolution, applyStub, stateOf } from './start.ts';
import { requireBranch, type Workspace } from './workspace.ts';

/** The learner's own text survives in a commit of the branch. */
function keepMine(workspace: Workspace, phase: LearnPhase, before: string): void {
  const changed = changedFiles(workspace.root).filter((file) => phase.files.includes(file));
  if (changed.length > 0) commit(workspace.root, `Mine before ${before}`, phase.files);
}

function requireFiles(phase: LearnPhase, what: string): void {
  if (phase.files.length > 0) return;
  throw new MetricsStreamError(
    'LEARN_UNAVAILABLE',
    `phase ${phase.number} measures and changes no file: it has no ${what}`,
  );
}

function printBeside(workspace: Workspace, phase: LearnPhase, step: Step): void {
  for (const file of phase.files) {
    const mine = contentsOf(readFileSync(workspace.path(file), 'utf8'), step.id, file);
    const reference = contentsOf(workspace.reference(phase, file), step.id, file);
    reference.forEach((text, index) => {
      print(bold(`${file}, yours`));
      print(mine[index] ?? '(the markers are gone)');
      print(bold(`${workspace.state.base}'s`));
      print(text.replace(/^\s*\/\/[:<>].*\n/gm, ''));
    });
  }
}

/** @returns the exit code */
export function solution(workspace: Workspace, id: string, isSure: boolean): number {
  const step = stepNamed(workspace.root, id);
  const phase = phaseNamed(step.phase);
  requireFiles(phase, 'solution');
  requireBranch(workspace.root, phase);
  if (!workspace.isPassed(step) && !isSure) {
    throw new MetricsStreamError(
      'LEARN_UNAVAILABLE',
      `${id} has not passed yet: learn hint ${id} helps; learn solution ${id} --yes fills it in`,
    );
  }
  printBeside(workspace, phase, step);
  if (!isSure) return 0;
  keepMine(workspace, phase, `the solution of ${id}`);
  applySolution(workspace, phase, step);
  workspace.pass(step, true);
  workspace.save();
  commit(workspace.root, `${step.id} ${step.title} (solution)`, phase.files);
  print(`${id} is filled in; yours is in the branch's history`);
  return 0;
}

/** @param target a step, `5.3`, or a whole phase, `5` @returns the exit code */
export function reset(workspace: Workspace, target: string): number {
  const { root, state } = workspace;
  const isPhase = !target.includes('.') || phaseOfNumber(target) !== null;
  const steps = isPhase ? stepsOf(root, phaseNamed(target)) : [stepNamed(root, target)];
  const phase = phaseNamed(isPhase ? target : steps[0]!.phase);
  for (const { id } of steps) {
    delete state.passed[id];
    delete state.hints[id];
    delete state.guesses[id];
  }
  if (phase.files.length > 0) {
    requireBranch(root, phase);
    keepMine(workspace, phase, `the reset of ${target}`);
    if (isPhase) {
      for (const [file, text] of stateOf(workspace, phase, () => false))
        writeFileSync(workspace.path(file), text);
    } else {
      applyStub(workspace, phase, steps[0]!);
    }
    commit(root, `Reset ${target}`, phase.files);
  }
  workspace.save();
  print(`${target} is as it was at the start; yours is in the branch's history`);
  return 0;
}
