/** Biome accepts every state of every phase: a learner's first look at a file shows no complaint that is not theirs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import { LEARN_PHASES, stepsOf } from '../../src/learn/catalogue.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { stateVariant } from './variants.ts';

it('format and lint hold in every state', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'metricsstream-states-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { formatter, javascript, linter } = JSON.parse(
    readFileSync(join(ROOT, 'biome.json'), 'utf8'),
  ) as Record<string, unknown>;
  writeFileSync(join(directory, 'biome.json'), JSON.stringify({ formatter, javascript, linter }));
  for (const phase of LEARN_PHASES) {
    const steps = stepsOf(ROOT, phase);
    for (let solved = 0; solved <= steps.length; solved++) {
      for (const [file, text] of stateVariant(phase, steps, solved).texts) {
        const path = join(directory, 'states', `${phase.number}-${solved}`, file);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, text);
      }
    }
  }
  const options = [`--config-path=${directory}`, '--diagnostic-level=error', join(directory, 'states')];
  const biome = join(ROOT, 'node_modules/.bin/biome');
  const { status, stdout, stderr } = spawnSync(biome, ['check', ...options], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}${stderr}`);
});
