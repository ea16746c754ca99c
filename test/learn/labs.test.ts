/** The steps of phase 0, which measure: they ask for a prediction and compare it with a measurement. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { phaseNamed, stepsOf } from '../../src/learn/catalogue.ts';
import { StepFailure } from '../../src/learn/failure.ts';
import type { StepModule } from '../../src/learn/step-module.ts';
import { ROOT } from '../../src/learn/workspace.ts';
import { memoryDirectory } from '../support/server-process.ts';
import { compare } from './phase-0/lab.ts';

// The labs' servers keep their data there: a disk that stalls is answered with 503, which ends a lab.
process.env.TMPDIR = memoryDirectory({ after });

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
    it(`${step.id} ${step.title} asks for a prediction, measures, and refuses a wrong one`, async () => {
      const { check } = (await import(join(ROOT, 'dist', `${step.path}.js`))) as StepModule;
      assert.match(
        await refusal(() => check({ guess: null, root: ROOT })),
        /before anything is measured.*none yet/,
      );
      assert.match(
        await refusal(() => check({ guess: WRONG[step.id]!, root: ROOT })),
        /^[\d.]+ .*as measured just now .*predicted$/,
      );
    });
  }

  it('accept a prediction within the factor of the question, on either side', async () => {
    const asked = { question: 'How many?', unit: 'ms', factor: 2, so: 'that is why' };
    for (const guess of [51, 100, 199])
      assert.equal(
        compare(asked, guess, 100),
        `you predicted ${guess} ms, and the server shows 100. that is why`,
      );
    for (const guess of [49, 201])
      assert.equal(
        await refusal(() => compare(asked, guess, 100)),
        `100 ms, as measured just now ${guess} predicted`,
      );
  });
});
