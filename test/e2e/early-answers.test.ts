/** Responses to clients that are still sending: they arrive, directly and through proxies, and the server's patience ends. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { assertAccepted, assertProblem } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { CLIENTS } from '../support/http-clients.ts';
import { PROXIES, skipReason, startProxy } from '../support/proxies.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import {
  memoryDirectory,
  type ServerProcess,
  startServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';

const LARGE_BYTES = 20 << 20;
/** Within the limit, and more than a socket holds. */
const ALLOWED_BYTES = 6 << 20;
const TOKEN = 'token_0123456789abcdef0123456789abcdef';

const tokens = join(temporaryDirectory({ after }), 'tokens');
writeFileSync(tokens, `web ${TOKEN}\n`, { mode: 0o600 });
const open = await startServer({ after }, { args: ['--workers', '2'] });
const guarded = await startServer({ after }, { args: ['--workers', '2', '--tokens-file', tokens] });

const SERVERS: readonly (readonly [number, string, ServerProcess])[] = [
  [413, 'body_too_large', open],
  [401, 'unauthorized', guarded],
];

describe('a client that is still sending 20 MiB', () => {
  for (const way of ['directly', ...PROXIES] as const) {
    const skip = way !== 'directly' && skipReason(way);
    describe(way === 'directly' ? way : `through ${way}`, { skip }, async () => {
      for (const [status, code, server] of SERVERS) {
        const port = way === 'directly' ? server.port : await startProxy({ after }, way, server.port);
        for (const client of CLIENTS) {
          it(`gets ${status} with ${client.name}, of a declared length and chunked`, {
            skip: client.skip,
          }, async () => {
            for (const chunked of [false, true]) {
              const url = `http://127.0.0.1:${port}/metrics`;
              const seen = await client.post({ url, bytes: LARGE_BYTES, chunked });
              assert.equal(seen.status, status, `chunked: ${chunked}; ${seen.body}`);
              const problem = JSON.parse(seen.body) as Record<string, unknown>;
              assert.equal(problem.type, `urn:metricsstream:problem:${code}`);
            }
          });
        }
      }
    });
  }
});

const head = (framing: string, path = '/metrics'): string =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`;

describe('a client that is still sending a body of an allowed size', () => {
  for (const client of CLIENTS) {
    it(`gets 401 with ${client.name}, even if it closes after each request`, {
      skip: client.skip,
    }, async () => {
      const url = `http://127.0.0.1:${guarded.port}/metrics`;
      for (const chunked of [false, true]) {
        const seen = await client.post({ url, bytes: ALLOWED_BYTES, chunked });
        assert.equal(seen.status, 401, seen.body);
      }
    });
  }
});

describe('the rest of a rejected body', () => {
  it('is dropped up to 64 MiB; then the server closes', async () => {
    const connection = await RawConnection.open(open.port);
    const chunk = Buffer.alloc(1 << 20, ' ');
    connection.write(head(`Content-Length: ${2 ** 40}`));
    assertProblem(await connection.read(), 413);
    let sent = 0;
    while (!connection.closed && !connection.socket.destroyed && sent < 1 << 30) {
      await connection.writeParts([chunk]);
      sent += chunk.length;
    }
    assert.ok(sent < 1 << 30, 'the server read 1 GiB');
    assert.ok(await connection.waitClosed(60_000));
    assert.ok(sent > 60 << 20, `closed after ${sent} bytes`);
    connection.close();
  });

  it('ends the connection with the last byte, without a reset', async () => {
    const connection = await RawConnection.open(open.port);
    connection.write(head('Transfer-Encoding: chunked'));
    connection.write(`${(LARGE_BYTES / 2).toString(16)}\r\n`);
    connection.write(Buffer.alloc(LARGE_BYTES / 2, ' '));
    const response = await connection.read();
    assertProblem(response, 413);
    assert.equal(response.header('connection'), 'close');
    assert.equal(connection.closed, false);
    connection.write('\r\n0\r\n\r\n');
    assert.deepEqual(await connection.next(60_000), { kind: 'closed', dirty: false });
  });

  it('of a known and allowed length keeps the connection', async () => {
    const connection = await RawConnection.open(guarded.port);
    for (const path of ['/metrics', '/nowhere']) {
      const body = ' '.repeat(5 << 20);
      connection.write(head(`Content-Length: ${body.length}`, path));
      assertProblem(await connection.read(), path === '/metrics' ? 401 : 404);
      await connection.writeParts([body]);
    }
    const name = uniqueName('kept');
    const authorization = { Authorization: `Bearer ${TOKEN}` };
    const stored = await connection.request(postRequest(namesBody(name), { headers: authorization }));
    assertAccepted(stored, 1);
    connection.close();
  });

  it('is dropped before a close too, so that the answer arrives', async () => {
    for (const [start, status] of [
      ['POST /metrics', 401],
      ['POST /nowhere', 404],
      ['PUT /metrics', 405],
    ] as const) {
      const connection = await RawConnection.open(guarded.port);
      const body = ' '.repeat(ALLOWED_BYTES);
      const lines = `Host: localhost\r\nConnection: close\r\nContent-Length: ${body.length}`;
      connection.write(`${start} HTTP/1.1\r\n${lines}\r\n\r\n`);
      assert.equal((await connection.read()).status, status);
      assert.equal(connection.closed, false);
      await connection.writeParts([body]);
      assert.deepEqual(await connection.next(60_000), { kind: 'closed', dirty: false });
      connection.close();
    }
  });

  it('that begins to arrive while the server drains does not hide the answer', async (t) => {
    const server = await startServer(t, { args: ['--workers', '1'], dataDir: memoryDirectory(t) });
    const holding = await RawConnection.open(server.port);
    const sending = await RawConnection.open(server.port);
    const post = head(`Content-Length: ${ALLOWED_BYTES}`);
    holding.write(`${post} `);
    await sending.request({ path: '/health' });
    server.kill('SIGTERM');
    await server.logged(({ msg }) => String(msg).startsWith('draining'));
    sending.write(post);
    assertProblem(await sending.read(), 503);
    assert.equal(sending.closed, false);
    await sending.writeParts([' '.repeat(ALLOWED_BYTES)]);
    assert.deepEqual(await sending.next(60_000), { kind: 'closed', dirty: false });
    for (const connection of [holding, sending]) connection.close();
    assert.deepEqual(await server.exited, { code: 0, signal: null });
  });

  it('that is small and chunked keeps the connection if it came with the headers', async () => {
    const connection = await RawConnection.open(guarded.port);
    for (let k = 0; k < 2; k++) {
      connection.write(`${head('Transfer-Encoding: chunked')}2\r\n{}\r\n0\r\n\r\n`);
      assertProblem(await connection.read(), 401);
    }
    connection.close();
  });

  it('holds nothing up when the server drains', async (t) => {
    const args = ['--workers', '1', '--drain-timeout-ms', '1s'];
    // A stalled disk would use up the drain time.
    const server = await startServer(t, { args, dataDir: memoryDirectory(t) });
    const connection = await RawConnection.open(server.port);
    connection.write(head(`Content-Length: ${LARGE_BYTES}`));
    assertProblem(await connection.read(), 413);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.ok(await connection.waitClosed(1_000));
    connection.close();
  });

  it('is never stored', () => {
    for (const { dataDir } of [open, guarded]) {
      for (const { name } of readStored(dataDir)) assert.match(String(name), /^kept/);
    }
  });
});
