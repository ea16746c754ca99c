/** GET / and GET /live as a client other than a browser sees them. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { describeFirstAndLast } from '../support/each-phase.ts';
import { EventStream } from '../support/event-stream.ts';
import { Scrape } from '../support/exposition.ts';
import { fetchOnce, post, RawConnection } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';

const PAGE_BYTES_MAX = 120_000;
const STREAMS_MAX = 64;

/** A member of a member of a message. */
function member(message: Record<string, unknown>, outer: string, inner: string): unknown {
  return (message[outer] as Record<string, unknown>)[inner];
}

const accepted = (message: Record<string, unknown>) => Number(member(message, 'totals', 'accepted'));

describe('GET /', async () => {
  const server = await startServer({ after }, { args: ['--workers', '1'] });

  it('is one page that refers to no other server, and its policy enforces that', async () => {
    const response = await fetchOnce(server.port, { path: '/' });
    const html = response.body.toString();
    assert.equal(response.status, 200);
    assert.equal(response.header('content-type'), 'text/html; charset=utf-8');
    assert.ok(response.body.length < PAGE_BYTES_MAX, `${response.body.length} bytes`);
    assert.doesNotMatch(html, /\s(?:src|action)\s*=|@import|url\(/);
    for (const [, target] of html.matchAll(/<(?:a|link)\s[^>]*href="([^"]*)"/g)) {
      assert.match(target ?? '', /^(?:metrics|health|ready|data:image\/svg\+xml,.*)$/);
    }
    const policy = response.header('content-security-policy') ?? '';
    assert.match(policy, /^default-src 'none'; /);
    assert.match(policy, /connect-src 'self'/);
  });

  it('is answered to HEAD without a body', async () => {
    const connection = await RawConnection.open(server.port);
    const head = await connection.request({ method: 'HEAD', path: '/' });
    const page = await connection.request({ path: '/' });
    connection.close();
    assert.equal(head.status, 200);
    assert.equal(head.header('content-length'), String(page.body.length));
  });

  it('and GET /live answer other methods with 405 and Allow', async () => {
    for (const [method, path, allow] of [
      ['POST', '/', 'GET, HEAD'],
      ['DELETE', '/', 'GET, HEAD'],
      ['POST', '/live', 'GET'],
    ] as const) {
      const response = await fetchOnce(server.port, { method, path, body: '' });
      assertProblem(response, 405);
      assert.equal(response.header('allow'), allow);
    }
    const head = await fetchOnce(server.port, { method: 'HEAD', path: '/live' });
    assert.equal(head.status, 405);
  });
});

describeFirstAndLast({}, (server) => {
  it('GET /live opens with the last minutes and sends a message per second', async (t) => {
    const before = await Scrape.of(server.port);
    const stream = await EventStream.open(t, server.port);
    assert.equal(stream.response.statusCode, 200);
    assert.equal(stream.response.headers['content-type'], 'text/event-stream');
    assert.equal(stream.response.headers['cache-control'], 'no-store, no-transform');
    assert.equal(stream.response.headers['x-accel-buffering'], 'no');
    const opening = await stream.until(() => true);
    assert.equal(stream.retryMs, 1000);
    assert.equal(member(opening, 'server', 'phase'), Number(server.listening.phase));
    assert.equal(member(opening, 'server', 'queueCapacity'), server.listening.queue);
    const columns = opening.columns as Record<string, unknown[]>;
    const lengths = new Set(Object.values(columns).map((values) => values.length));
    assert.equal(lengths.size, 1, 'columns are of one length');
    assert.deepEqual(Object.keys(columns).sort(), Object.keys(opening.point as object).sort());

    const names = [uniqueName('a'), uniqueName('b'), uniqueName('c')];
    await post(server.port, namesBody(...names));
    await post(server.port, '{"metrics":[');
    const seen = await stream.until((message) => accepted(message) >= 3 && !('server' in message));
    const told = before.sum('metricsstream_metrics_accepted_total') + names.length;
    assert.equal(accepted(seen), told);
    assert.ok(Number(member(seen, 'point', 'accepted')) >= 0);
    const timed = await stream.until((message) => Number(member(message, 'request', 'count')) > 0);
    assert.ok(Number(member(timed, 'request', 'p99')) >= Number(member(timed, 'request', 'p50')));
    assert.ok(Number(member(timed, 'request', 'p50')) > 0);
  });
});

