/** The short form of the kill tests; `npm run test:chaos` is the long one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { requirePipeline } from '../support/pipeline.ts';
import { runChaos } from './chaos.ts';

const ROUNDS = 10;

describe('the way from POST to SQL row', { skip: requirePipeline() }, () => {
  it(`holds every acknowledged metric once after ${ROUNDS} rounds of kills`, async (t) => {
    const seed = Date.now() | 0;
    t.diagnostic(`seed ${seed}`);
    const { rounds, acknowledged } = await runChaos(t, ROUNDS, seed, ({ victims, recoveryMs }) =>
      t.diagnostic(`${victims.join(' and ')}: ${Math.round(recoveryMs)} ms`),
    );
    assert.equal(rounds.length, ROUNDS);
    assert.ok(acknowledged > 0);
  });
});
