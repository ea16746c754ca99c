import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { assertAccepted, assertProblem, assertRetryAfter, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import type { Owner } from '../support/clean-up.ts';
import { describeFirstAndLast, phaseArgs } from '../support/each-phase.ts';
import { Scrape } from '../support/exposition.ts';
import {
  CLOSED_WITHIN_MS,
  chunkedBytes,
  fetchOnce,
  type HttpResponse,
  post,
  postRequest,
  RawConnection,
} from '../support/raw-http.ts';
import {
  runCli,
  type ServerProcess,
  StartFailed,
  startServer,
  temporaryDirectory,
} from '../support/server-process.ts';
import { countNames, readStored } from '../support/stored.ts';

const WEB = 'web-token-0123456789abcdef';
const WEB_NEXT = 'web-token-next-0123456789abcdef';
const EDGE = 'edge-token-0123456789abcdef==';
const UNKNOWN = 'guessed-token-0123456789abcdef';
const SECRETS = [WEB, WEB_NEXT, EDGE, UNKNOWN];
const MAX_BODY_BYTES = 20_000;

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Replaces a tokens file as an operator would: writes a copy, then moves it into place. */
class TokensFile {
  readonly path: string;

  constructor(owner: Owner, ...lines: string[]) {
    this.path = join(temporaryDirectory(owner), 'tokens');
    this.write(...lines);
  }

  write(...lines: string[]): void {
    writeFileSync(`${this.path}.new`, `${lines.join('\n')}\n`, { mode: 0o600 });
    renameSync(`${this.path}.new`, this.path);
  }
}

function assertUnauthorized(response: HttpResponse, error: boolean): void {
  const problem = assertProblem(response, 401);
  assert.equal(problem.type, 'urn:metricsstream:problem:unauthorized');
  const challenge = response.header('www-authenticate') ?? '';
  assert.match(challenge, /^Bearer realm="metricsstream"/);
  assert.equal(/error="invalid_token"/.test(challenge), error, challenge);
}

/** No output of the server reveals a token. */
async function assertSecretsKept(server: ServerProcess): Promise<void> {
  const { text } = await Scrape.of(server.port);
  const summary = await fetchOnce(server.port, { path: '/metrics', headers: { Accept: 'application/json' } });
  for (const secret of SECRETS) {
    for (const [where, said] of [
      ['logs', server.output()],
      ['metrics', text],
      ['summary', summary.body.toString()],
    ] as const) {
      assert.ok(!said.includes(secret), `the ${where} hold ${secret}`);
      assert.ok(!said.includes(sha256(secret)), `the ${where} hold the digest of ${secret}`);
    }
  }
}

const suiteTokens = new TokensFile(
  { after },
  '# clients of the test',
  `web ${WEB}`,
  `web ${WEB_NEXT}`,
  `edge sha256:${sha256(EDGE)}`,
);

describeFirstAndLast(
  {
    args: [
      ...['--workers', '2', '--tokens-file', suiteTokens.path, '--max-body-bytes', String(MAX_BODY_BYTES)],
      ...['--rate-limit', '0.01', '--rate-burst', '6', '--body-timeout-ms', '800'],
    ],
  },
  (server) => {
    const stored = (name: string): number => countNames(readStored(server.dataDir)).get(name) ?? 0;

    it('logs at start that it requires tokens, and how to send one', async () => {
      assert.equal(server.listening.auth, 'tokens (3 of 2 clients)');
      assert.match(String(server.listening.limits), /per client \(authorization\)/);
      await server.logged(({ msg }) => /curl -H "Authorization: Bearer \$TOKEN"/.test(String(msg)));
    });

    it('stores requests with a token and none without', async () => {
      const [without, guessed, withToken] = [uniqueName('without'), uniqueName('guess'), uniqueName('with')];
      assertUnauthorized(await post(server.port, namesBody(without)), false);
      assertUnauthorized(await post(server.port, namesBody(guessed), { headers: bearer(UNKNOWN) }), true);
      const basic = { Authorization: `Basic ${Buffer.from(`web:${WEB}`).toString('base64')}` };
      assertUnauthorized(await post(server.port, namesBody(guessed), { headers: basic }), false);
      assertAccepted(await post(server.port, namesBody(withToken), { headers: bearer(EDGE) }), 1);
      const anyCase = { authorization: `bEARER   ${EDGE}` };
      assertAccepted(await post(server.port, namesBody(withToken), { headers: anyCase }), 1);
      assert.equal(stored(without), 0);
      assert.equal(stored(guessed), 0);
      assert.equal(stored(withToken), 2);
    });

    it('treats two Authorization headers as no token', async () => {
      const name = uniqueName('twice');
      const connection = await RawConnection.open(server.port);
      const body = namesBody(name);
      connection.write(
        `POST /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${WEB}\r\nAuthorization: Bearer ${WEB}\r\n` +
          `Content-Length: ${body.length}\r\n\r\n${body}`,
      );
      assertUnauthorized(await connection.read(), true);
      connection.close();
      assert.equal(stored(name), 0);
    });

    it('leaves every GET open', async () => {
      for (const path of ['/metrics', '/health', '/ready']) {
        assert.equal((await fetchOnce(server.port, { path })).status, 200);
      }
    });

    it('checks the token after 404 and 405, and before all other checks', async () => {
      const body = '{}';
      assertProblem(await fetchOnce(server.port, { method: 'POST', path: '/nope', body }), 404);
      assertProblem(await fetchOnce(server.port, { method: 'PUT', path: '/metrics', body }), 405);
      for (const headers of [
        { 'Content-Type': 'text/plain' },
        { 'Content-Encoding': 'br' },
        { 'Content-Type': 'application/json' },
      ]) {
        assertUnauthorized(await post(server.port, 'not json', { headers }), false);
      }
      assertUnauthorized(await post(server.port, 'x'.repeat(MAX_BODY_BYTES + 1)), false);
      assertProblem(
        await post(server.port, 'x', { headers: { ...bearer(WEB), 'Content-Type': 'text/plain' } }),
        415,
      );
    });

    it('answers before the body has arrived, and accepts a valid token on the same connection', async () => {
      const connection = await RawConnection.open(server.port);
      const body = namesBody(uniqueName('late'));
      connection.write(`POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`);
      assertUnauthorized(await connection.read(), false);
      connection.write(body);
      assertAccepted(await connection.request(postRequest(body, { headers: bearer(EDGE) })), 1);
      connection.close();
    });

    it('answers before a body that is too large, or has no declared end, and closes after it', async () => {
      for (const [headers, rest] of [
        ['Content-Length: 9000000', 'x'.repeat(9_000_000)],
        ['Transfer-Encoding: chunked', chunkedBytes('y'.repeat(1_000), 100)],
      ] as const) {
        const connection = await RawConnection.open(server.port);
        connection.write(`POST /metrics HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n`);
        const response = await connection.read();
        assertUnauthorized(response, false);
        assert.equal(response.header('connection'), 'close');
        connection.write(rest);
        assert.deepEqual(await connection.next(CLOSED_WITHIN_MS), { kind: 'closed', dirty: false }, headers);
        connection.close();
      }
    });

    it('limits clients by name, whichever of their tokens and addresses they use', async () => {
      for (let k = 0; k < 6; k++) {
        const headers = bearer(k % 2 === 0 ? WEB : WEB_NEXT);
        assertAccepted(await post(server.port, namesBody(uniqueName('spend')), { headers }), 1);
      }
      for (const token of [WEB, WEB_NEXT]) {
        const refused = await post(server.port, namesBody(uniqueName('over')), { headers: bearer(token) });
        assertProblem(refused, 429);
        assertRetryAfter(refused);
      }
      assertAccepted(await post(server.port, namesBody(uniqueName('other')), { headers: bearer(EDGE) }), 1);
      // If a refused guess were charged, this request would be over its limit.
      for (let k = 0; k < 8; k++) {
        assertUnauthorized(await post(server.port, namesBody('guess'), { headers: bearer(UNKNOWN) }), true);
      }
    });

    it('counts requests and metrics by the name of the token', async () => {
      const scrape = await Scrape.of(server.port);
      assert.ok(scrape.sum('metricsstream_class_requests_total', 'class="web"') >= 9);
      assert.ok(scrape.sum('metricsstream_ingested_metrics_total', 'class="web"') >= 6);
      assert.ok(scrape.sum('metricsstream_ingested_metrics_total', 'class="edge"') >= 4);
      assert.equal(scrape.sum('metricsstream_ingested_metrics_total', 'class="anonymous"'), 0);
      assert.ok(scrape.sum('metricsstream_requests_total', 'status="401"') >= 10);
    });

    it('never reveals a token in logs or metrics', () => assertSecretsKept(server));
  },
);

describe('SIGHUP', () => {
  it('keeps the old tokens while the file is half-written, however it was cut', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`);
    const server = await startServer(t, { args: ['--workers', '1', '--tokens-file', tokens.path] });
    const status = async (token: string): Promise<number> =>
      (await post(server.port, namesBody(uniqueName('half')), { headers: bearer(token) })).status;
    for (const [text, reason] of [
      [`web ${WEB_NEXT.slice(0, 20)}`, /half-written/],
      [`web ${WEB_NEXT}`, /half-written/],
      [`web ${WEB}\nweb ${WEB_NEXT}\nedge sha256:`, /half-written/],
      [`edge sha256:${sha256(EDGE).slice(0, 40)}\n`, /64 hexadecimal/],
      ['', /holds no token/],
    ] as const) {
      const before = server.logs.length;
      writeFileSync(tokens.path, text, { mode: 0o600 });
      server.kill('SIGHUP');
      const line = await server.logged(
        (line) => server.logs.indexOf(line) >= before && /reload failed/.test(String(line.msg)),
      );
      assert.match(String(line.reason), reason);
      assert.equal(await status(WEB), 200);
      assert.equal(await status(WEB_NEXT), 401);
    }
    await assertSecretsKept(server);
  });

  it('waits for a writer that is slower than the signal', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`);
    const server = await startServer(t, { args: ['--workers', '1', '--tokens-file', tokens.path] });
    /** Writes whole lines one after another. @returns the longest pause, which a busy machine may stretch */
    const writeSlowly = async (): Promise<number> => {
      let longestMs = 0;
      let writtenMs = performance.now();
      writeFileSync(tokens.path, `edge ${EDGE}\n`, { mode: 0o600 });
      server.kill('SIGHUP');
      for (let k = 0; k < 10; k++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        appendFileSync(tokens.path, `more-${k} ${randomBytes(16).toString('hex')}\n`);
        longestMs = Math.max(longestMs, performance.now() - writtenMs);
        writtenMs = performance.now();
      }
      return longestMs;
    };
    const WHOLE = 'tokens (11 of 11 clients)';
    for (let attempt = 0; attempt < 50; attempt++) {
      const before = server.logs.length;
      const longestMs = await writeSlowly();
      await server.logged((line) => server.logs.indexOf(line) >= before && line.msg === 'reloaded');
      if (longestMs > 100) continue;
      assert.deepEqual(
        server.logs.slice(before).flatMap(({ msg, auth }) => (msg === 'reloaded' ? [auth] : [])),
        [WHOLE],
      );
      return;
    }
    assert.fail('this machine never wrote a file without a long pause');
  });

  for (const phase of [0, 1, 6]) {
    it(`in phase ${phase} applies new tokens and revokes old ones, while connections stay open`, async (t) => {
      const tokens = new TokensFile(t, `web ${WEB}`);
      const server = await startServer(t, {
        args: [...phaseArgs({ number: phase } as never), '--tokens-file', tokens.path],
      });
      const connection = await RawConnection.open(server.port);
      const status = async (token: string): Promise<number> => {
        const request = postRequest(namesBody(uniqueName('reload')), { headers: bearer(token) });
        return (await connection.request(request)).status;
      };
      assert.equal(await status(WEB), 200);
      assert.equal(await status(WEB_NEXT), 401);

      tokens.write(`web ${WEB}`, `web ${WEB_NEXT}`);
      server.kill('SIGHUP');
      await server.logged(({ msg, auth }) => msg === 'reloaded' && auth === 'tokens (2 of 1 client)');
      await eventually('the new token is taken', async () => (await status(WEB_NEXT)) === 200);
      assert.equal(await status(WEB), 200);

      tokens.write(`web ${WEB_NEXT}`);
      server.kill('SIGHUP');
      await server.logged(({ msg, auth }) => msg === 'reloaded' && auth === 'tokens (1 of 1 client)');
      await eventually('the old token is refused', async () => (await status(WEB)) === 401);
      assert.equal(await status(WEB_NEXT), 200);
      connection.close();
      await assertSecretsKept(server);
      assert.deepEqual(await server.stop(), { code: 0, signal: null });
    });
  }

  it('with a bad file keeps the old tokens, and logs the reason without revealing them', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`);
    const server = await startServer(t, { args: ['--workers', '2', '--tokens-file', tokens.path] });
    tokens.write(`web ${WEB_NEXT}`, 'web short');
    server.kill('SIGHUP');
    const line = await server.logged(({ msg }) => /reload failed/.test(String(msg)));
    assert.equal(line.level, 'error');
    assert.match(String(line.reason), /--tokens-file .* line 2: a token has 16 to 512 characters/);
    const name = uniqueName('kept');
    assertAccepted(await post(server.port, namesBody(name), { headers: bearer(WEB) }), 1);
    assertUnauthorized(await post(server.port, namesBody(name), { headers: bearer(WEB_NEXT) }), true);
    await assertSecretsKept(server);
  });

  it('while many connections post breaks no connection and refuses no valid request', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`);
    const server = await startServer(t, {
      args: ['--workers', '2', '--rate-limit', '0', '--tokens-file', tokens.path],
    });
    let reloading = true;
    const statuses = new Map<number, number>();
    const posting = Array.from({ length: 16 }, async () => {
      const connection = await RawConnection.open(server.port);
      while (reloading) {
        const response = await connection.request(postRequest(namesBody('steady'), { headers: bearer(WEB) }));
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      }
      connection.close();
    });
    for (let k = 1; k <= 10; k++) {
      tokens.write(
        `web ${WEB}`,
        ...Array.from({ length: k * 50 }, (_, n) => `c${n} filler-token-${k}-${n}-0123456789`),
      );
      server.kill('SIGHUP');
      await server.logged(
        ({ msg, auth }) => msg === 'reloaded' && auth === `tokens (${k * 50 + 1} of ${k * 50 + 1} clients)`,
      );
    }
    reloading = false;
    await Promise.all(posting);
    assert.deepEqual([...statuses.keys()], [200]);
    const stored = countNames(readStored(server.dataDir)).get('steady');
    assert.equal(stored, statuses.get(200));
  });

  it('without tokens and certificate only logs that there is nothing to reload', async (t) => {
    const server = await startServer(t);
    server.kill('SIGHUP');
    await server.logged(({ msg }) => /nothing to reload/.test(String(msg)));
    assertAccepted(await post(server.port, namesBody(uniqueName('on'))), 1);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
});

