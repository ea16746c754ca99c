/** Idempotency-Key: each request is stored once, and a repeated one gets its first response again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertAccepted, assertProblem } from '../support/assertions.ts';
import { bodyOf, metric, namesBody, ndjsonBody, uniqueName } from '../support/bodies.ts';
import { describeEachImplementation } from '../support/each-phase.ts';
import { Scrape } from '../support/exposition.ts';
import { assertReplay, sendKeyed, storedCount } from '../support/keyed-requests.ts';
import { post, postRequest, RawConnection } from '../support/raw-http.ts';
import { runCli, startServer, verify } from '../support/server-process.ts';
import { readStored } from '../support/stored.ts';

const PREFIX = 'metricsstream_idempotency_';

describeEachImplementation(
  { args: ['--workers', '2', '--dedup', 'body', '--client-id', 'header:x-client'] },
  (server) => {
    it('stores a repeated request once and answers it alike', async () => {
      const name = uniqueName('once');
      const body = namesBody(name);
      const first = await sendKeyed(server, name, body);
      assertAccepted(first, 1);
      for (let k = 0; k < 3; k++) assertReplay(await sendKeyed(server, name, body), first);
      assert.equal(storedCount(server.dataDir, name), 1);
    });

    it('repeats a partial success with its errors', async () => {
      const name = uniqueName('partial');
      const body = bodyOf([metric(name), { name: 'bad', value: 'none' }]);
      const first = await sendKeyed(server, name, body);
      assert.equal(first.json().rejected, 1);
      assertReplay(await sendKeyed(server, name, body), first);
      assert.equal(storedCount(server.dataDir, name), 1);
    });

    it('answers 422 to another body, and stores nothing of it', async () => {
      const name = uniqueName('reused');
      assertAccepted(await sendKeyed(server, name, namesBody(name)), 1);
      const other = uniqueName('other');
      const problem = assertProblem(await sendKeyed(server, name, namesBody(other)), 422);
      assert.equal(problem.type, 'urn:metricsstream:problem:key_reused');
      assert.equal(storedCount(server.dataDir, other), 0);
    });

    it('frees the key of a request that stored nothing', async () => {
      const name = uniqueName('freed');
      assertProblem(await sendKeyed(server, name, '{"metrics":['), 400);
      assertProblem(await sendKeyed(server, name, bodyOf([{ name: '', value: 1 }])), 400);
      const bad = { name: 'bad', value: 'none' };
      const strict = { Prefer: 'handling=strict' };
      assertProblem(await sendKeyed(server, name, bodyOf([metric(name), bad]), strict), 400);
      assertAccepted(await sendKeyed(server, name, namesBody(name)), 1);
    });

    it('--dedup body stores a repeated body once, if each metric has a timestamp', async () => {
      const name = uniqueName('body');
      const body = namesBody(name, `${name}.b`);
      const first = await post(server.port, body);
      assertAccepted(first, 2);
      assertReplay(await post(server.port, body), first);
      assertReplay(
        await post(server.port, gzipSync(body), { headers: { 'Content-Encoding': 'gzip' } }),
        first,
      );
      assert.equal(storedCount(server.dataDir, name), 1);
      assertAccepted(await post(server.port, body, { headers: { 'X-Client': 'other' } }), 2);
      assertAccepted(await post(server.port, `${body} `), 2);
      assertAccepted(await sendKeyed(server, name, body), 2);
      assert.equal(storedCount(server.dataDir, name), 4);
    });

    it('--dedup body stores other bodies as often as they come, with the time of receipt', async () => {
      const [name, now] = [uniqueName('untimed'), Date.now()];
      for (const metrics of [
        [{ name, value: 1 }],
        [metric('timed'), { name, value: 1, tags: { timestamp: '8640000000000001' } }],
      ]) {
        for (let k = 0; k < 2; k++) assertAccepted(await post(server.port, bodyOf(metrics)), metrics.length);
      }
      const stored = readStored(server.dataDir).filter((line) => line.name === name);
      assert.equal(stored.length, 4);
      for (const { timestamp } of stored) assert.ok(timestamp >= now - 1 && timestamp <= Date.now() + 1);
    });
  },
);

describe('a request', () => {
  it('is recognised compressed, in chunks, as NDJSON, and under strict handling', async (t) => {
    const server = await startServer(t);
    const name = uniqueName('form');
    const body = namesBody(name);
    const first = await sendKeyed(server, name, body);
    const gzip = { 'Content-Encoding': 'gzip' };
    assertReplay(await sendKeyed(server, name, gzipSync(body), gzip), first);
    assertReplay(await sendKeyed(server, name, gzipSync(body, { level: 1 }), gzip), first);
    assertReplay(await sendKeyed(server, name, body, { Prefer: 'handling=strict' }), first);
    const lines = ndjsonBody([metric(name)]);
    const ndjson = { 'Content-Type': 'application/x-ndjson' };
    assertProblem(await sendKeyed(server, name, lines, ndjson), 422);
    const other = await sendKeyed(server, `${name}.lines`, lines, ndjson);
    assertReplay(await sendKeyed(server, `${name}.lines`, lines, ndjson), other);
    assert.equal(storedCount(server.dataDir, name), 2);
  });

  it('with --ack received or written is repeated with its status', async (t) => {
    for (const [ack, status] of [
      ['received', 202],
      ['written', 200],
    ] as const) {
      const server = await startServer(t, { args: ['--ack', ack] });
      const name = uniqueName(ack);
      const first = await sendKeyed(server, name, namesBody(name));
      assertAccepted(first, 1, status);
      assertReplay(await sendKeyed(server, name, namesBody(name)), first);
      await server.stop();
      assert.equal(storedCount(server.dataDir, name), 1);
    }
  });

  it('is counted against the request limit, and not against the metric limit', async (t) => {
    const server = await startServer(t, {
      args: [
        '--rate-limit',
        '0.01',
        '--rate-burst',
        '3',
        '--metric-rate-limit',
        '0.01',
        '--metric-rate-burst',
        '2',
      ],
    });
    const name = uniqueName('limited');
    const body = namesBody(name, `${name}.b`);
    const first = await sendKeyed(server, name, body);
    assertReplay(await sendKeyed(server, name, body), first);
    assertProblem(await sendKeyed(server, `${name}.more`, body), 429);
    assertProblem(await sendKeyed(server, name, body), 429);
  });
});

describe('a key', () => {
  it('is the same with quotes and without', async (t) => {
    const server = await startServer(t);
    for (const [bare, quoted] of [
      ['9f-1c', '"9f-1c"'],
      ['with\\backslash', '"with\\\\backslash"'],
      ['k'.repeat(256), `"${'k'.repeat(256)}"`],
    ] as const) {
      const body = namesBody(uniqueName('quoted'));
      const first = await sendKeyed(server, bare, body);
      assertAccepted(first, 1);
      assertReplay(await sendKeyed(server, quoted, body), first);
    }
    const spaced = namesBody(uniqueName('spaced'));
    const first = await sendKeyed(server, '"two words, one \\"key\\""', spaced);
    assertAccepted(first, 1);
    assertReplay(await sendKeyed(server, '"two words, one \\"key\\""', spaced), first);
  });

  it('that is none gets 400 and stores nothing', async (t) => {
    const server = await startServer(t);
    const name = uniqueName('invalid');
    for (const key of [
      ...[
        '',
        '""',
        '"open',
        'open"',
        '"a"b',
        'two words',
        'a,b',
        '"a";p=1',
        '"\\a"',
        'caf\u00e9s',
        '"tab\t"',
      ],
      ...['k'.repeat(257), `"${'k'.repeat(257)}"`, `"${'\\"'.repeat(300)}"`],
    ]) {
      const response = await sendKeyed(server, key, namesBody(name));
      assert.equal(response.status, 400, key);
      assert.equal(response.json().type, 'urn:metricsstream:problem:key_invalid', key);
    }
    const connection = await RawConnection.open(server.port);
    const body = namesBody(name);
    connection.write(
      `POST /metrics HTTP/1.1\r\nHost: x\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    assertProblem(await connection.read(), 400);
    connection.close();
    assert.equal(storedCount(server.dataDir, name), 0);
  });

  it('belongs to its client', async (t) => {
    const server = await startServer(t, { args: ['--client-id', 'header:x-client'] });
    const name = uniqueName('client');
    for (const client of ['a', 'b']) {
      const first = await sendKeyed(server, 'key', namesBody(name), { 'X-Client': client });
      assertAccepted(first, 1);
      assertReplay(await sendKeyed(server, 'key', namesBody(name), { 'X-Client': client }), first);
    }
    // The boundary between client and key is part of the hash.
    assertAccepted(await sendKeyed(server, 'ckey', namesBody(name), { 'X-Client': 'x' }), 1);
    assertAccepted(await sendKeyed(server, 'key', namesBody(name), { 'X-Client': 'xc' }), 1);
    assert.equal(storedCount(server.dataDir, name), 4);
  });

  it('is refused where keys are off', async (t) => {
    const server = await startServer(t, { args: ['--idempotency-window-ms', '0'] });
    const problem = assertProblem(await sendKeyed(server, 'key', namesBody(uniqueName('off'))), 400);
    assert.match(String(problem.detail), /--idempotency-window-ms/);
    assertAccepted(await post(server.port, namesBody(uniqueName('off'))), 1);
  });

  it('that several workers get at once is stored once', async (t) => {
    const server = await startServer(t, { args: ['--workers', '8'] });
    const connections = await Promise.all(Array.from({ length: 32 }, () => RawConnection.open(server.port)));
    for (let round = 0; round < 20; round++) {
      const name = uniqueName('race');
      const request = postRequest(namesBody(name), { headers: { 'Idempotency-Key': name } });
      const answers = await Promise.all(connections.map((connection) => connection.request(request)));
      // A worker that finds the lock of the key's set held for 1 ms, by a thread that has no CPU, refuses with 503.
      for (const { status, body } of answers)
        assert.ok(
          status === 200 || status === 409 || body.includes('"idempotency_full"'),
          `${status} ${body}`,
        );
      const firsts = answers.filter(
        ({ status, header }) => status === 200 && header('idempotency-replayed') === undefined,
      );
      assert.equal(firsts.length, 1);
      assert.equal(storedCount(server.dataDir, name), 1);
    }
    for (const connection of connections) connection.close();
    const scrape = await Scrape.of(server.port);
    assert.equal(scrape.sum(`${PREFIX}keys_stored_total`), 20);
    assert.equal(scrape.sum(`${PREFIX}in_flight`), 0);
    const repeated = scrape.sum(`${PREFIX}replays_total`);
    const refused = scrape.sum('metricsstream_requests_total', 'status="409"');
    const unavailable = scrape.sum('metricsstream_requests_unavailable_total', 'reason="idempotency_full"');
    assert.equal(repeated + refused + unavailable, 20 * 31);
  });
});

describe('readers', () => {
  it('verify the log, and print the metrics without stamps', async (t) => {
    const server = await startServer(t);
    const name = uniqueName('tail');
    assertAccepted(await sendKeyed(server, 'key', bodyOf([metric(`${name}.a`), metric(`${name}.b`)])), 2);
    assertAccepted(await post(server.port, namesBody(`${name}.c`)), 1);
    await server.stop();
    assert.equal((await verify(server.dataDir)).code, 0);
    const { stdout } = await runCli(['tail', '--data-dir', server.dataDir]);
    const lines = stdout.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line) as unknown),
      ['a', 'b', 'c'].map((end) => metric(`${name}.${end}`)),
    );
  });
});
