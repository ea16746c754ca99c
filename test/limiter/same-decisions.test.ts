import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readCensus } from '../../src/limiter/census.ts';
import * as globalLock from '../../src/limiter/global-lock.ts';
import * as stripedLock from '../../src/limiter/striped-lock.ts';
import type { TestedLimiter } from './contract.ts';

interface Charge {
  readonly client: number;
  readonly waitMs: number;
  readonly metrics: number;
}

const CONFIG = { requestRate: 10, requestBurst: 3, metricRate: 100, metricBurst: 50, clients: 100 };
/** Few and small sets, so that they overflow and evict. */
const SETS = { sets: 3, ways: 2 };

/** Everything that a caller can observe in a run of charges. */
function observe(tested: TestedLimiter, charges: readonly Charge[], seed: Uint8Array) {
  const memory = tested.createLimiterMemory(CONFIG, SETS);
  new Uint8Array(memory).set(seed);
  const limiter = tested.openLimiter(memory, CONFIG);
  let nowMs = 0;
  const seen = charges.map(({ client, waitMs, metrics }) => {
    nowMs += waitMs;
    const key = Buffer.from(`client ${client}`);
    const request = limiter.chargeRequest(key, key.length, nowMs);
    const afterRequest = [limiter.remaining, limiter.retryAfterSeconds, limiter.clientHash];
    const batch = limiter.chargeMetrics(metrics, nowMs);
    return [request, ...afterRequest, batch, limiter.remaining, limiter.retryAfterSeconds];
  });
  return { seen, census: readCensus(memory, 20) };
}

test('the global lock and the striped locks decide, tell and count the same', () => {
  const charge = fc.record({
    client: fc.nat(11),
    waitMs: fc.nat(300),
    metrics: fc.integer({ min: 1, max: 50 }),
  });
  const seed = fc.uint8Array({ minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(charge, { maxLength: 300 }), seed, (charges, bytes) => {
      assert.deepEqual(observe(globalLock, charges, bytes), observe(stripedLock, charges, bytes));
    }),
  );
});
