import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LimiterConfig } from '../../src/limiter/limiter.ts';
import { createLimiterMemory, openLimiter, readCensus } from '../../src/limiter/striped-lock.ts';
import { LimitedClients } from '../../src/live/limited-clients.ts';

const BY_REQUESTS: LimiterConfig = {
  requestRate: 1,
  requestBurst: 1,
  metricRate: 0,
  metricBurst: 1,
  clients: 1_000,
};

function open(config: LimiterConfig) {
  const memory = createLimiterMemory(config);
  const limiter = openLimiter(memory, config);
  const key = new Uint8Array(4);
  /** A client sends this many requests at one moment. */
  const ask = (client: number, times: number, nowMs: number, metrics = 0) => {
    new DataView(key.buffer).setInt32(0, client);
    for (let k = 0; k < times; k++) {
      limiter.chargeRequest(key, key.length, nowMs);
      if (metrics > 0) limiter.chargeMetrics(metrics, nowMs);
    }
  };
  return { ask, clients: new LimitedClients(memory, readCensus) };
}

describe('limited clients', () => {
  it('are none while all stay within their limit', () => {
    const { ask, clients } = open(BY_REQUESTS);
    for (let client = 0; client < 20; client++) ask(client, 1, 1_000);
    assert.deepEqual(clients.read(1_000), []);
  });

  it('are counted since they arrived, and per second over the last seconds', () => {
    const { ask, clients } = open(BY_REQUESTS);
    ask(7, 11, 1_000);
    const [before] = clients.read(1_000);
    assert.match(before?.client ?? '', /^[0-9a-f]{16}$/);
    assert.deepEqual([before?.refused, before?.allowed, before?.refusedPerSecond], [10, 1, 0]);
    ask(7, 31, 2_000);
    const [now] = clients.read(2_000);
    assert.deepEqual([now?.refused, now?.allowed, now?.refusedPerSecond], [40, 2, 30]);
    const [later] = clients.read(4_000);
    assert.equal(later?.refusedPerSecond, 10, '30 in the three seconds since the first look');
  });

  it('are ordered by their current refusals', () => {
    const { ask, clients } = open(BY_REQUESTS);
    ask(1, 101, 1_000);
    clients.read(1_000);
    ask(2, 6, 2_000);
    const [first, second] = clients.read(2_000);
    assert.deepEqual([first?.refused, first?.refusedPerSecond], [5, 5]);
    assert.deepEqual([second?.refused, second?.refusedPerSecond], [100, 0]);
  });

  it('are at most five', () => {
    const { ask, clients } = open(BY_REQUESTS);
    for (let client = 0; client < 50; client++) ask(client, 2 + client, 1_000);
    assert.deepEqual(
      clients.read(1_000).map(({ refused }) => refused),
      [50, 49, 48, 47, 46],
    );
  });

  it('count metrics if only these are limited', () => {
    const { ask, clients } = open({ ...BY_REQUESTS, requestRate: 0, metricRate: 10, metricBurst: 10 });
    ask(3, 3, 1_000, 10);
    const [client] = clients.read(1_000);
    assert.deepEqual([client?.refused, client?.allowed], [20, 10]);
  });
});
