/** The short form of the outages under load; `npm run test:outages` is the long one, with figures and the database, too. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { requirePipeline } from '../support/pipeline.ts';
import { runOutage } from './outage-load.ts';

const SHORT = { seconds: 2, withBaseline: false, requestsPerSecond: 50 } as const;

describe('under load', { skip: requirePipeline() }, () => {
  it('NATS stops: every POST is served, the lag rises and falls, nothing is lost or doubled', async (t) => {
    const { during, samples, accepted, lost, doubled } = await runOutage(t, { ...SHORT, stopped: 'NATS' });
    assert.deepEqual(Object.keys(during.outcomes), ['200']);
    const lags = samples.map(({ lagBytes }) => lagBytes.nats);
    assert.ok(Math.max(...lags) > 0, 'the lag rose');
    assert.equal(lags.at(-1), 0, 'the lag fell');
    assert.ok(accepted > 0);
    assert.deepEqual([lost, doubled], [0, 0]);
  });
});