describe('--client-id beside tokens', () => {
  it('keeps the configured value', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`, `edge ${EDGE}`);
    const server = await startServer(t, {
      args: [
        ...['--tokens-file', tokens.path, '--client-id', 'header:x-client'],
        ...['--rate-limit', '0.01', '--rate-burst', '1'],
      ],
    });
    const status = async (token: string, client: string): Promise<number> => {
      const headers = { ...bearer(token), 'X-Client': client };
      return (await post(server.port, namesBody(uniqueName('c')), { headers })).status;
    };
    assert.equal(await status(WEB, 'a'), 200);
    assert.equal(await status(EDGE, 'a'), 429);
    assert.equal(await status(WEB, 'b'), 200);
  });

  it('is listed with its source', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`);
    const shown = async (...args: string[]) => {
      const { stdout } = await runCli(['config', '--json', '--tokens-file', tokens.path, ...args]);
      return (JSON.parse(stdout) as { clientId: unknown }).clientId;
    };
    assert.deepEqual(await shown(), { value: 'authorization', source: 'derived' });
    assert.deepEqual(await shown('--client-id', 'address'), { value: 'address', source: 'flag' });
  });
});

describe('a bad tokens file', () => {
  it('prevents the start and fails config --check, with exit code 2 and the reason', async (t) => {
    const tokens = new TokensFile(t, `web ${WEB}`, `edge ${WEB}`);
    await assert.rejects(startServer(t, { args: ['--tokens-file', tokens.path] }), (error: unknown) => {
      assert.ok(error instanceof StartFailed);
      assert.equal(error.exit.code, 2);
      assert.match(error.output, /line 2: the same token as in line 1; remove one/);
      assert.ok(!error.output.includes(WEB));
      return true;
    });
    const check = await runCli(['config', '--check', '--tokens-file', tokens.path]);
    assert.equal(check.code, 2);
    assert.match(check.stderr, /line 2: the same token/);
    tokens.write(`web ${WEB}`);
    assert.equal((await runCli(['config', '--check', '--tokens-file', tokens.path])).code, 0);
  });
});
