/** The generated branches: deterministic, with the right places open, and equal to the recorded list of places. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openFiles, PHASE_BRANCHES } from '../../src/learn/branches.ts';
import { LEARN_PHASES, stepsOf } from '../../src/learn/catalogue.ts';
import { openPlaces, stepsIn } from '../../src/learn/markers.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { requireTool } from '../support/tools.ts';
import { Clone } from './clone.ts';

const RECORDED = 'test/learn/branches.json';
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Hash of the open places and the lines that a learner sees there, independent of the code around them. */
function digestOf(files: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256');
  for (const [file, text] of [...files].sort()) {
    const lines = text.split('\n');
    for (const { line, step } of openPlaces(text)) {
      const end = lines.findIndex((candidate, index) => index >= line && /^\s*\/\/<$/.test(candidate));
      hash.update(`${file} ${step}\n${lines.slice(line, end).join('\n')}\n`);
    }
  }
  return hash.digest('hex').slice(0, 16);
}

describe('the branches', () => {
  it('have the open places that are recorded', () => {
    const digests = Object.fromEntries(
      PHASE_BRANCHES.map((branch) => [branch.name, digestOf(openFiles(branch, read))]),
    );
    const recorded = JSON.parse(read(RECORDED)) as Record<string, string>;
    assert.deepEqual(
      digests,
      recorded,
      `if the markers changed on purpose, put this into ${RECORDED}: ${JSON.stringify(digests, null, 2)}`,
    );
  });

  it('leave the phase and the later ones open, and files that earlier phases run solved', () => {
    for (const branch of PHASE_BRANCHES) {
      const files = openFiles(branch, read);
      const open = new Set([...files.values()].flatMap((text) => openPlaces(text)).map(({ step }) => step));
      // Solved regions keep their markers. An open region hides those inside it, whose steps are open with it.
      const marked = new Set(
        branch.phase.files.flatMap((file) => stepsIn(files.get(file) ?? read(file), file)),
      );
      for (const { id } of stepsOf(ROOT, branch.phase)) {
        const isOpen = open.has(id) || !marked.has(id);
        assert.equal(isOpen, !branch.isSolution, `${branch.name}: ${id}`);
      }
      if (branch.phase.number !== '4') assert.ok(!open.has('4.1'), `${branch.name} would run without locks`);
      for (const earlier of LEARN_PHASES.slice(0, LEARN_PHASES.indexOf(branch.phase))) {
        for (const { id } of stepsOf(ROOT, earlier)) assert.ok(!open.has(id), `${branch.name}: ${id}`);
      }
    }
  });
});

describe('learn branches', { skip: requireTool('git') }, () => {
  const clone = new Clone(suiteOwner());
  const trees = (): string[] => PHASE_BRANCHES.map(({ name }) => clone.git('rev-parse', `${name}^{tree}`));

  it('writes the same trees each time, without touching the checkout', () => {
    const { code, errorText, text } = clone.learn('branches');
    assert.equal(code, 0, errorText);
    const first = trees();
    assert.equal(clone.learn('branches').text, text);
    assert.deepEqual(trees(), first);
    assert.equal(clone.git('branch', '--show-current'), 'main');
    assert.equal(clone.git('status', '--porcelain'), '');
  });

  it('adds the list of places, the results so far and a lenient compiler, and tags the solutions', () => {
    for (const { name, phase, isSolution } of PHASE_BRANCHES) {
      const places = clone.git('show', `${name}:${'TO'}${'DOS'}.md`);
      const [, file = '', line = '', step = ''] = /\[(src\/[^:]+):(\d+)\].*?\| (.*) \|/.exec(places) ?? [];
      if (file !== '') {
        const source = clone.git('show', `${name}:${file}`).split('\n')[Number(line) - 1] ?? '';
        assert.ok(source.includes(step), `${name}: ${file}:${line}`);
      }
      const results = clone.git('show', `${name}:performance_results.md`);
      assert.match(results, /^\| 0, sequential .*\d/m, name);
      assert.match(results, new RegExp(`^\\| ${phase.number}, .* yours \\|( \\|)+$`, 'm'), name);
      assert.match(clone.git('show', `${name}:tsconfig.json`), /"noUnusedLocals": false/);
      if (isSolution)
        assert.equal(clone.git('rev-parse', `phase-${phase.number}`), clone.git('rev-parse', name));
    }
  });

  it('writes branches that learning can start from', () => {
    clone.git('switch', '--quiet', 'learning/phase-5');
    assert.equal(clone.learn('start', '5').code, 0);
    assert.match(clone.learn('check', '--once').text, /^5\.1 layout ✗$/m);
    assert.equal(clone.learn('solution', '5.1', '--yes').code, 0);
    assert.match(clone.learn('check', '--once').text, /^5\.1 layout ok$/m);
  });
});
