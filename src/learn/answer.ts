/** `learn answer`: the learner's own answer first, then the model answer. */
import { readFileSync } from 'node:fs';
import { MetricsStreamError } from '../base/errors.ts';
import { PHASE_NUMBERS } from '../config/options.ts';
import { askText, canAsk } from './ask.ts';
import { bold, print, wrapped } from './screen.ts';
import type { Workspace } from './workspace.ts';

const EXERCISES = 'EXERCISES.md';
const ANSWERS = 'docs/answers.md';

/** The numbered items of a phase in EXERCISES.md, without their hints. */
function exercisesOf(page: string, phase: string): Map<string, string> {
  const [, section = ''] = page.split(`\n## Phase ${phase}:`);
  const [items = ''] = section.split(/^## /m);
  const parts = items.replaceAll(/<details>[\s\S]*?<\/details>/g, '').split(/^(\d+)\. /m);
  const found = new Map<string, string>();
  for (let index = 1; index < parts.length; index += 2) {
    const [text = ''] = parts[index + 1]!.split(/^### /m);
    found.set(parts[index]!, text.replaceAll(/\s+/g, ' ').trim());
  }
  return found;
}

function modelAnswer(page: string, phase: string, number: string): string | undefined {
  const [, text] = page.split(`\n### Phase ${phase}, ${number}\n`);
  return text?.split(/^##/m)[0]?.trim();
}

/** @param number in EXERCISES.md @param mine the learner's answer @returns the exit code */
export async function answer(
  workspace: Workspace,
  phase: string,
  number: string,
  mine: string | null,
): Promise<number> {
  const items = exercisesOf(readFileSync(workspace.path(EXERCISES), 'utf8'), phase);
  if (items.size === 0) {
    const phases = PHASE_NUMBERS.join(', ');
    throw new MetricsStreamError('CONFIG_INVALID', `"${phase}" is not a phase; choose one of ${phases}`);
  }
  const item = items.get(number);
  if (item === undefined) {
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `phase ${phase} has the numbers 1 to ${items.size}, not "${number}"; see ${EXERCISES}`,
    );
  }
  const key = `${phase} ${number}`;
  print(bold(`phase ${phase}, number ${number}`));
  print(wrapped(item, '  '));
  let own = mine ?? workspace.state.answers[key] ?? null;
  if (own === null && canAsk()) own = await askText('your answer');
  if (own === null) {
    print(`first write yours: npm run learn answer ${phase} ${number} -- --mine "…"`);
    return 1;
  }
  workspace.state.answers[key] = own;
  workspace.save();
  print(bold('yours'));
  print(wrapped(own, '  '));
  print(bold('model answer'));
  print(wrapped(modelAnswer(readFileSync(workspace.path(ANSWERS), 'utf8'), phase, number) ?? '', '  '));
  return 0;
}
