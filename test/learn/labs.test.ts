/** The steps of phase 0, which measure: without a prediction and with a wrong one they fail, with a right one they pass. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { phaseNamed, stepsOf } from '../../src/learn/catalogue.ts';
import { StepFailure } from '../../src/learn/failure.ts';
import type { StepModule } from '../../src/learn/step-module.ts';
import { ROOT } from '../../src/learn/workspace.ts';

/** Predictions that no machine fulfils. */
const WRONG: Readonly<Record<string, number>> = { '0.1': 1000, '0.2': 5, '0.3': 5, '0.4': 0.01 };

/** The figure that a refused prediction is told. */
async function refusal(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof StepFailure, String(error));
    return `${error.finding.expected} ${error.finding.got}`;
  }
  throw new Error('the prediction was accepted');
}

describe('the labs of phase 0', () => {
  for (const step of stepsOf(ROOT, phaseNamed('0'))) {
    it(`${step.id} ${step.title} asks for a prediction, refuses a wrong one, and accepts its own figure`, async () => {
      const { check } = (await import(join(ROOT, 'dist', `${step.path}.js`))) as StepModule;
      assert.match(
        await refusal(() => check({ guess: null, root: ROOT })),
        /before anything is measured.*none yet/,
      );
      const refused = await refusal(() => check({ guess: WRONG[step.id]!, root: ROOT }));
      const [, measured] = /^([\d.]+) .*as measured just now .*predicted$/.exec(refused) ?? [];
      assert.ok(measured !== undefined, refused);
      const accepted = await check({ guess: Number(measured), root: ROOT });
      assert.match(String(accepted), /you predicted .* and the server shows/);
    });
  }
});
