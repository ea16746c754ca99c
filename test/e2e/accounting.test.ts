/** Every request and metric is counted once: responses, counters and files agree. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { Scrape } from '../support/exposition.ts';
import { fetchOnce, post, postRequest, RawConnection, requestBytes } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';
import { TrackedLoad } from '../support/tracked-load.ts';

const REQUESTS = 'metricsstream_requests_total';
const RECEIVED = 'metricsstream_requests_received_total';
const ABORTED = 'metricsstream_requests_aborted_total';

/** Requests received that were neither answered nor aborted by their client; the scrape itself is one. */
function inFlight(scrape: Scrape): number {
  return scrape.sum(RECEIVED) - scrape.sum(REQUESTS) - scrape.sum(ABORTED);
}

/** Clients that disconnect before the body is complete, after it, and instead of reading. */
async function comeAndGo(port: number): Promise<void> {
  for (let k = 0; k < 60; k++) {
    const bytes = requestBytes(
      postRequest(namesBody(uniqueName('gone')), { headers: { 'X-Client': uniqueName('client') } }),
    );
    const connection = await RawConnection.open(port);
    await connection.writeParts([bytes.subarray(0, bytes.length - (k % 3 === 0 ? 0 : k))]);
    connection.socket.resetAndDestroy();
  }
}

describe('the counters', () => {
  it('agree with the responses and with the files', async (t) => {
    const server = await startServer(t, {
      args: [
        ...['--workers', '2', '--client-id', 'header:x-client', '--rate-limit', '5', '--rate-burst', '10'],
        ...['--max-batch', '40', '--segment-bytes', '64k'],
      ],
    });
    const load = new TrackedLoad(server.port, {
      ...{ prefix: 'count', connections: 8, batchMax: 30, withBroken: true, refusalPauseMs: 2 },
      headersOf: (connection) => ({ 'X-Client': `client-${connection % 6}` }),
    });
    t.after(() => load.stop());
    const { statuses } = load.ledger;
    await Promise.all([
      comeAndGo(server.port),
      comeAndGo(server.port),
      eventually('clients reach their limits', () =>
        [200, 400, 429].every((status) => (statuses.get(status) ?? 0) >= 20),
      ),
    ]);
    await load.stop();
    const extra = [
      await fetchOnce(server.port, { path: '/nope' }),
      await fetchOnce(server.port, { method: 'PUT', path: '/metrics', body: '' }),
      await post(server.port, 'x', { headers: { 'Content-Type': 'text/plain' } }),
      await post(server.port, bodyOf(Array.from({ length: 41 }, () => metric(uniqueName('over'))))),
      await fetchOnce(server.port, { path: '/health' }),
    ];
    for (const { status } of extra) statuses.set(status, (statuses.get(status) ?? 0) + 1);

    // A worker may see the end of a reset connection later than the last answer. A request whose client has gone still
    // waits for storage.
    await eventually('every request is accounted for', async () => {
      const now = await Scrape.of(server.port);
      return inFlight(now) === 1 && now.sum('metricsstream_queue_depth') === 0;
    });
    const scrape = await Scrape.of(server.port);
    for (const status of [400, 404, 405, 413, 415, 429]) {
      assert.equal(
        scrape.sum(REQUESTS, `status="${status}"`),
        statuses.get(status) ?? 0,
        `answers ${status}`,
      );
    }
    const stored = readStored(server.dataDir);
    const names = countNames(stored);
    const gone = stored.filter(({ name }) => name.startsWith('gone.')).length;
    load.ledger.check(names, 'count');
    assert.equal(
      scrape.sum('metricsstream_metrics_accepted_total'),
      load.ledger.count('acknowledged') + gone,
    );
    assert.equal(scrape.sum('metricsstream_stored_metrics_total'), stored.length);
    assert.equal(scrape.sum('metricsstream_metrics_unknown_total'), 0);
    assert.equal(scrape.sum('metricsstream_queue_depth'), 0);
    assert.equal(scrape.sum('metricsstream_inflight_body_bytes'), 0);
  });
});
