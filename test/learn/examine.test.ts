/** The process that runs the steps, over steps whose code prints: its results and its limit stay apart from the prints. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import type { Step } from '../../src/learn/catalogue.ts';
import { type Examination, examine } from '../../src/learn/examine.ts';
import { ROOT } from '../../src/learn/workspace.ts';

const OUTPUT = join(ROOT, 'dist');

function examineCode(t: TestContext, code: string, limitMs: number): Promise<Examination> {
  const parent = join(ROOT, '.artifacts');
  mkdirSync(parent, { recursive: true });
  const directory = mkdtempSync(join(parent, 'learn-examine-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'step.js'), code);
  const path = join('..', directory.slice(ROOT.length), 'step');
  const step: Step = {
    id: '9.1',
    phase: '9',
    title: 'prints',
    minutes: 5,
    words: [],
    why: '',
    hints: [],
    prediction: null,
    path,
  };
  return examine({ root: ROOT, output: OUTPUT, steps: [step], guesses: {}, limitMs });
}

it('a step passes although its code prints', async (t) => {
  const code = `export const check = () => { console.log('# printed by the code of a learner'); return 'a note'; };`;
  const { passed, notes, failed } = await examineCode(t, code, 60_000);
  assert.equal(failed, null);
  assert.deepEqual([passed.map(({ id }) => id), notes], [['9.1'], ['9.1: a note']]);
});

it('a step that prints without end is endless', async (t) => {
  const code = `export const check = () => new Promise(() => setInterval(() => console.log('# still here'), 50));`;
  const { failed } = await examineCode(t, code, 1_000);
  assert.equal(failed?.kind, 'endless');
});
