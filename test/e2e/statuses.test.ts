import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertAccepted, assertProblem, assertRetryAfter } from '../support/assertions.ts';
import { metric, namesBody, ndjsonBody, uniqueName } from '../support/bodies.ts';
import { describeEachImplementation, phaseArgs, tooManyThreads } from '../support/each-phase.ts';
import { fetchOnce, post, postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const MAX_BODY_BYTES = 50_000;
const BURST = 3;
describeEachImplementation(
  {
    args: [
      ...['--workers', '2', '--max-body-bytes', String(MAX_BODY_BYTES), '--max-batch', '20'],
      ...['--client-id', 'header:x-client', '--rate-limit', '0.01', '--rate-burst', String(BURST)],
      ...['--metric-rate-limit', '0.01', '--metric-rate-burst', '15', '--body-timeout-ms', '500'],
    ],
  },
  (server, phase) => {
    /** Headers of a new client, with all its tokens. */
    function newClient(): Record<string, string> {
      return { 'X-Client': uniqueName('client') };
    }

    /** Headers of a client with no tokens left. */
    async function limitedClient(): Promise<Record<string, string>> {
      const client = newClient();
      for (let k = 0; k < BURST; k++)
        await post(server.port, namesBody(uniqueName('spend')), { headers: client });
      return client;
    }

    function names(count: number): string[] {
      return Array.from({ length: count }, () => uniqueName('status'));
    }

    function storedCount(name: string): number {
      return countNames(readStored(server.dataDir)).get(name) ?? 0;
    }

    describe('404', () => {
      for (const [method, path] of [
        ['GET', '/nope'],
        ['POST', '/lives'],
        ['POST', '/metrics/'],
        ['POST', '/metricsx'],
        ['PUT', '/metric'],
        ['DELETE', '/%6detrics'],
      ] as const) {
        it(`answers ${method} ${path}`, async () => {
          assertProblem(await fetchOnce(server.port, { method, path, body: '{}' }), 404);
        });
      }
    });

    describe('405', () => {
      for (const [method, path, allowed] of [
        ['PUT', '/metrics', ['GET', 'POST']],
        ['DELETE', '/metrics', ['GET', 'POST']],
        ['PATCH', '/metrics', ['GET', 'POST']],
        ['POST', '/health', ['GET']],
        ['POST', '/ready', ['GET']],
        ['POST', '/', ['GET']],
        ['POST', '/live', ['GET']],
      ] as const) {
        it(`answers ${method} ${path} with the methods allowed`, async () => {
          const response = await fetchOnce(server.port, { method, path, body: '{}' });
          assertProblem(response, 405);
          const methods = (response.header('allow') ?? '').split(/\s*,\s*/);
          for (const name of allowed) assert.ok(methods.includes(name), response.header('allow'));
          assert.ok(!methods.includes(method));
        });
      }
    });

    describe('415', () => {
      for (const type of [
        'text/plain',
        'application/x-www-form-urlencoded',
        'application/jsonx',
        'multipart/form-data; boundary=x',
      ]) {
        it(`answers content type ${type}`, async () => {
          const name = uniqueName('status');
          assertProblem(
            await post(server.port, namesBody(name), { headers: { ...newClient(), 'Content-Type': type } }),
            415,
          );
          assert.equal(storedCount(name), 0);
        });
      }

      for (const encoding of ['br', 'deflate', 'zstd', 'gzip, gzip', 'gzip, br']) {
        it(`answers content encoding ${encoding} with those supported`, async () => {
          const name = uniqueName('status');
          const response = await post(server.port, gzipSync(namesBody(name)), {
            headers: { ...newClient(), 'Content-Encoding': encoding },
          });
          assertProblem(response, 415);
          assert.match(response.header('accept-encoding') ?? '', /\bgzip\b/);
          assert.equal(storedCount(name), 0);
        });
      }
    });

    describe('413', () => {
      it('answers a batch above --max-batch and stores none', async () => {
        const sent = names(21);
        const problem = assertProblem(
          await post(server.port, namesBody(...sent), { headers: newClient() }),
          413,
        );
        assert.match(String(problem.detail), /20/);
        assert.equal(storedCount(sent[0]!), 0);
      });

      it('answers more NDJSON lines than --max-batch', async () => {
        const headers = { ...newClient(), 'Content-Type': 'application/x-ndjson' };
        assertProblem(
          await post(server.port, ndjsonBody(names(21).map((name) => metric(name))), { headers }),
          413,
        );
      });

      it('answers a batch larger than the metric burst, which could never pass', async () => {
        const sent = names(16);
        const problem = assertProblem(
          await post(server.port, namesBody(...sent), { headers: newClient() }),
          413,
        );
        assert.match(String(problem.detail), /15/);
        assert.equal(storedCount(sent[0]!), 0);
      });
    });

    describe('429', () => {
      it('answers a client over its requests with Retry-After and RateLimit headers', async () => {
        const client = newClient();
        for (let k = 0; k < BURST; k++) {
          const response = await post(server.port, namesBody(uniqueName('status')), { headers: client });
          assertAccepted(response, 1);
          assert.match(response.header('ratelimit-policy') ?? '', /;\s*q=\d+/);
          const remaining = /;\s*r=(\d+)/.exec(response.header('ratelimit') ?? '')?.[1];
          assert.ok(Number(remaining) <= BURST - 1 - k, response.header('ratelimit'));
        }
        const name = uniqueName('status');
        const response = await post(server.port, namesBody(name), { headers: client });
        assertProblem(response, 429);
        // One token takes a hundred seconds here.
        assert.ok(assertRetryAfter(response) > 50);
        assert.match(response.header('ratelimit') ?? '', /;\s*r=0\b/);
        assert.match(response.header('ratelimit-policy') ?? '', /;\s*q=\d+/);
        assert.equal(storedCount(name), 0);
      });

      it('answers a client over its metrics, all or nothing', async () => {
        const client = newClient();
        assertAccepted(await post(server.port, namesBody(...names(10)), { headers: client }), 10);
        const refused = names(6);
        const response = await post(server.port, namesBody(...refused), { headers: client });
        assertProblem(response, 429);
        assertRetryAfter(response);
        for (const name of refused) assert.equal(storedCount(name), 0);
        assertAccepted(await post(server.port, namesBody(...names(5)), { headers: client }), 5);
      });

      it('leaves other clients alone', async () => {
        const client = await limitedClient();
        assertProblem(await post(server.port, namesBody(uniqueName('status')), { headers: client }), 429);
        assertAccepted(await post(server.port, namesBody(uniqueName('status')), { headers: newClient() }), 1);
      });

      it('holds across the connections and workers of one client', async () => {
        const client = newClient();
        // If the holder of a lock lost its core, the answer is 503, and the client may retry.
        const decided = async () => {
          for (;;) {
            const response = await post(server.port, namesBody(uniqueName('status')), { headers: client });
            if (response.status !== 503) return response;
          }
        };
        const responses = await Promise.all(Array.from({ length: 24 }, decided));
        assert.equal(responses.filter((response) => response.status === 200).length, BURST);
        assert.equal(responses.filter((response) => response.status === 429).length, 24 - BURST);
      });

      it('keeps the connection', async () => {
        const connection = await RawConnection.open(server.port);
        const client = await limitedClient();
        const request = postRequest(namesBody(uniqueName('status')), { headers: client });
        assertProblem(await connection.request(request), 429);
        assertProblem(await connection.request(request), 429);
        connection.close();
      });
    });

    describe('408', () => {
      it('answers a body that does not arrive in time, closes, and stores nothing', async () => {
        const name = uniqueName('status');
        const body = namesBody(name);
        const connection = await RawConnection.open(server.port);
        connection.write(
          `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, -1)}`,
        );
        assertProblem(await connection.read(15_000), 408);
        assert.ok(await connection.waitClosed(60_000), 'the connection was left open');
        connection.close();
        assert.equal(storedCount(name), 0);
      });
    });

    describe('the order of checks', () => {
      const tooLong = `{"metrics":${' '.repeat(MAX_BODY_BYTES)}`;
      const cases: [
        string,
        number,
        () => Promise<{ method: string; path: string; headers: Record<string, string>; body: string }>,
      ][] = [
        [
          'the path before the method',
          404,
          async () => ({
            method: 'PUT',
            path: '/nope',
            headers: { 'Content-Type': 'text/plain' },
            body: tooLong,
          }),
        ],
        [
          'the method before the content type',
          405,
          async () => ({
            method: 'PUT',
            path: '/metrics',
            headers: { 'Content-Type': 'text/plain' },
            body: tooLong,
          }),
        ],
        [
          'the content type before the size',
          415,
          async () => ({
            method: 'POST',
            path: '/metrics',
            headers: { ...(await limitedClient()), 'Content-Type': 'text/plain' },
            body: tooLong,
          }),
        ],
        [
          'the content encoding before the size',
          415,
          async () => ({
            method: 'POST',
            path: '/metrics',
            headers: { ...(await limitedClient()), 'Content-Encoding': 'br' },
            body: tooLong,
          }),
        ],
        [
          'the size before the rate limit',
          413,
          async () => ({ method: 'POST', path: '/metrics', headers: await limitedClient(), body: tooLong }),
        ],
        [
          'the rate limit before the JSON',
          429,
          async () => ({
            method: 'POST',
            path: '/metrics',
            headers: await limitedClient(),
            body: '{"metrics":[',
          }),
        ],
        [
          'the JSON last',
          400,
          async () => ({ method: 'POST', path: '/metrics', headers: newClient(), body: '{"metrics":[' }),
        ],
      ];
      for (const [what, status, make] of cases) {
        it(`checks ${what}`, async () => {
          assertProblem(await fetchOnce(server.port, await make()), status);
        });
      }
    });

    describe('after all these refusals', () => {
      it('the server still stores', async () => {
        const name = uniqueName('status');
        assertAccepted(await post(server.port, namesBody(name), { headers: newClient() }), 1);
        assert.equal(storedCount(name), 1);
      });
    });

    describe('202', () => {
      it('is the answer under --ack received, and the metrics follow', async (t) => {
        const receiving = await startServer(t, {
          args: [...phaseArgs(phase), '--workers', '1', '--ack', 'received'],
        });
        const name = uniqueName('received');
        assertAccepted(await post(receiving.port, namesBody(name)), 1, 202);
        assert.deepEqual(await receiving.stop(), { code: 0, signal: null });
        assert.equal(countNames(readStored(receiving.dataDir)).get(name), 1);
      });
    });

    describe('the client', () => {
      it('is the remote address by default, whatever the headers contain', async (t) => {
        const strict = await startServer(t, {
          args: [...phaseArgs(phase), '--workers', '1', '--rate-limit', '0.01', '--rate-burst', '1'],
        });
        assertAccepted(await post(strict.port, namesBody(uniqueName('a')), { headers: newClient() }), 1);
        const forged = { ...newClient(), 'X-Forwarded-For': '10.1.2.3', Authorization: 'Bearer other' };
        assertProblem(await post(strict.port, namesBody(uniqueName('a')), { headers: forged }), 429);
      });

      it('is the Authorization header with --client-id authorization', async (t) => {
        const args = [
          ...phaseArgs(phase),
          '--workers',
          '1',
          '--rate-limit',
          '0.01',
          '--rate-burst',
          '1',
          '--client-id',
          'authorization',
        ];
        const strict = await startServer(t, { args });
        const one = { headers: { Authorization: 'Bearer one' } };
        const two = { headers: { Authorization: 'Bearer two' } };
        assertAccepted(await post(strict.port, namesBody(uniqueName('a')), one), 1);
        assertProblem(await post(strict.port, namesBody(uniqueName('a')), one), 429);
        assertAccepted(await post(strict.port, namesBody(uniqueName('a')), two), 1);
        assert.ok(!strict.output().includes('Bearer'), 'a client key was logged');
      });

      it('may be one of ten thousand, each with its own limit', {
        skip: tooManyThreads(phase, 10_000),
      }, async (t) => {
        const args = [
          ...phaseArgs(phase),
          '--workers',
          '2',
          '--rate-limit',
          '0.01',
          '--rate-burst',
          '1',
          '--client-id',
          'header:x-client',
        ];
        const many = await startServer(t, { args: [...args, '--ack', 'written'] });
        const passed: number[] = [];
        const refused: number[] = [];
        let next = 0;
        const visit = async () => {
          const connection = await RawConnection.open(many.port);
          for (let id = next++; id < 10_000; id = next++) {
            const request = postRequest(namesBody(`many.${id}`), { headers: { 'X-Client': `client-${id}` } });
            const first = await connection.request(request);
            if (first.status === 200) passed.push(id);
            if (id % 100 === 0 && (await connection.request(request)).status === 429) refused.push(id);
          }
          connection.close();
        };
        await Promise.all(Array.from({ length: 16 }, visit));
        assert.deepEqual([passed.length, refused.length], [10_000, 100]);
        assert.equal(readStored(many.dataDir).length, 10_000);
      });
    });
  },
);
