/** The steps of phase 0, which measure: without a prediction and with a wrong one they fail, with a right one they pass. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { phaseNamed, stepsOf } from '../../src/learn/catalogue.ts';
import { StepFailure } from '../../src/learn/failure.ts';
import type { StepModule } from '../../src/learn/step-module.ts';
import { ROOT } from '../../src/learn/workspace.ts';

/** A right prediction, and one that no machine fulfils. */
const PREDICTIONS: Readonly<Record<string, readonly [right: number, wrong: number]>> = {
  '0.1': [47, 500],
  '0.2': [425, 20],
  '0.3': [93, 20],
  '0.4': [15, 0.5],
};

describe('the labs of phase 0', () => {
  for (const step of stepsOf(ROOT, phaseNamed('0'))) {
    const [right, wrong] = PREDICTIONS[step.id]!;
    const load = async () => (await import(join(ROOT, 'dist', `${step.path}.js`))) as StepModule;

    it(`${step.id} ${step.title} asks for a prediction, refuses ${wrong} and accepts ${right}`, async () => {
      const { check } = await load();
      const failure = (guess: number | null) => (error: unknown) => {
        assert.ok(error instanceof StepFailure, String(error));
        assert.match(error.finding.got, guess === null ? /none yet/ : /predicted/);
        return true;
      };
      await assert.rejects(async () => check({ guess: null, root: ROOT }), failure(null));
      await assert.rejects(async () => check({ guess: wrong, root: ROOT }), failure(wrong));
      assert.match(
        String(await check({ guess: right, root: ROOT })),
        /you predicted .* and the server shows/,
      );
    });
  }
});
