/** GET /metrics and /health of a process without a server of its own. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { Gauge, Registry } from 'prom-client';
import { serveMetrics } from '../../src/export/metrics-server.ts';
import { onEnd } from '../support/clean-up.ts';
import { fetchOnce } from '../support/raw-http.ts';

describe('the server of metrics', () => {
  it('answers 500 when a metric fails, and goes on', async (t) => {
    const registry = new Registry();
    let failure: Error | null = new Error('no reading');
    new Gauge({
      name: 'reading',
      help: 'A reading.',
      registers: [registry],
      collect() {
        if (failure !== null) throw failure;
        this.set(7);
      },
    });
    const health = { problem: null, facts: { workers: 2 } };
    const server = await serveMetrics('127.0.0.1', 0, registry, health, pino({ level: 'silent' }));
    onEnd(t, () => server.close());
    const { port } = server;
    assert.equal((await fetchOnce(port, { path: '/metrics' })).status, 500);
    failure = null;
    assert.match((await fetchOnce(port, { path: '/metrics' })).body.toString(), /^reading 7$/m);
    assert.deepEqual((await fetchOnce(port, { path: '/health' })).json(), { status: 'ok', workers: 2 });
    assert.equal((await fetchOnce(port, { path: '/metrics', method: 'POST' })).status, 405);
  });
});
