import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { bodyOf, type MetricInput, metric, namesBody, ndjsonBody, uniqueName } from '../support/bodies.ts';
import { describeEachImplementation } from '../support/each-phase.ts';
import { post, postRequest, RawConnection } from '../support/raw-http.ts';
import { WITH_WAL } from '../support/server-process.ts';
import { readStored, type StoredMetric } from '../support/stored.ts';

describeEachImplementation(
  { args: ['--workers', '2', '--rate-limit', '0'], env: WITH_WAL },
  (server, phase) => {
    async function storedNamed(...names: string[]): Promise<StoredMetric[]> {
      if (phase.slots.writer === 'write-ahead') await settled();
      return readStored(server.dataDir).filter((stored) => names.includes(stored.name));
    }

    /** Lines reach the files behind the answers, those of a commit together: two later lines come after all others. */
    async function settled(): Promise<void> {
      for (let k = 0; k < 2; k++) {
        const name = uniqueName('settled');
        assertAccepted(await post(server.port, namesBody(name)), 1);
        await eventually('the line is in the files', () =>
          readStored(server.dataDir).some((stored) => stored.name === name),
        );
      }
    }

    describe('posting metrics', () => {
      it('stores one metric with all its fields before it answers', async () => {
        const sent = metric(uniqueName('one'), 42.5);
        assertAccepted(await post(server.port, bodyOf([sent])), 1);
        assert.deepEqual(await storedNamed(sent.name), [sent]);
      });

      it('stores a batch in the order sent', async () => {
        const names = Array.from({ length: 1000 }, () => uniqueName('batch'));
        assertAccepted(await post(server.port, namesBody(...names)), 1000);
        assert.deepEqual(
          (await storedNamed(...names)).map((stored) => stored.name),
          names,
        );
      });

      it('accepts the largest batch allowed by default', async () => {
        const names = Array.from({ length: 10_000 }, () => uniqueName('largest'));
        assertAccepted(await post(server.port, namesBody(...names)), 10_000);
      });

      it('answers with a JSON content type', async () => {
        const response = await post(server.port, namesBody(uniqueName('type')));
        assert.match(response.header('content-type') ?? '', /^application\/json/);
      });

      it('stores the defaults: type gauge, the time of receipt, no tags', async () => {
        const name = uniqueName('defaults');
        const before = Date.now();
        assertAccepted(await post(server.port, bodyOf([{ name, value: 1 }])), 1);
        const [stored] = await storedNamed(name);
        assert.equal(stored?.type, 'gauge');
        assert.equal(stored?.value, 1);
        assert.ok(
          stored.timestamp >= before - 1 && stored.timestamp <= Date.now() + 1,
          String(stored.timestamp),
        );
        assert.equal(Object.keys(stored.tags ?? {}).length, 0);
      });

      it('stores every metric type', async () => {
        const types = ['counter', 'gauge', 'histogram', 'summary'];
        const name = uniqueName('types');
        assertAccepted(await post(server.port, bodyOf(types.map((type) => ({ name, value: 1, type })))), 4);
        assert.deepEqual(
          (await storedNamed(name)).map((stored) => stored.type),
          types,
        );
      });

      it('round-trips doubles exactly', async () => {
        const name = uniqueName('doubles');
        const texts = [
          '0.1',
          '5e-324',
          '1.7976931348623157e308',
          '9007199254740993',
          '-0',
          '1E+2',
          '0.30000000000000004',
        ];
        const body = `{"metrics":[${texts.map((text) => `{"name":"${name}","value":${text}}`).join(',')}]}`;
        assertAccepted(await post(server.port, body), texts.length);
        const values = (await storedNamed(name)).map((stored) => stored.value);
        assert.deepEqual(values, texts.map(Number));
      });

      it('preserves text beyond ASCII, escapes and white space', async () => {
        const sent: MetricInput = {
          name: `${uniqueName('text')}.größe.温度.😀 "quoted" \\ /`,
          value: -1.5e-7,
          type: 'counter',
          timestamp: 1,
          tags: { 'key "k"': 'line\nbreak\ttab', пусто: '' },
        };
        const escaped = JSON.stringify({ metrics: [sent] }, null, 2).replace(
          /[\u0080-\uffff]/g,
          (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
        );
        assertAccepted(await post(server.port, escaped), 1);
        assertAccepted(await post(server.port, bodyOf([sent])), 1);
        assert.deepEqual(await storedNamed(sent.name), [sent, sent]);
      });

      it('skips unknown members', async () => {
        const name = uniqueName('unknown');
        const body = JSON.stringify({
          source: { nested: [1, [2, { deep: null }]] },
          metrics: [{ name, value: 3, unit: 'ms', extra: { a: [true] } }],
          trailer: 'x',
        });
        assertAccepted(await post(server.port, body), 1);
        assert.equal((await storedNamed(name)).length, 1);
      });

      for (const type of [
        'application/json; charset=utf-8',
        'application/vnd.metrics+json',
        'Application/JSON',
      ]) {
        it(`accepts content type ${type}`, async () => {
          const name = uniqueName('content-type');
          const headers = { 'Content-Type': type };
          assertAccepted(await post(server.port, namesBody(name), { headers }), 1);
        });
      }

      it('treats a body without content type as JSON', async () => {
        const name = uniqueName('no-type');
        const connection = await RawConnection.open(server.port);
        assertAccepted(
          await connection.request({ method: 'POST', path: '/metrics', body: namesBody(name) }),
          1,
        );
        connection.close();
        assert.equal((await storedNamed(name)).length, 1);
      });

      it('ignores a query string', async () => {
        const name = uniqueName('query');
        assertAccepted(await post(server.port, namesBody(name), { path: '/metrics?source=a' }), 1);
      });
    });

    describe('partial acceptance', () => {
      const invalid = { name: 'x', value: '1' };

      it('stores the valid items and lists the invalid ones with index, offset, field and reason', async () => {
        const [first, second] = [uniqueName('partial'), uniqueName('partial')];
        const body = bodyOf([metric(first), invalid, metric(second)]);
        const response = await post(server.port, body);
        assert.equal(response.status, 200);
        const { accepted, rejected, errors } = response.json() as {
          accepted: number;
          rejected: number;
          errors: { index: number; offset: number; field: string; reason: string }[];
        };
        assert.deepEqual([accepted, rejected, errors.length], [2, 1, 1]);
        assert.equal(errors[0]?.index, 1);
        assert.equal(errors[0]?.field, 'value');
        assert.match(errors[0]?.reason ?? '', /number/);
        const itemStart = body.indexOf('{"name":"x"');
        const offset = errors[0]?.offset ?? -1;
        assert.ok(offset >= itemStart && offset < body.indexOf('}', itemStart), `offset ${offset}`);
        assert.equal((await storedNamed(first, second)).length, 2);
      });

      it('lists the first ten errors and counts all', async () => {
        const name = uniqueName('many-errors');
        const response = await post(
          server.port,
          bodyOf([...Array.from({ length: 25 }, () => invalid), metric(name)]),
        );
        const answer = response.json() as { accepted: number; rejected: number; errors: { index: number }[] };
        assert.deepEqual([answer.accepted, answer.rejected], [1, 25]);
        assert.deepEqual(
          answer.errors.map((error) => error.index),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        );
      });

      const brokenItems: [string, string, string][] = [
        ['a value that is a string', '{"name":"x","value":"1"}', 'value'],
        ['a value beyond the doubles', '{"name":"x","value":1e400}', 'value'],
        ['a missing value', '{"name":"x"}', 'value'],
        ['an empty name', '{"name":"","value":1}', 'name'],
        ['a missing name', '{"value":1}', 'name'],
        ['a name of 256 bytes', `{"name":"${'n'.repeat(256)}","value":1}`, 'name'],
        ['a name with a control character', '{"name":"a\\u0007b","value":1}', 'name'],
        ['an unknown type', '{"name":"x","value":1,"type":"rate"}', 'type'],
        ['a fractional timestamp', '{"name":"x","value":1,"timestamp":1.5}', 'timestamp'],
        ['a tag that is not a string', '{"name":"x","value":1,"tags":{"a":1}}', 'tags'],
        [
          '65 tags',
          JSON.stringify({
            name: 'x',
            value: 1,
            tags: Object.fromEntries(Array.from({ length: 65 }, (_, k) => [`k${k}`, 'v'])),
          }),
          'tags',
        ],
        ['a field given twice', '{"name":"x","value":1,"value":2}', 'value'],
        ['a tag given twice', '{"name":"x","value":1,"tags":{"a":"1","a":"2"}}', 'tags'],
        ['an item that is not an object', '[]', ''],
      ];
      for (const [what, item, field] of brokenItems) {
        it(`rejects ${what} and stores the item beside it`, async () => {
          const name = uniqueName('beside');
          const response = await post(server.port, `{"metrics":[${item},${JSON.stringify(metric(name))}]}`);
          assert.equal(response.status, 200, response.body.toString());
          const answer = response.json() as {
            accepted: number;
            rejected: number;
            errors: { index: number; field: string }[];
          };
          assert.deepEqual([answer.accepted, answer.rejected, answer.errors[0]?.index], [1, 1, 0]);
          if (field !== '') assert.ok(answer.errors[0]?.field.startsWith(field), response.body.toString());
          assert.equal((await storedNamed(name)).length, 1);
        });
      }

      it('refuses the whole request for one invalid item under Prefer: handling=strict', async () => {
        const name = uniqueName('strict');
        const body = bodyOf([metric(name), invalid]);
        const problem = assertProblem(
          await post(server.port, body, { headers: { Prefer: 'handling=strict' } }),
          400,
        );
        assert.ok(problem.errors !== undefined || problem.field !== undefined, JSON.stringify(problem));
        assert.equal((await storedNamed(name)).length, 0);
      });

      it('accepts a valid request under Prefer: handling=strict', async () => {
        const headers = { Prefer: 'return=minimal, handling=strict' };
        assertAccepted(await post(server.port, namesBody(uniqueName('strict')), { headers }), 1);
      });

      it('answers 400 when no item is valid', async () => {
        assertProblem(await post(server.port, bodyOf([invalid, invalid])), 400);
      });
    });

    describe('NDJSON', () => {
      const headers = { 'Content-Type': 'application/x-ndjson' };

      it('stores one metric per line', async () => {
        const sent = [metric(uniqueName('nd'), 1), metric(uniqueName('nd'), 2)];
        assertAccepted(await post(server.port, ndjsonBody(sent), { headers }), 2);
        assert.deepEqual(await storedNamed(...sent.map((item) => item.name)), sent);
      });

      it('accepts a last line without its newline, CRLF line ends and empty lines', async () => {
        const names = [uniqueName('nd'), uniqueName('nd'), uniqueName('nd')];
        const [a, b, c] = names.map((name) => JSON.stringify(metric(name)));
        assertAccepted(await post(server.port, `\n${a}\r\n\n${b}\n\n\n${c}`, { headers }), 3);
        assert.equal((await storedNamed(...names)).length, 3);
      });

      it('uses the line number as the index of an error, without counting empty lines', async () => {
        const names = [uniqueName('nd'), uniqueName('nd')];
        const [a, b] = names.map((name) => JSON.stringify(metric(name)));
        const response = await post(server.port, `\n${a}\n\nno json\n[1]\n${b}\n`, { headers });
        assert.equal(response.status, 200, response.body.toString());
        const answer = response.json() as { accepted: number; rejected: number; errors: { index: number }[] };
        assert.deepEqual([answer.accepted, answer.rejected], [2, 2]);
        assert.deepEqual(
          answer.errors.map((error) => error.index),
          [1, 2],
        );
        assert.equal((await storedNamed(...names)).length, 2);
      });

      it('answers 400 when no line is a metric', async () => {
        assertProblem(await post(server.port, 'a\nb\n', { headers }), 400);
      });

      it('answers 400 for a body of empty lines', async () => {
        assertProblem(await post(server.port, '\n\n', { headers }), 400);
      });
    });

    describe('compressed bodies', () => {
      it('stores a gzip body', async () => {
        const name = uniqueName('gzip');
        const headers = { 'Content-Encoding': 'gzip' };
        assertAccepted(await post(server.port, gzipSync(namesBody(name)), { headers }), 1);
        assert.equal((await storedNamed(name)).length, 1);
      });

      it('stores a gzip NDJSON body', async () => {
        const name = uniqueName('gzip');
        const headers = { 'Content-Encoding': 'gzip', 'Content-Type': 'application/x-ndjson' };
        assertAccepted(await post(server.port, gzipSync(ndjsonBody([metric(name)])), { headers }), 1);
      });

      it('accepts the identity encoding', async () => {
        const headers = { 'Content-Encoding': 'identity' };
        assertAccepted(await post(server.port, namesBody(uniqueName('identity')), { headers }), 1);
      });

      it('refuses a body that is not gzip, and a truncated one, and stores nothing', async () => {
        const name = uniqueName('gzip-broken');
        const headers = { 'Content-Encoding': 'gzip' };
        const compressed = gzipSync(namesBody(name));
        assertProblem(await post(server.port, namesBody(name), { headers }), 400);
        assertProblem(
          await post(server.port, compressed.subarray(0, compressed.length - 9), { headers }),
          400,
        );
        const flipped = Buffer.from(compressed);
        flipped[flipped.length - 6] = flipped[flipped.length - 6]! ^ 1;
        assertProblem(await post(server.port, flipped, { headers }), 400);
        assert.equal((await storedNamed(name)).length, 0);
      });
    });

    describe('malformed JSON', () => {
      const name = uniqueName('malformed');
      const good = JSON.stringify(metric(name));
      const bodies: [string, string][] = [
        ['an empty body', ''],
        ['text', 'metrics'],
        ['a trailing comma', `{"metrics":[${good},]}`],
        ['a comment', `{"metrics":[${good}]}/* */`],
        ['NaN', `{"metrics":[${good},{"name":"x","value":NaN}]}`],
        ['a leading zero', `{"metrics":[${good},{"name":"x","value":01}]}`],
        ['a byte order mark', `\ufeff{"metrics":[${good}]}`],
        ['a raw control character', `{"metrics":[${good},{"name":"a\u0001","value":1}]}`],
        ['a lone surrogate', `{"metrics":[${good},{"name":"\\ud800","value":1}]}`],
        ['a second value', `{"metrics":[${good}]}{}`],
        ['a missing brace', `{"metrics":[${good}]`],
        ['metrics given twice', `{"metrics":[${good}],"metrics":[${good}]}`],
        ['metrics that is not an array', `{"metrics":${good}}`],
        ['no metrics', '{}'],
        ['an array', `[${good}]`],
        ['an empty batch', '{"metrics":[]}'],
        ['nesting of 65', `{"metrics":[${good}],"x":${'['.repeat(65)}${']'.repeat(65)}}`],
      ];
      for (const [what, body] of bodies) {
        it(`refuses ${what} with the place and stores nothing`, async () => {
          const problem = assertProblem(await post(server.port, body), 400);
          assert.ok(Number.isInteger(problem.offset), JSON.stringify(problem));
          assert.equal(typeof problem.reason, 'string');
          assert.equal((await storedNamed(name)).length, 0);
        });
      }

      it('refuses invalid UTF-8', async () => {
        const body = Buffer.from(bodyOf([{ name: 'caf\u00e9', value: 1 }]), 'latin1');
        const problem = assertProblem(await post(server.port, body), 400);
        const lead = body.indexOf(0xe9);
        // The lead byte, or the byte after it that does not continue the sequence.
        assert.ok(problem.offset === lead || problem.offset === lead + 1, String(problem.offset));
      });

      it('keeps the connection of a refused body', async () => {
        const connection = await RawConnection.open(server.port);
        assertProblem(await connection.request(postRequest('{"metrics":[')), 400);
        assertAccepted(await connection.request(postRequest(namesBody(uniqueName('after')))), 1);
        connection.close();
      });
    });
  },
);
