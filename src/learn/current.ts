/** The phase that the learner works on, and its next step. */
import { MetricsStreamError } from '../base/errors.ts';
import { type LearnPhase, phaseNamed, type Step, stepsOf } from './catalogue.ts';
import type { Workspace } from './workspace.ts';

export function currentPhase(workspace: Workspace): LearnPhase {
  const { phase } = workspace.state;
  if (phase === null) {
    throw new MetricsStreamError(
      'LEARN_UNAVAILABLE',
      'no phase is started: run learn start 0, or learn list to choose',
    );
  }
  return phaseNamed(phase);
}

/** The first step that has not passed; null when all have. */
export function firstOpen(workspace: Workspace, steps: readonly Step[]): Step | null {
  return steps.find((step) => !workspace.isPassed(step)) ?? null;
}

export function nextStep(workspace: Workspace, phase: LearnPhase): Step | null {
  return firstOpen(workspace, stepsOf(workspace.root, phase));
}
