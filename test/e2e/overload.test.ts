import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { assertAccepted, assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, uniqueName } from '../support/bodies.ts';
import { FaultSwitch } from '../support/fault-switch.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, type ServerProcess, startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

/** A server whose syncs can be delayed. */
async function slowServer(t: TestContext, args: readonly string[]) {
  const faults = new FaultSwitch(t);
  const options = { args: ['--workers', '1', ...args], env: faults.env, dataDir: memoryDirectory(t) };
  const server = await startServer(t, options);
  return { server, faults };
}

async function queueDepth(server: ServerProcess): Promise<number> {
  const health = await fetchOnce(server.port, { path: '/health' });
  return Number(health.json().queueDepth);
}

/** Fills the queue with `count` requests that wait for a slow sync; resolves their answers later. */
async function fillQueue(server: ServerProcess, count: number, headers: Record<string, string> = {}) {
  const waiting = Array.from({ length: count }, () => {
    return post(server.port, namesBody(uniqueName('waiting')), { headers });
  });
  await eventually('the queue is full', async () => (await queueDepth(server)) === count);
  return waiting;
}

describe('503', () => {
  it('answers when the queue is full, with reason, depth and capacity; waiting requests are stored', async (t) => {
    const { server, faults } = await slowServer(t, ['--queue-tasks', '4']);
    const release = faults.hangSyncs();
    const waiting = await fillQueue(server, 4);
    const name = uniqueName('refused');
    const response = await post(server.port, namesBody(name));
    const problem = assertProblem(response, 503);
    assertRetryAfter(response);
    assert.equal(problem.reason, 'queue_full');
    assert.equal(problem.queueDepth, 4);
    assert.equal(problem.queueCapacity, 4);
    release();
    for (const answer of await Promise.all(waiting)) assertAccepted(answer, 1);
    assertAccepted(await post(server.port, namesBody(uniqueName('after'))), 1);
    assert.equal(countNames(readStored(server.dataDir)).get(name), undefined);
  });

  it('comes after 413 and before 429 and 400', async (t) => {
    const { server, faults } = await slowServer(t, [
      ...['--queue-tasks', '2', '--max-body-bytes', '10k', '--client-id', 'header:x-client'],
      ...['--rate-limit', '0.01', '--rate-burst', '2'],
    ]);
    const release = faults.hangSyncs();
    const headers = { 'X-Client': 'limited' };
    const waiting = await fillQueue(server, 2, headers);
    assertProblem(await post(server.port, ' '.repeat(20_000), { headers }), 413);
    assertProblem(await post(server.port, namesBody('x'), { headers }), 503);
    assertProblem(await post(server.port, 'no json', { headers }), 503);
    release();
    await Promise.all(waiting);
    assertProblem(await post(server.port, namesBody('x'), { headers }), 429);
  });

  it('answers when the journal is full', async (t) => {
    const { server, faults } = await slowServer(t, [
      ...['--max-body-bytes', '64k', '--max-batch', '100', '--journal-bytes', '1m'],
      // Adaptive admission would refuse before the ring is full.
      ...['--target-delay-ms', '0'],
    ]);
    const release = faults.hangSyncs();
    const tags = { padding: 'p'.repeat(30_000) };
    const statuses = new Map<number, number>();
    const reasons = new Set<unknown>();
    await Promise.all(
      Array.from({ length: 60 }, async () => {
        const response = await post(server.port, bodyOf([{ name: uniqueName('journal'), value: 1, tags }]));
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
        if (response.status !== 503) return;
        reasons.add(response.json().reason);
        release();
      }),
    );
    assert.deepEqual([...statuses.keys()].sort(), [200, 503]);
    assert.deepEqual([...reasons], ['journal_full']);
    assert.equal(readStored(server.dataDir).length, statuses.get(200));
    assertAccepted(await post(server.port, bodyOf([metric(uniqueName('after'))])), 1);
  });

  it('answers when too many bytes of bodies are arriving', async (t) => {
    const { server } = await slowServer(t, ['--max-body-bytes', '1m', '--inflight-body-bytes', '1m']);
    const connections: RawConnection[] = [];
    for (let k = 0; k < 3; k++) {
      const connection = await RawConnection.open(server.port);
      connections.push(connection);
      connection.write(
        `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 700000\r\n\r\n${' '.repeat(600_000)}`,
      );
    }
    const first = await Promise.race(connections.map((connection) => connection.next(60_000)));
    assert.equal(first.kind, 'response');
    assert.ok(first.kind === 'response');
    const problem = assertProblem(first.response, 503);
    assertRetryAfter(first.response);
    assert.equal(problem.reason, 'body_bytes_full');
    for (const connection of connections) connection.close();
    await eventually('the budget is given back', async () => {
      const response = await post(server.port, namesBody(uniqueName('after')) + ' '.repeat(700_000));
      return response.status === 200;
    });
  });
});

describe('504', () => {
  it('answers when storage does not confirm in time; the metrics are stored at most once', async (t) => {
    const { server, faults } = await slowServer(t, ['--request-timeout-ms', '200']);
    const release = faults.hangSyncs();
    const name = uniqueName('late');
    const response = await post(server.port, namesBody(name));
    const problem = assertProblem(response, 504);
    assert.match(String(problem.detail), /unknown/i);
    release();
    await eventually('storage confirms again', async () => {
      return (await post(server.port, namesBody(uniqueName('after')))).status === 200;
    });
    assert.ok((countNames(readStored(server.dataDir)).get(name) ?? 0) <= 1);
  });

  it('keeps the order and the answers of the requests behind it', async (t) => {
    const { server, faults } = await slowServer(t, ['--request-timeout-ms', '300']);
    const connection = await RawConnection.open(server.port);
    const release = faults.hangSyncs();
    const first = await connection.request(postRequest(namesBody('order.first')));
    assertProblem(first, 504);
    release();
    await eventually('storage confirms again', async () => {
      return (await connection.request(postRequest(namesBody('order.second')))).status === 200;
    });
    connection.close();
    const names = readStored(server.dataDir).map((stored) => stored.name);
    assert.equal(names[0], 'order.first');
    assert.equal(names.filter((name) => name === 'order.first').length, 1);
  });
});

describe('a writer that stores a few bytes at a time', () => {
  it('stores whole batches all the same', async (t) => {
    const { server, faults } = await slowServer(t, []);
    faults.set({ writeMostBytes: 1_000 });
    const names = Array.from({ length: 200 }, () => uniqueName('short'));
    assertAccepted(await post(server.port, namesBody(...names)), 200);
    assert.deepEqual(
      readStored(server.dataDir).map((stored) => stored.name),
      names,
    );
  });
});
