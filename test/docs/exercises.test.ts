/** Every exercise and question has a hint or needs none, and a model answer that `learn answer` can show. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { PHASES } from '../../src/phases.ts';
import { ROOT } from '../support/deploy-files.ts';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Numbers of all items of each phase, as `5, 2`. */
function exercises(): string[] {
  let phase = '';
  return read('EXERCISES.md')
    .split('\n')
    .flatMap((line) => {
      phase = /^## Phase ([\d.]+):/.exec(line)?.[1] ?? phase;
      const number = /^(\d+)\. /.exec(line)?.[1];
      return number === undefined ? [] : [`${phase}, ${number}`];
    });
}

describe('the exercises', () => {
  it('exist for every phase and are numbered without a gap', () => {
    const numbers = new Map<string, number[]>();
    for (const item of exercises()) {
      const [phase = '', number] = item.split(', ');
      numbers.set(phase, [...(numbers.get(phase) ?? []), Number(number)]);
    }
    assert.deepEqual([...numbers.keys()].sort(), PHASES.map(({ number }) => String(number)).sort());
    for (const [phase, found] of numbers) {
      assert.deepEqual(
        found,
        found.map((_, index) => index + 1),
        `phase ${phase}`,
      );
    }
  });

  it('have one model answer each, of at least two sentences', () => {
    const answers = [...read('docs/answers.md').matchAll(/^### Phase ([\d.]+, \d+)\n\n([^#]+)/gm)];
    assert.deepEqual(answers.map(([, heading]) => heading).sort(), exercises().sort());
    for (const [, heading, text = ''] of answers) {
      assert.ok(text.split(/[.:;] /).length >= 2, `phase ${heading}: ${text}`);
    }
  });
});
