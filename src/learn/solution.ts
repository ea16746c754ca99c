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

/** Of a step that measures: the next check has to confirm the prediction. */
function predictionOf({ state }: Workspace, { id, prediction }: Step, isSure: boolean): void {
  const mine = state.guesses[id];
  if (mine !== undefined) print(`yours: ${mine}`);
  print(`the prediction: ${prediction?.text}`);
  if (!isSure || prediction === null) return;
  state.guesses[id] = prediction.value;
  state.filledIn.push(id);
  print(`${prediction.value} is filled in: npm run learn check measures it`);
}

/** @returns the exit code */
export function solution(workspace: Workspace, id: string, isSure: boolean): number {
  const step = stepNamed(workspace.root, id);
  const phase = phaseNamed(step.phase);
  const isBuilt = phase.files.length > 0;
  if (isBuilt) requireBranch(workspace.root, phase);
  if (!workspace.isPassed(step) && !isSure) {
    throw new MetricsStreamError(
      'LEARN_UNAVAILABLE',
      `${id} has not passed yet: learn hint ${id} helps; learn solution ${id} --yes fills it in`,
    );
  }
  if (isBuilt) codeOf(workspace, phase, step, isSure);
  else predictionOf(workspace, step, isSure);
  workspace.save();
  return 0;
}

function codeOf(workspace: Workspace, phase: LearnPhase, step: Step, isSure: boolean): void {
  printBeside(workspace, phase, step);
  if (!isSure) return;
  keepMine(workspace, phase, `the solution of ${step.id}`);
  applySolution(workspace, phase, step);
  workspace.pass(step, true);
  workspace.save();
  commit(workspace.root, `${step.id} ${step.title} (solution)`, phase.files);
  print(`${step.id} is filled in; yours is in the branch's history`);
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
    state.filledIn = state.filledIn.filter((other) => other !== id);
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
  const kept = phase.files.length > 0 ? "; yours is in the branch's history" : '';
  print(`${target} is as it was at the start${kept}`);
  return 0;
}
