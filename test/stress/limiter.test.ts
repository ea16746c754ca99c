import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LimiterConfig, LimiterGeometry } from '../../src/limiter/limiter.ts';
import { LIMITERS, type LimiterName } from '../limiter/implementations.ts';
import { runThreads, stressMs } from '../support/threads.ts';
import type { Hammered, Hammering } from './limiter-worker.ts';

const WORKER = new URL('./limiter-worker.js', import.meta.url);
const METRICS_OFF = { metricRate: 0, metricBurst: 0, clients: 65_536 };

async function hammer(
  implementation: LimiterName,
  threads: number,
  durationMs: number,
  config: LimiterConfig,
  clientsOf: (thread: number) => string[],
  geometry?: LimiterGeometry,
) {
  const { createLimiterMemory, readCensus } = await LIMITERS[implementation]();
  const memory = createLimiterMemory(config, geometry);
  const inputs = Array.from({ length: threads }, (_, thread) => ({
    implementation,
    memory,
    config,
    durationMs,
    clients: clientsOf(thread),
  }));
  const results = await runThreads<Hammering, Hammered>(WORKER, inputs);
  const seconds =
    (Math.max(...results.map(({ lastMs }) => lastMs)) - Math.min(...results.map(({ firstMs }) => firstMs))) /
    1e3;
  return { census: (busiest: number) => readCensus(memory, busiest), results, seconds };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

for (const implementation of Object.keys(LIMITERS) as LimiterName[]) {
  describe(`${implementation} under threads`, () => {
    it('admits eight threads on one client at most rate · t + burst, and at least 98% of it', async (t) => {
      const config = { ...METRICS_OFF, requestRate: 10_000, requestBurst: 10_000 };
      const { census, results, seconds } = await hammer(implementation, 8, stressMs, config, () => [
        '10.0.0.1',
      ]);
      const admitted = sum(results.flatMap((result) => result.admitted));
      const refused = sum(results.flatMap((result) => result.refused));
      const allowance = config.requestRate * seconds + config.requestBurst;
      t.diagnostic(
        `${admitted} of ${allowance.toFixed(1)} admitted in ${seconds.toFixed(2)} s (${((100 * admitted) / allowance).toFixed(3)}%), ${refused} refused, ${sum(results.map(({ busy }) => busy))} busy`,
      );
      assert.ok(admitted <= allowance + 1e-6, `${admitted} > ${allowance}`);
      assert.ok(admitted >= 0.98 * allowance, `${admitted} < 98% of ${allowance}`);
      const [usage] = census(1).busiest;
      assert.deepEqual([usage?.allowedRequests, usage?.refusedRequests], [admitted, refused]);
    });

    it('keeps the limits of many clients in few sets apart, and counts each charge exactly once', async () => {
      const config = { ...METRICS_OFF, requestRate: 500, requestBurst: 100 };
      const clients = Array.from({ length: 48 }, (_, k) => `10.0.0.${k}`);
      const { census, results, seconds } = await hammer(
        implementation,
        4,
        stressMs / 3,
        config,
        // Each thread begins with another client, so that threads meet on different clients.
        (thread) => [...clients.slice(12 * thread), ...clients.slice(0, 12 * thread)],
        { sets: 3, ways: 48 },
      );
      const admittedOf = (client: number) =>
        sum(results.map(({ admitted }, thread) => admitted[(client - 12 * thread + 48) % 48]!));
      const allowance = config.requestRate * seconds + config.requestBurst;
      for (let client = 0; client < 48; client++) {
        assert.ok(
          admittedOf(client) <= allowance + 1e-6,
          `client ${client}: ${admittedOf(client)} > ${allowance}`,
        );
      }
      const { occupied, overflowed, evictions, busiest } = census(100);
      assert.deepEqual({ occupied, overflowed, evictions }, { occupied: 48, overflowed: 0, evictions: 0 });
      assert.equal(
        sum(busiest.map(({ allowedRequests }) => allowedRequests)),
        sum(results.flatMap((r) => r.admitted)),
      );
      assert.equal(
        sum(busiest.map(({ refusedRequests }) => refusedRequests)),
        sum(results.flatMap((r) => r.refused)),
      );
    });

    it('gives one slot to a client that all threads insert at once', async () => {
      const config = { ...METRICS_OFF, requestRate: 1, requestBurst: 1 };
      const clients = Array.from({ length: 5000 }, (_, k) => `client ${k}`);
      const { census } = await hammer(implementation, 4, stressMs / 10, config, () => clients);
      const { occupied, overflowed } = census(0);
      assert.deepEqual({ occupied, overflowed }, { occupied: clients.length, overflowed: 0 });
    });

    it('gives every newcomer one slot, whoever else comes to the same set', async () => {
      // Buckets refill at once, so that newcomers evict each other.
      const config = { ...METRICS_OFF, requestRate: 1e9, requestBurst: 1 };
      const { createLimiterMemory, readCensus } = await LIMITERS[implementation]();
      const memory = createLimiterMemory(config, { sets: 2, ways: 4 });
      const newcomers = Math.round(stressMs * 30);
      const input: Hammering = { implementation, memory, config, clients: [], durationMs: 0, newcomers };
      const results = await runThreads<Hammering, Hammered>(WORKER, [input, input, input, input]);
      const charged = 4 * newcomers - sum(results.map(({ busy }) => busy));
      const { occupied, overflowed, evictions } = readCensus(memory, 0);
      assert.equal(occupied, 8);
      assert.ok(evictions > 0);
      assert.equal(occupied + overflowed + evictions, charged);
    });

    it('never resets an active client while newcomers fight for its full set', async () => {
      // The burst is large against the refill, so that a single reset would show.
      const config = { ...METRICS_OFF, requestRate: 20, requestBurst: 2000 };
      const newcomers = (thread: number) => Array.from({ length: 50 }, (_, k) => `newcomer ${thread} ${k}`);
      const { census, results, seconds } = await hammer(
        implementation,
        4,
        stressMs / 3,
        config,
        (thread) => newcomers(thread).flatMap((newcomer) => ['active', newcomer]),
        { sets: 1, ways: 8 },
      );
      const active = sum(results.flatMap(({ admitted }) => admitted.filter((_, k) => k % 2 === 0)));
      const allowance = config.requestRate * seconds + config.requestBurst;
      assert.ok(active <= allowance + 1e-6, `${active} > ${allowance}`);
      assert.ok(active >= config.requestBurst);
      const { occupied, overflowed } = census(0);
      assert.equal(occupied, 8);
      assert.ok(overflowed > 0);
      // All others share the seven other slots and the overflow bucket.
      const others = sum(results.flatMap(({ admitted }) => admitted.filter((_, k) => k % 2 === 1)));
      assert.ok(others <= 8 * allowance + 1e-6, `${others} > 8 × ${allowance}`);
    });
  });
}
