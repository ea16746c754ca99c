import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { createPlan, type LoadPlan, type LoadResult } from '../../load-test/plan.ts';
import { runLoad } from '../../load-test/run.ts';
import { accepted, answer, type Respond, startScriptedServer } from './scripted-server.ts';

const REQUESTS = 6;

/** One client sends REQUESTS requests of two metrics, one after the other, to a server that answers so. */
async function loadAgainst(
  context: TestContext,
  respond: Respond,
  more: Partial<LoadPlan> = {},
): Promise<LoadResult & { readonly connections: number }> {
  const server = await startScriptedServer(context, respond);
  const plan = createPlan({
    port: server.port,
    clients: 1,
    batch: 2,
    load: { kind: 'closed', requestsPerClient: REQUESTS, intervalMs: 0 },
    timeoutMs: 10_000,
    ...more,
  });
  const result = await runLoad(plan);
  return { ...result, connections: server.connections() };
}

/** Ignores GET /metrics, the check by counters, which these tests do not cover. */
const isPost = (request: string): boolean => request.startsWith('POST ');

const respondTo =
  (respond: (socket: Socket, request: string) => void): Respond =>
  (socket, request) => {
    if (isPost(request)) respond(socket, request);
    else socket.end(answer(404));
  };

describe('the generator reads an answer', { concurrency: 4 }, () => {
  const pieces = accepted(2);
  const cases: Readonly<Record<string, string>> = {
    'with Content-Length': accepted(2),
    'without a body': answer(204),
    'in chunks':
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"acc\r\nA;x=y\r\nepted":2,"\r\n5\r\nx":1}\r\n0\r\nTrailer: x\r\n\r\n',
    'behind an interim one': `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${accepted(2)}`,
    'with a header in other case': accepted(2).replace('Content-Length', 'CONTENT-length'),
  };
  for (const [what, text] of Object.entries(cases)) {
    it(what, async (context) => {
      const result = await loadAgainst(
        context,
        respondTo((socket) => socket.write(text)),
      );
      assert.equal(result.succeeded, REQUESTS);
      assert.equal(result.acceptedMetrics, REQUESTS * 2);
      assert.equal(result.apiLatency.count, REQUESTS);
    });

    it(`${what}, byte by byte`, async (context) => {
      const result = await loadAgainst(
        context,
        respondTo((socket) => {
          const bytes = Buffer.from(text);
          const send = (at: number): void => {
            if (at === bytes.length) return;
            socket.write(bytes.subarray(at, at + 1));
            setImmediate(send, at + 1);
          };
          send(0);
        }),
        { load: { kind: 'closed', requestsPerClient: 2, intervalMs: 0 } },
      );
      assert.equal(result.succeeded, 2);
      assert.equal(result.acceptedMetrics, 4);
    });
  }

  it('that ends with the connection', async (context) => {
    const text = 'HTTP/1.1 200 OK\r\n\r\n{"accepted":2,"rejected":0}';
    const result = await loadAgainst(
      context,
      respondTo((socket) => socket.end(text)),
    );
    assert.equal(result.succeeded, REQUESTS);
    assert.equal(result.acceptedMetrics, REQUESTS * 2);
  });

  it('and opens a new connection after Connection: close', async (context) => {
    const text = answer(200, '{"accepted":2}', ['Connection: close']);
    const result = await loadAgainst(
      context,
      respondTo((socket) => socket.end(text)),
    );
    assert.equal(result.succeeded, REQUESTS);
    assert.ok(result.connections >= REQUESTS, `${result.connections} connections`);
  });

  it('on its own connection each, if keep-alive is off', async (context) => {
    let withClose = 0;
    const result = await loadAgainst(
      context,
      respondTo((socket, request) => {
        if (/^connection: close$/im.test(request)) withClose++;
        socket.write(pieces);
      }),
      { keepAlive: false },
    );
    assert.equal(result.succeeded, REQUESTS);
    assert.equal(withClose, REQUESTS);
    assert.ok(result.connections >= REQUESTS, `${result.connections} connections`);
  });
});

describe('the generator counts as malformed', { concurrency: 4 }, () => {
  const cases: Readonly<Record<string, string>> = {
    'what is no HTTP': 'SSH-2.0-OpenSSH_9.2\r\n',
    'a status line of HTTP/2': answer(200).replace('HTTP/1.1', 'HTTP/2.0'),
    'a status of four digits': answer(2000),
    'a header without a colon': 'HTTP/1.1 200 OK\r\nContent-Length 0\r\n\r\n',
    'a Content-Length that is not a number': 'HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\n{}',
    'two Content-Lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
    'Content-Length beside chunks':
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a chunk size that is none': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n',
    'a chunk longer than its size':
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n',
    'a second answer to one request': accepted(2) + accepted(2),
    'a head without an end': `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`,
  };
  for (const [what, text] of Object.entries(cases)) {
    it(what, async (context) => {
      const result = await loadAgainst(
        context,
        respondTo((socket) => socket.write(text)),
      );
      assert.deepEqual(result.outcomes, { malformed: REQUESTS });
      assert.equal(result.succeeded, 0);
      assert.equal(result.apiLatency.count, 0);
    });
  }
});

describe('the generator distinguishes', { concurrency: 4 }, () => {
  it('a connection that is closed before the answer from one that is closed within it', async (context) => {
    let count = 0;
    const result = await loadAgainst(
      context,
      respondTo((socket) => socket.end(count++ % 2 === 0 ? '' : accepted(2).slice(0, -5))),
    );
    assert.deepEqual(result.outcomes, { reset: REQUESTS });
  });

  it('a reset', async (context) => {
    const result = await loadAgainst(
      context,
      respondTo((socket) => socket.resetAndDestroy()),
    );
    assert.deepEqual(result.outcomes, { reset: REQUESTS });
  });

  it('a server that never answers', async (context) => {
    const result = await loadAgainst(
      context,
      respondTo(() => {}),
      {
        timeoutMs: 50,
        load: { kind: 'closed', requestsPerClient: 2, intervalMs: 0 },
      },
    );
    assert.deepEqual(result.outcomes, { timeout: 2 });
    assert.equal(result.check.unknown, 4);
  });

  it('a server that has gone', async (context) => {
    const result = await loadAgainst(
      context,
      (socket, request, _count, stop) => {
        if (!isPost(request)) return socket.end(answer(404));
        stop();
        socket.end(answer(200, '{"accepted":2}', ['Connection: close']));
      },
      { load: { kind: 'closed', requestsPerClient: 3, intervalMs: 0 } },
    );
    assert.deepEqual(result.outcomes, { '200': 1, connect: 2 });
  });

  it('refusals, their Retry-After and their latency apart from successes', async (context) => {
    let count = 0;
    const answers = [answer(429, '', ['Retry-After: 1']), answer(503), accepted(2)];
    const result = await loadAgainst(
      context,
      respondTo((socket) => socket.write(answers[count++ % 3] ?? '')),
    );
    assert.deepEqual(result.outcomes, { '200': 2, '429': 2, '503': 2 });
    assert.equal(result.succeeded, 2);
    assert.equal(result.acceptedMetrics, 4);
    assert.equal(result.withoutRetryAfter, 2);
    assert.equal(result.apiLatency.count, 2);
    assert.equal(result.refusalLatency.count, 4);
  });
});
