/** Each timeout ends its wait, answers the client if there is one, and is counted if the server can see it. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { Scrape } from '../support/exposition.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { CLOSED_WITHIN_MS, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const TIMEOUTS = 'metricsstream_timeouts_total';
const LATE = 'metricsstream_late_outcomes_total';

/** Opens a connection and sends the head of a POST and the first bytes of its body. */
async function halfPost(port: number): Promise<RawConnection> {
  const connection = await RawConnection.open(port);
  const body = namesBody(uniqueName('half'));
  connection.write(
    `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 9)}`,
  );
  return connection;
}

describe('a body that does not arrive', () => {
  it('is answered 408, counted, and its connection closed', async (t) => {
    const server = await startServer(t, { args: ['--workers', '2', '--body-timeout-ms', '200'] });
    const connections = await Promise.all([halfPost(server.port), halfPost(server.port)]);
    for (const connection of connections) {
      assertProblem(await connection.read(), 408);
      assert.ok(await connection.waitClosed(CLOSED_WITHIN_MS));
    }
    const scrape = await Scrape.of(server.port);
    assert.equal(scrape.sum(TIMEOUTS, 'kind="body"'), 2);
    assert.equal(scrape.sum(TIMEOUTS, 'kind="request"'), 0);
  });
});

for (const phase of ['2', '6']) {
  describe(`a request that storage keeps waiting, phase ${phase}`, () => {
    it('is answered 504 and counted, and so is the later outcome of its metrics', async (t) => {
      const faults = new FaultSwitch(t);
      const args = ['--phase', phase, '--workers', '1', '--request-timeout-ms', '500'];
      const server = await startServer(t, { args, env: faults.env, dataDir: memoryDirectory(t) });
      const release = faults.hangSyncs();
      const [one, two] = [uniqueName('late'), uniqueName('late')];
      assertProblem(await post(server.port, namesBody(one, two)), 504);
      release();
      assert.equal((await Scrape.of(server.port)).sum(TIMEOUTS, 'kind="request"'), 1);
      await eventually('the outcome is known', async () => (await Scrape.of(server.port)).sum(LATE) === 2);
      const scrape = await Scrape.of(server.port);
      assert.equal(scrape.sum(LATE, 'outcome="stored"'), 2);
      assert.equal(scrape.sum('metricsstream_metrics_unknown_total'), 2);
      assert.equal(scrape.sum('metricsstream_metrics_accepted_total'), 0);
      assert.equal(countNames(readStored(server.dataDir)).get(one), 1);
    });
  });
}

describe('a sync that takes too long', () => {
  it('is counted', async (t) => {
    const faults = new FaultSwitch(t);
    const server = await startServer(t, {
      args: ['--workers', '1', '--sync-timeout-ms', '500', '--request-timeout-ms', '30s'],
      env: faults.env,
      dataDir: memoryDirectory(t),
    });
    const stalls = async () => (await Scrape.of(server.port)).sum(TIMEOUTS, 'kind="sync"');
    assert.equal(await stalls(), 0);
    const release = faults.hangSyncs();
    const stalled = post(server.port, namesBody(uniqueName('stalled')));
    await eventually('the stall is counted', async () => (await stalls()) === 1);
    release();
    assertAccepted(await stalled, 1);
    assert.equal(await stalls(), 1);
  });
});

describe('a drain that runs out', () => {
  it('logs how many requests it refused or answered 504', async (t) => {
    const faults = new FaultSwitch(t);
    const server = await startServer(t, {
      args: ['--workers', '1', '--drain-timeout-ms', '300'],
      env: faults.env,
      dataDir: memoryDirectory(t),
    });
    const release = faults.hangSyncs();
    const waiting = await RawConnection.open(server.port);
    waiting.send(postRequest(namesBody(uniqueName('waiting'))));
    const half = await halfPost(server.port);
    await eventually('one waits for storage', async () => {
      const scrape = await Scrape.of(server.port);
      return (
        scrape.sum('metricsstream_queue_depth') === 1 && scrape.sum('metricsstream_inflight_body_bytes') > 0
      );
    });
    server.kill('SIGTERM');
    assertProblem(await waiting.read(), 504);
    assertProblem(await half.read(), 503);
    const { requests } = await server.logged(({ msg }) => msg?.startsWith('the drain time ran out') === true);
    assert.equal(requests, 2);
    release();
    assert.equal((await server.exited).code, 0);
  });
});

describe('connections that the transport watches', { concurrency: true }, async () => {
  const server = await startServer({ after }, { args: ['--workers', '1'] });
  const hasty = await startServer({ after }, { args: ['--workers', '1', '--keep-alive-ms', '3s'] });
  /** The transport's timers are 10 s and 8 s with a clock of 4 s steps; the rest is a margin for a busy machine. */
  const CUT_MS = 20_000;

  it('are cut when their headers arrive too slowly', async () => {
    const connection = await RawConnection.open(server.port);
    const startedAt = performance.now();
    connection.write('POST /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    while (!connection.closed && performance.now() - startedAt < CUT_MS) {
      connection.write('a');
      await delay(100);
    }
    assert.ok(connection.closed);
  });

  it('are cut when they send nothing', async () => {
    const connection = await RawConnection.open(server.port);
    assert.ok(await connection.waitClosed(CUT_MS));
  });

  it('are cut when a rejected body stops arriving', async () => {
    const connection = await RawConnection.open(server.port);
    connection.write('POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n');
    assertProblem(await connection.read(), 413);
    assert.ok(await connection.waitClosed(CUT_MS));
  });

  it('are closed when they stay idle for longer than announced', async () => {
    const connection = await RawConnection.open(hasty.port);
    assertAccepted(await connection.request(postRequest(namesBody(uniqueName('idle')))), 1);
    assert.ok(await connection.waitClosed(CUT_MS));
  });

  it('serve again after an idle time below the announced one', async () => {
    const connection = await RawConnection.open(server.port);
    assertAccepted(await connection.request(postRequest(namesBody(uniqueName('idle')))), 1);
    assert.equal(await connection.waitClosed(CUT_MS), false);
    assertAccepted(await connection.request(postRequest(namesBody(uniqueName('idle')))), 1);
    connection.close();
  });
});
