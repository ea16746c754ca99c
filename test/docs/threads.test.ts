/** The first programs of LEARNING_PATH.md print what it says. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/deploy-files.ts';
import { blocksOf } from './blocks.ts';

const blocks = blocksOf(join(ROOT, 'LEARNING_PATH.md'));
const PROGRAM = /^node (docs\/threads\/.+\.mjs)$/;
/** Lost updates differ from run to run, so the documented number of `+= 1` stands for any. */
const LOST = /(\+= 1 counted) \d+/;

describe('the first programs', () => {
  const programs = blocks.filter(({ text }) => PROGRAM.test(text));

  it('are three', () => assert.equal(programs.length, 3));

  for (const program of programs) {
    const path = PROGRAM.exec(program.text)![1]!;
    it(`${path} prints what the page says`, () => {
      const documented = blocks[blocks.indexOf(program) + 1]!;
      assert.equal(documented.language, 'text');
      const printed = execFileSync(process.execPath, [join(ROOT, path)], {
        encoding: 'utf8',
        timeout: 360_000,
      });
      assert.equal(printed.trim().replace(LOST, '$1'), documented.text.replace(LOST, '$1'));
    });
  }
});
