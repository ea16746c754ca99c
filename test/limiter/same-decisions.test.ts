import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as globalLock from '../../src/limiter/global-lock.ts';
import type { LimiterGeometry } from '../../src/limiter/limiter.ts';
import * as lockFree from '../../src/limiter/lock-free.ts';
import * as stripedLock from '../../src/limiter/striped-lock.ts';
import type { TestedLimiter } from './contract.ts';

interface Charge {
  /** Two threads take turns, each with a limiter of its own. */
  readonly thread: number;
  readonly client: number;
  readonly waitMs: number;
  readonly metrics: number;
}

/** At these rates a token takes a power of two of a second, so sums of tokens are exact in floating point. */
const LIMITS = { requestRate: 8, requestBurst: 3, metricRate: 64, metricBurst: 50, clients: 100 };
const STEP_MS = 1e3 / 64;
/** Few and small sets, so that they overflow and evict. */
const CROWDED = { sets: 3, ways: 2 };
const ROOMY = { sets: 3, ways: 12 };

/** Everything that a caller can observe in a run of charges. */
function observe(
  tested: TestedLimiter,
  limits: typeof LIMITS,
  geometry: LimiterGeometry,
  charges: readonly Charge[],
  seed: Uint8Array,
) {
  const memory = tested.createLimiterMemory(limits, geometry);
  new Uint8Array(memory).set(seed);
  const threads = [tested.openLimiter(memory, limits), tested.openLimiter(memory, limits)];
  let nowMs = 0;
  const seen = charges.map(({ thread, client, waitMs, metrics }) => {
    const limiter = threads[thread]!;
    nowMs += waitMs;
    const key = Buffer.from(`client ${client}`);
    const request = limiter.chargeRequest(key, key.length, nowMs);
    const afterRequest = [limiter.remaining, limiter.retryAfterSeconds, limiter.clientHash];
    const batch = limiter.chargeMetrics(metrics, nowMs);
    return [request, ...afterRequest, batch, limiter.remaining, limiter.retryAfterSeconds];
  });
  return { seen, census: tested.readCensus(memory, 20) };
}

const charge = fc.record({
  thread: fc.nat(1),
  client: fc.nat(11),
  waitMs: fc.nat(20).map((steps) => steps * STEP_MS),
  metrics: fc.integer({ min: 1, max: 50 }),
});
const seed = fc.uint8Array({ minLength: 8, maxLength: 8 });

function decideTheSame(
  others: readonly TestedLimiter[],
  overrides: Partial<typeof LIMITS>,
  geometry: LimiterGeometry,
): void {
  const limits = { ...LIMITS, ...overrides };
  fc.assert(
    fc.property(fc.array(charge, { maxLength: 300 }), seed, (charges, bytes) => {
      const expected = observe(stripedLock, limits, geometry, charges, bytes);
      for (const other of others) {
        assert.deepEqual(observe(other, limits, geometry, charges, bytes), expected);
      }
    }),
  );
}

describe('all limiters make the same decisions, and count the same', () => {
  it('with limits on requests, in sets that overflow and evict', () => {
    decideTheSame([globalLock, lockFree], { metricRate: 0 }, CROWDED);
  });

  it('with limits on metrics, in sets that overflow and evict', () => {
    decideTheSame([globalLock, lockFree], { requestRate: 0 }, CROWDED);
  });

  it('with both limits, in sets with room', () => {
    decideTheSame([globalLock, lockFree], {}, ROOMY);
  });

  it('with both limits in sets that overflow and evict, if one slot holds both buckets', () => {
    decideTheSame([globalLock], {}, CROWDED);
  });
});
