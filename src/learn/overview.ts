/** Prints for `learn list`, `learn progress`, `learn hint`, and for `learn` without a subcommand. */
import { LEARN_PHASES, type LearnPhase, phaseNamed, type Step, stepNamed, stepsOf } from './catalogue.ts';
import { check } from './check.ts';
import { currentPhase, firstOpen, nextStep } from './current.ts';
import { printFinished } from './finished.ts';
import { aligned, bold, dim, print, wrapped } from './screen.ts';
import type { Workspace } from './workspace.ts';

type StepState = 'passed' | 'given' | 'next' | 'open';

/** @param steps of its phase */
export function stateOfStep(workspace: Workspace, steps: readonly Step[], step: Step): StepState {
  const passed = workspace.state.passed[step.id];
  if (passed !== undefined) return passed.isGiven ? 'given' : 'passed';
  const isNext = workspace.state.phase === step.phase && firstOpen(workspace, steps) === step;
  return isNext ? 'next' : 'open';
}

const SIGNS: Readonly<Record<StepState, string>> = { passed: '●', given: '◐', next: '○', open: '○' };

/** Before against yours in the last run. */
function lastRun(workspace: Workspace, { number }: LearnPhase): string {
  const run = workspace.state.runs.findLast(({ phase }) => phase === number);
  const row = run?.rows[0];
  return row === undefined ? '–' : `${(row.before.median / row.yours.median).toFixed(1)}×`;
}

function nextOf(workspace: Workspace, phase: LearnPhase, steps: readonly Step[]): string {
  const next = firstOpen(workspace, steps);
  if (next === null) return 'done';
  if (workspace.state.phase === phase.number) return `${next.id} ${next.title}`;
  return `start ${phase.number}${phase.wants === null ? '' : ` (wants ${phase.wants})`}`;
}

/** @returns the exit code */
export function list(workspace: Workspace, json: boolean): number {
  const phases = LEARN_PHASES.map((phase) => ({ phase, steps: stepsOf(workspace.root, phase) }));
  if (json) {
    const rows = phases.flatMap(({ steps }) =>
      steps.map((step) => ({
        phase: Number(step.phase),
        step: step.id,
        title: step.title,
        state: stateOfStep(workspace, steps, step),
        minutes: step.minutes,
      })),
    );
    print(JSON.stringify(rows));
    return 0;
  }
  const rows = phases.map(({ phase, steps }) => [
    `${phase.number} ${phase.title}`,
    phase.level,
    steps.map((step) => SIGNS[stateOfStep(workspace, steps, step)]).join(''),
    lastRun(workspace, phase),
    nextOf(workspace, phase, steps),
  ]);
  print(aligned([['phase', 'level', 'steps', 'before / yours', 'next'], ...rows]));
  return 0;
}

/** @returns the exit code */
export function progress(workspace: Workspace): number {
  const all = LEARN_PHASES.flatMap((phase) => stepsOf(workspace.root, phase));
  const passed = all.filter((step) => workspace.isPassed(step));
  const own = passed.filter(({ id }) => workspace.state.passed[id]?.isGiven === false);
  const left = all.filter((step) => !workspace.isPassed(step)).reduce((sum, { minutes }) => sum + minutes, 0);
  print(
    `${bold(`${passed.length} of ${all.length} steps`)}, ${own.length} of them yours; about ${hours(left)} left`,
  );
  const rows = passed.map((step) => {
    const { at, hints, isGiven } = workspace.state.passed[step.id]!;
    return [
      `${step.id} ${step.title}`,
      at.slice(0, 16).replace('T', ' '),
      isGiven ? 'filled in' : `${hints} hints`,
    ];
  });
  if (rows.length > 0) print(aligned([['step', 'passed (UTC)', ''], ...rows]));
  return 0;
}

function hours(minutes: number): string {
  return minutes < 90 ? `${minutes} minutes` : `${Math.round(minutes / 30) / 2} hours`;
}

/** Shows the hints so far and one more. @param id the step; the next one if null @returns the exit code */
export function hint(workspace: Workspace, id: string | null): number {
  const step = id === null ? nextStep(workspace, currentPhase(workspace)) : stepNamed(workspace.root, id);
  if (step === null) {
    print('all steps of this phase pass, so no hint is left');
    return 0;
  }
  const shown = Math.min((workspace.state.hints[step.id] ?? 0) + 1, step.hints.length);
  workspace.state.hints[step.id] = shown;
  workspace.save();
  step.hints.slice(0, shown).forEach((text, index) => {
    print(bold(`${step.id} ${step.title}, hint ${index + 1} of ${step.hints.length}`));
    print(wrapped(text, '  '));
  });
  if (shown === step.hints.length)
    print(dim(`this was the last hint; the solution: npm run learn solution ${step.id} -- --yes`));
  return 0;
}

/** Without a subcommand: the map, and in a terminal the watch of the phase that is started. */
export async function overview(workspace: Workspace): Promise<number> {
  list(workspace, false);
  const { phase } = workspace.state;
  if (phase === null) {
    print(`begin with: npm run learn start ${LEARN_PHASES[0]!.number}`);
    return 0;
  }
  print('');
  if (process.stdout.isTTY) return check(workspace, { once: false, verbose: false, guess: null });
  const current = phaseNamed(phase);
  const next = nextStep(workspace, current);
  if (next === null) printFinished(workspace, current);
  else print(`next: npm run learn show, npm run learn check`);
  return 0;
}
