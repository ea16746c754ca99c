/** Header values in every form that clients and proxies write them, and what answers say to proxies and caches. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertAccepted, assertProblem } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { CLOSED_WITHIN_MS, fetchOnce, post, RawConnection } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const server = await startServer({ after }, { args: ['--workers', '2'] });

const storedTimes = (name: string): number => countNames(readStored(server.dataDir)).get(name) ?? 0;

const headOf = (lines: readonly string[], target = '/metrics'): string =>
  [`POST ${target} HTTP/1.1`, ...lines, '', ''].join('\r\n');

describe('Expect: 100-continue', () => {
  /** Sends a body once the server asks for it. */
  async function expecting(value: string, body: string, lines: readonly string[] = []) {
    const connection = await RawConnection.open(server.port);
    const length = `Content-Length: ${body.length}`;
    connection.write(headOf(['Host: localhost', `Expect: ${value}`, length, ...lines]));
    assert.equal(await connection.readHead(CLOSED_WITHIN_MS), 100);
    connection.write(body);
    return connection;
  }

  for (const value of ['100-continue', '100-Continue', '100-CONTINUE', 'other, 100-Continue']) {
    it(`is answered with 100 when written as "${value}", and the answer follows`, async () => {
      const name = uniqueName('expect');
      const connection = await expecting(value, namesBody(name));
      assertAccepted(await connection.read(), 1);
      assert.equal(storedTimes(name), 1);
      assert.equal((await connection.request({ path: '/health' })).status, 200);
      connection.close();
    });

    it(`is answered with 100 before a refusal too when written as "${value}"`, async () => {
      const connection = await expecting(value, 'x'.repeat(1 << 20), ['Content-Encoding: br']);
      assertProblem(await connection.read(), 415);
      assert.equal((await connection.request({ path: '/health' })).status, 200);
      connection.close();
      const closing = await expecting(value, 'x'.repeat(1 << 20), [
        'Content-Encoding: br',
        'Connection: close',
      ]);
      assertProblem(await closing.read(), 415);
      assert.deepEqual(await closing.next(CLOSED_WITHIN_MS), { kind: 'closed', dirty: false });
      closing.close();
    });
  }
});

describe('Host', () => {
  const statusFor = async (host: string): Promise<number> => {
    const connection = await RawConnection.open(server.port);
    connection.write(headOf([`Host: ${host}`, 'Content-Length: 1', 'Connection: close'], '/nowhere'));
    connection.write('x');
    const { status } = await connection.read();
    connection.close();
    return status;
  };

  it('may be any host with any port, or empty', async () => {
    const hosts = ['localhost', 'a_b.example:8080', '127.0.0.1:', '[::1]:80', '[fe80::1%25eth0]', '%41', ''];
    for (const host of hosts) assert.equal(await statusFor(host), 404, host);
  });

  it('gets 400 if it is invalid', async () => {
    const values = ['a b', 'user@host', 'host:port', 'a:1:2', 'host/path', 'host?', 'host#', '<host>', '%4'];
    for (const host of values) assert.equal(await statusFor(host), 400, host);
  });
});

describe('Content-Encoding', () => {
  const send = (coding: string) =>
    post(server.port, gzipSync(namesBody(uniqueName('coding'))), { headers: { 'Content-Encoding': coding } });

  it('may list identity and empty elements beside gzip', async () => {
    for (const coding of ['gzip', 'GZIP', 'x-gzip', 'gzip,', ', gzip', 'identity, gzip', 'gzip ,identity'])
      assertAccepted(await send(coding), 1);
  });

  it('of two codings gets 415', async () => {
    for (const coding of ['gzip, gzip', 'gzip, br', 'br, gzip', '"gzip"', 'gzip;q=1'])
      assertProblem(await send(coding), 415);
  });
});

describe('Content-Type', () => {
  /** The answer to a JSON body with these lines. */
  async function answerTo(types: readonly string[]) {
    const connection = await RawConnection.open(server.port);
    const body = namesBody(uniqueName('type'));
    const lines = types.map((type) => `Content-Type: ${type}`);
    connection.write(`${headOf(['Host: localhost', ...lines, `Content-Length: ${body.length}`])}${body}`);
    const response = await connection.read();
    connection.close();
    return response;
  }

  it('may be given twice if both lines agree', async () => {
    assertAccepted(await answerTo(['application/json', 'application/json']), 1);
    assertAccepted(await answerTo(['application/json; note="a, b"']), 1);
  });

  it('gets 415 if two lines, or two members of one, differ', async () => {
    for (const types of [
      ['application/x-ndjson', 'application/json'],
      ['application/json; charset=utf-8', 'text/plain'],
      ['application/json; charset=utf-8, text/plain'],
    ])
      assertProblem(await answerTo(types), 415);
  });
});

describe('answers about the state of the server', () => {
  it('must not be cached, and say what they depend on', async () => {
    for (const path of ['/metrics', '/health', '/ready']) {
      const response = await fetchOnce(server.port, { path });
      assert.equal(response.status, 200);
      assert.equal(response.header('cache-control'), 'no-store', path);
      assert.equal(response.header('vary'), path === '/metrics' ? 'Accept' : undefined);
    }
  });

  it('must not be cached when they are negative either', async (t) => {
    const full = await startServer(t, {
      args: ['--workers', '1', '--min-free-bytes', '1048576g'],
      awaitReady: false,
    });
    const response = await fetchOnce(full.port, { path: '/ready' });
    assert.equal(response.status, 503);
    assert.equal(response.header('cache-control'), 'no-store');
  });
});

describe('the PROXY protocol', () => {
  const version2 = (host: number): string =>
    `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${String.fromCharCode(192, 0, 2, host)}\x7f\0\0\x01\0\x50\0\x50`;

  it('of version 2 gives no client another identity', async (t) => {
    const limited = await startServer(t, {
      args: ['--workers', '1', '--rate-limit', '0.01', '--rate-burst', '1'],
    });
    const statuses: number[] = [];
    for (const host of [1, 2, 3]) {
      const body = namesBody(uniqueName('proxied'));
      const connection = await RawConnection.open(limited.port);
      const head = headOf(['Host: localhost', `Content-Length: ${body.length}`]);
      connection.write(Buffer.from(`${version2(host)}${head}${body}`, 'latin1'));
      statuses.push((await connection.read()).status);
      connection.close();
    }
    assert.deepEqual(statuses, [200, 429, 429]);
  });

  it('of version 1 gets 505 at once', async () => {
    const connection = await RawConnection.open(server.port);
    connection.write(
      'PROXY TCP4 192.0.2.1 127.0.0.1 80 80\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n',
    );
    assert.equal((await connection.read()).status, 505);
    connection.close();
  });
});
