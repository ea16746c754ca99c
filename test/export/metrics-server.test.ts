/** GET /metrics and /health of a process without a server of its own. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { Gauge, Registry } from 'prom-client';
import { serveMetrics } from '../../src/export/metrics-server.ts';
import { onEnd } from '../support/clean-up.ts';
import { CLOSED_WITHIN_MS, fetchOnce, RawConnection } from '../support/raw-http.ts';

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

  it('answers the forms of scrapers, probes and proxies, forbids caches, and keeps connections', async (t) => {
    const health = { problem: null };
    const silent = pino({ level: 'silent' });
    const server = await serveMetrics('127.0.0.1', 0, new Registry(), health, silent);
    const connection = await RawConnection.open(server.port);
    onEnd(t, () => connection.close());
    for (const [method, path, status] of [
      ['GET', '/metrics?collect[]=a', 200],
      ['HEAD', '/metrics', 200],
      ['HEAD', '/health?verbose', 200],
      ['GET', 'http://localhost/health', 200],
      ['GET', 'http://localhost?x', 404],
      ['GET', '//metrics', 404],
    ] as const) {
      const response = await connection.request({ method, path });
      assert.equal(response.status, status, path);
      assert.equal(response.header('cache-control'), 'no-store');
      assert.equal(response.header('keep-alive'), 'timeout=65');
    }
    server.close();
    assert.ok(await connection.waitClosed(CLOSED_WITHIN_MS));
  });
});
