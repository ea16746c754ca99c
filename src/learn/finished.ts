/** The commands that remain when all steps of a phase have passed. */
import { LEARN_PHASES, type LearnPhase, stepsOf } from './catalogue.ts';
import { firstOpen } from './current.ts';
import { aligned, bold, print } from './screen.ts';
import type { Workspace } from './workspace.ts';

/** The phase to learn after this one; null if all others are done. */
function phaseAfter(workspace: Workspace, phase: LearnPhase): LearnPhase | null {
  const at = LEARN_PHASES.indexOf(phase);
  const others = [...LEARN_PHASES.slice(at + 1), ...LEARN_PHASES.slice(0, at)];
  return others.find((other) => firstOpen(workspace, stepsOf(workspace.root, other)) !== null) ?? null;
}

export function printFinished(workspace: Workspace, phase: LearnPhase): void {
  const { root } = workspace;
  const rows: [command: string, purpose: string][] = [];
  if (phase.tests !== null) rows.push([`npm test -- ${phase.tests}`, 'the full tests of the phase']);
  rows.push(['npm run learn bench', 'the benchmark, beside your guess']);
  rows.push([`npm run learn answer ${phase.number} 1`, 'the questions and exercises in EXERCISES.md']);
  const after = phaseAfter(workspace, phase);
  if (after !== null) rows.push([`npm run learn start ${after.number}`, `the next phase: ${after.title}`]);
  print(bold(`all ${stepsOf(root, phase).length} steps of phase ${phase.number} pass.`));
  print('next:');
  print(aligned(rows).replace(/^/gm, '  '));
}