describe('GET /live', () => {
  it('shows a page opened later what was before', async (t) => {
    const server = await startServer(t, { args: ['--workers', '2'] });
    await post(server.port, bodyOf(Array.from({ length: 50 }, () => metric(uniqueName('early')))));
    await eventually('the second is over', async () => {
      const stream = await EventStream.open(t, server.port);
      const { columns } = await stream.until(() => true);
      stream.close();
      const rates = (columns as Record<string, number[]>).accepted ?? [];
      return rates.some((rate) => rate > 0);
    });
  });

  it('names the clients that are refused most, by their hash alone', async (t) => {
    const server = await startServer(t, {
      args: ['--workers', '1', '--client-id', 'header:x-client', '--rate-limit', '1', '--rate-burst', '1'],
    });
    const send = (client: string) =>
      post(server.port, namesBody(uniqueName('c')), { headers: { 'X-Client': client } });
    let refused = 0;
    for (let k = 0; k < 10; k++) if ((await send('greedy-client')).status === 429) refused++;
    await send('modest-client');
    const stream = await EventStream.open(t, server.port);
    // The totals of a message may be a second older than its list of clients.
    const { limitedClients } = await stream.until(
      (message) => Number(member(message, 'totals', 'limited')) === refused,
    );
    const clients = limitedClients as { client: string; refused: number }[];
    assert.equal(clients.length, 1);
    assert.match(clients[0]?.client ?? '', /^[0-9a-f]{16}$/);
    assert.equal(clients[0]?.refused, refused);
    assert.doesNotMatch(JSON.stringify(stream.messages), /greedy|modest/);
  });

  it(`has ${STREAMS_MAX} streams a worker and refuses the next, until one ends`, async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const streams = await Promise.all(
      Array.from({ length: STREAMS_MAX }, () => EventStream.open(t, server.port)),
    );
    const refused = await fetchOnce(server.port, { path: '/live' });
    assert.equal(assertProblem(refused, 503).reason, 'streams_full');
    assertRetryAfter(refused);
    streams[0]!.close();
    await eventually('there is room again', async () => {
      const stream = await EventStream.open(t, server.port);
      stream.close();
      return stream.response.statusCode === 200;
    });
    const scrape = await Scrape.of(server.port);
    const received = scrape.sum('metricsstream_requests_received_total');
    const answered = scrape.sum('metricsstream_requests_total');
    assert.equal(
      received - answered - scrape.sum('metricsstream_requests_aborted_total'),
      1,
      'the scrape itself',
    );
  });

  it('outlives the idle timeout of the connection', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'] });
    const stream = await EventStream.open(t, server.port);
    // A second apart, behind the first; uWebSockets.js ends connections that are idle for 10 s.
    await stream.until(() => stream.messages.length > 13, 180_000);
  });

  it('ends in good order when the server drains, which it does not hold up', async (t) => {
    const server = await startServer(t, { args: ['--workers', '2', '--drain-timeout-ms', '60000'] });
    const streams = await Promise.all(Array.from({ length: 6 }, () => EventStream.open(t, server.port)));
    await Promise.all(streams.map((stream) => stream.until(() => true)));
    const startedAt = performance.now();
    const exit = await server.stop();
    const tookMs = performance.now() - startedAt;
    assert.deepEqual(exit, { code: 0, signal: null });
    assert.ok(tookMs < 30_000, `${tookMs} ms`);
    assert.deepEqual(
      await Promise.all(streams.map(({ ended }) => ended)),
      streams.map(() => true),
    );
  });
});
