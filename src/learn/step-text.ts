/** The text of a step: `learn show`, and the end of `start` and `check`. */
import { readFileSync } from 'node:fs';
import { type LearnPhase, phaseNamed, type Step, stepNamed } from './catalogue.ts';
import { currentPhase, nextStep } from './current.ts';
import { placesOf, stepsIn } from './markers.ts';
import { bold, dim, print, wrapped } from './screen.ts';
import type { Workspace } from './workspace.ts';

/**
 * Where a step's places are now: `src/telemetry/ring-buffer.ts:82`. Only the file if the place lies inside that of an
 * earlier step: the learner's own text has replaced its markers.
 */
export function placesOfStep(workspace: Workspace, phase: LearnPhase, step: Step): string[] {
  return phase.files.flatMap((file) => {
    const text = readFileSync(workspace.path(file), 'utf8');
    const lines = placesOf(text, step.id, file);
    if (lines.length > 0) return lines.map((line) => `${file}:${line}`);
    return stepsIn(workspace.reference(phase, file), file).includes(step.id) ? [file] : [];
  });
}

export function printStep(workspace: Workspace, phase: LearnPhase, step: Step): void {
  print(`${bold(`${step.id} ${step.title}`)}  ${dim(`about ${step.minutes} minutes`)}`);
  print(wrapped(step.why, '  '));
  const places = placesOfStep(workspace, phase, step);
  if (places.length > 0) print(`  places: ${places.join(', ')}`);
  if (step.words.length > 0) print(dim(`  words: ${step.words.join(', ')} (docs/glossary.md)`));
}

/** @param id the step; the next one if null @returns the exit code */
export function show(workspace: Workspace, id: string | null): number {
  const step = id === null ? nextStep(workspace, currentPhase(workspace)) : stepNamed(workspace.root, id);
  if (step === null) print('all steps of this phase pass');
  else printStep(workspace, phaseNamed(step.phase), step);
  return 0;
}
