/** The decisions and counts that every limiter must make, run over every implementation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { LimiterGeometry } from '../../src/limiter/limiter.ts';
import { ADMITTED, LIMITED, type LimiterConfig, type LimiterModule } from '../../src/limiter/limiter.ts';

/** An implementation whose table can be smaller than the configuration requires, so that sets fill. */
export interface TestedLimiter extends LimiterModule {
  readonly createLimiterMemory: (config: LimiterConfig, geometry?: LimiterGeometry) => SharedArrayBuffer;
}

const BASE: LimiterConfig = { requestRate: 10, requestBurst: 3, metricRate: 0, metricBurst: 0, clients: 100 };
/** All clients in one set of four. */
const ONE_SET = { sets: 1, ways: 4 };

export function openTested(
  { createLimiterMemory, openLimiter }: TestedLimiter,
  overrides: Partial<LimiterConfig> = {},
  geometry?: LimiterGeometry,
) {
  const config = { ...BASE, ...overrides };
  const memory = createLimiterMemory(config, geometry);
  const limiter = openLimiter(memory, config);
  const take = (client: string, nowMs: number) => {
    const key = Buffer.from(client);
    return limiter.chargeRequest(key, key.length, nowMs);
  };
  return { config, memory, limiter, take };
}

export function limiterContract(name: string, tested: TestedLimiter): void {
  const { openLimiter, readCensus } = tested;
  const open = (overrides?: Partial<LimiterConfig>, geometry?: LimiterGeometry) =>
    openTested(tested, overrides, geometry);

  describe(`${name}: a request bucket`, () => {
    it('admits the burst at once, then the rate', () => {
      const { take } = open();
      const verdicts = [0, 0, 0, 0, 99, 100, 100, 199, 200].map((nowMs) => take('a', 1e6 + nowMs));
      const [A, L] = [ADMITTED, LIMITED];
      assert.deepEqual(verdicts, [A, A, A, L, L, A, L, L, A]);
    });

    it('never holds more than the burst, however long the client was idle', () => {
      const { take } = open();
      for (let k = 0; k < 3; k++) take('a', 0);
      const admitted = Array.from({ length: 10 }, () => take('a', 1e9)).filter(
        (verdict) => verdict === ADMITTED,
      );
      assert.equal(admitted.length, 3);
    });

    it('loses nothing by a refusal', () => {
      const { take } = open();
      for (let k = 0; k < 3; k++) take('a', 0);
      for (let nowMs = 0; nowMs < 100; nowMs++) assert.equal(take('a', nowMs), LIMITED);
      assert.equal(take('a', 100), ADMITTED);
    });

    it('belongs to one client', () => {
      const { take } = open();
      for (let k = 0; k < 4; k++) take('a', 0);
      assert.equal(take('b', 0), ADMITTED);
      assert.equal(take('a', 0), LIMITED);
    });

    it('gains no tokens when the clock of another thread lags', () => {
      const { config, memory, take } = open();
      const behind = openLimiter(memory, config);
      const key = Buffer.from('a');
      for (let k = 0; k < 3; k++) take('a', 1000);
      for (let turn = 0; turn < 50; turn++) {
        assert.equal(behind.chargeRequest(key, 1, 900), LIMITED);
        assert.equal(take('a', 1000), LIMITED);
      }
      assert.equal(take('a', 1100), ADMITTED);
      assert.equal(take('a', 1100), LIMITED);
    });

    it('reports the remaining tokens and the time to retry', () => {
      const { take, limiter } = open({ requestRate: 0.25 });
      take('a', 0);
      assert.equal(limiter.remaining, 2);
      take('a', 0);
      take('a', 0);
      assert.equal(limiter.remaining, 0);
      assert.equal(take('a', 1000), LIMITED);
      assert.equal(limiter.remaining, 0);
      assert.equal(limiter.retryAfterSeconds, 3);
      assert.equal(take('a', 3999), LIMITED);
      assert.equal(limiter.retryAfterSeconds, 1);
      assert.equal(take('a', 4000), ADMITTED);
    });

    it('decides like a bucket computed in exact steps', () => {
      const calls = fc.array(fc.record({ client: fc.nat(5), waitMs: fc.nat(400) }), { maxLength: 200 });
      fc.assert(
        fc.property(calls, fc.integer({ min: 1, max: 5 }), (steps, requestBurst) => {
          // 8 tokens a second and waits of whole eighths of a second: doubles hold every sum exactly.
          const { take } = open({ requestRate: 8, requestBurst });
          const model = new Map<number, { tokens: number; atMs: number }>();
          let nowMs = 0;
          for (const { client, waitMs } of steps) {
            nowMs += (waitMs % 4) * 125;
            const bucket = model.get(client) ?? { tokens: requestBurst, atMs: nowMs };
            bucket.tokens = Math.min(bucket.tokens + (nowMs - bucket.atMs) / 125, requestBurst);
            bucket.atMs = nowMs;
            const expected = bucket.tokens >= 1 ? ADMITTED : LIMITED;
            if (expected === ADMITTED) bucket.tokens -= 1;
            model.set(client, bucket);
            assert.equal(take(`client ${client}`, nowMs), expected);
          }
        }),
      );
    });
  });

  describe(`${name}: a metric bucket`, () => {
    it('admits all metrics of a batch or none', () => {
      const { take, limiter } = open({ metricRate: 100, metricBurst: 50 });
      take('a', 0);
      assert.equal(limiter.chargeMetrics(30, 0), ADMITTED);
      assert.equal(limiter.remaining, 20);
      assert.equal(limiter.chargeMetrics(21, 0), LIMITED);
      assert.equal(limiter.retryAfterSeconds, 1);
      assert.equal(limiter.chargeMetrics(20, 0), ADMITTED);
      assert.equal(limiter.chargeMetrics(1, 9), LIMITED);
      assert.equal(limiter.chargeMetrics(1, 10), ADMITTED);
    });

    it('charges the client of the last request', () => {
      const { take, limiter } = open({ metricRate: 1, metricBurst: 10 });
      take('a', 0);
      assert.equal(limiter.chargeMetrics(10, 0), ADMITTED);
      take('b', 0);
      assert.equal(limiter.chargeMetrics(10, 0), ADMITTED);
      take('a', 0);
      assert.equal(limiter.chargeMetrics(1, 0), LIMITED);
    });

    it('charges the client that was identified, without charging a request', () => {
      const { take, limiter } = open({ requestBurst: 3, metricRate: 1, metricBurst: 10 });
      take('a', 0);
      take('b', 0);
      const key = Buffer.from('a');
      for (let k = 0; k < 5; k++) limiter.identify(key, key.length);
      assert.equal(limiter.chargeMetrics(10, 0), ADMITTED);
      assert.equal(limiter.chargeMetrics(1, 0), LIMITED);
      take('a', 0);
      assert.equal(limiter.remaining, 1);
      take('b', 0);
      assert.equal(limiter.chargeMetrics(10, 0), ADMITTED);
    });

    it('works while requests are not limited', () => {
      const { take, limiter, memory } = open({ requestRate: 0, metricRate: 100, metricBurst: 50 });
      for (let k = 0; k < 100; k++) assert.equal(take('a', 0), ADMITTED);
      assert.equal(limiter.chargeMetrics(50, 0), ADMITTED);
      assert.equal(limiter.chargeMetrics(1, 0), LIMITED);
      const [usage] = readCensus(memory, 1).busiest;
      assert.deepEqual([usage?.allowedMetrics, usage?.refusedMetrics], [50, 1]);
    });
  });

  describe(`${name}: limits that are off`, () => {
    it('admit everything and remember no client', () => {
      const { take, limiter, memory } = open({ requestRate: 0, metricRate: 0 });
      for (let k = 0; k < 1000; k++) {
        assert.equal(take(`client ${k}`, 0), ADMITTED);
        assert.equal(limiter.chargeMetrics(1e6, 0), ADMITTED);
      }
      assert.equal(readCensus(memory, 10).occupied, 0);
    });
  });

  describe(`${name}: a full set`, () => {
    it('evicts the longest idle client, which loses nothing', () => {
      const { take, memory } = open({}, ONE_SET);
      for (let k = 0; k < 4; k++) take(`client ${k}`, k);
      // Now the buckets of 0 and 1 are full again; 2 and 3 stay active.
      take('client 2', 5000);
      take('client 3', 5000);
      assert.equal(take('newcomer', 5000), ADMITTED);
      assert.equal(readCensus(memory, 0).evictions, 1);
      // Client 1 is still present with its count. Client 0 was evicted; when it returns, it evicts client 1.
      assert.equal(take('client 0', 5000), ADMITTED);
      assert.equal(readCensus(memory, 0).evictions, 2);
      assert.equal(readCensus(memory, 0).occupied, 4);
      assert.equal(readCensus(memory, 0).overflowed, 0);
    });

    it('never resets an active client, however many newcomers arrive', () => {
      const { take, memory } = open({ requestRate: 0.001 }, ONE_SET);
      for (let k = 0; k < 4; k++) for (let n = 0; n < 3; n++) take(`active ${k}`, 0);
      for (let k = 0; k < 1000; k++) take(`newcomer ${k}`, k);
      for (let k = 0; k < 4; k++) assert.equal(take(`active ${k}`, 1000), LIMITED);
      assert.equal(readCensus(memory, 0).evictions, 0);
    });

    it('limits newcomers by one shared bucket', () => {
      const { take, memory } = open({ requestRate: 0.001 }, ONE_SET);
      for (let k = 0; k < 4; k++) for (let n = 0; n < 3; n++) take(`active ${k}`, 0);
      const verdicts = Array.from({ length: 20 }, (_, k) => take(`newcomer ${k}`, 0));
      assert.equal(verdicts.filter((verdict) => verdict === ADMITTED).length, BASE.requestBurst);
      assert.equal(readCensus(memory, 0).overflowed, 20);
      assert.equal(take('late newcomer', 1e6), ADMITTED);
      assert.equal(take('later newcomer', 1e6), LIMITED);
    });

    it('keeps a metric bucket that is not full, also when the request bucket of its client is', () => {
      const { take, limiter } = open({ metricRate: 0.001, metricBurst: 10 }, { sets: 1, ways: 1 });
      take('a', 0);
      limiter.chargeMetrics(10, 0);
      assert.equal(take('b', 5000), ADMITTED);
      take('a', 5000);
      assert.equal(limiter.chargeMetrics(1, 5000), LIMITED);
    });

    it('starts the counts of a newcomer at zero', () => {
      const { take, memory } = open({}, { sets: 1, ways: 1 });
      for (let k = 0; k < 5; k++) take('a', 0);
      take('b', 5000);
      const [usage] = readCensus(memory, 1).busiest;
      assert.deepEqual([usage?.allowedRequests, usage?.refusedRequests], [1, 0]);
    });
  });

  describe(`${name}: the census`, () => {
    it('lists the busiest clients by their keyed hash, most requests first', () => {
      const { take, limiter, memory } = open();
      const hashes = new Map<string, number>();
      for (let k = 1; k <= 20; k++) {
        for (let n = 0; n < k; n++) take(`client ${k}`, 0);
        hashes.set((limiter.clientHash >>> 0).toString(16).padStart(8, '0'), k);
      }
      const { occupied, busiest } = readCensus(memory, 5);
      assert.equal(occupied, 20);
      assert.deepEqual(
        busiest.map(({ client }) => hashes.get(client.slice(0, 8))),
        [20, 19, 18, 17, 16],
      );
      for (const { client, allowedRequests, refusedRequests } of busiest) {
        assert.match(client, /^[0-9a-f]{16}$/);
        assert.equal(allowedRequests, 3);
        assert.equal(allowedRequests + refusedRequests, hashes.get(client.slice(0, 8)));
      }
    });

    it('contains no byte of a key', () => {
      const { take, memory } = open();
      take('a-secret-token-of-a-client', 0);
      assert.ok(!Buffer.from(new Uint8Array(memory)).includes('secret'));
    });
  });

  describe(`${name}: the table`, () => {
    it('has room for all clients with fewer than one in 5,000 overflowing', () => {
      const { config, memory } = open({ clients: 65_536, requestRate: 1e-6, requestBurst: 1 });
      const limiter = openLimiter(memory, config);
      const key = Buffer.alloc(4);
      for (let client = 0; client < 65_536; client++) {
        key.writeInt32LE(client);
        limiter.chargeRequest(key, 4, 0);
      }
      const { occupied, overflowed } = readCensus(memory, 0);
      assert.equal(occupied + overflowed, 65_536);
      // About 7 are expected. The seed is random, and 60 is impossible in practice.
      assert.ok(overflowed < 60, `${overflowed} overflowed`);
    });
  });
}
