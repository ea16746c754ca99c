import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodedBodyBound, encodedBound, encodeLines } from '../../src/encoder/line-encoder.ts';
import { columns } from '../../src/parser/columns.ts';
import { FORMAT_JSON, FORMAT_NDJSON, PARSED } from '../../src/parser/parser.ts';
import { createParser } from '../../src/parser/single-pass/single-pass.ts';
import { mutate, randomDocument, randomFrom, randomLines, testSeed } from '../parser/bodies.ts';
import { metricsOf, parseBody, RECEIPT_MS } from '../parser/judge.ts';
import { numberTexts } from '../parser/numbers.ts';

const MAX_BATCH = 2000;
const BODIES = 40_000;
/** The output is filled with this byte, so that the test detects every store. */
const UNTOUCHED = 0xa5;

const parser = createParser({ maxBodyBytes: 1 << 20, maxBatch: MAX_BATCH });
// The journal's memory is shared.
const out = new Uint8Array(new SharedArrayBuffer(2 << 20)).fill(UNTOUCHED);
const outView = new DataView(out.buffer);

/** Encodes the last parsed body and checks the bounds. */
function encode(bodyBytes: number, offset = 64, receiptMs = RECEIPT_MS): string {
  const bound = encodedBound(columns, bodyBytes);
  assert.ok(
    bound <= encodedBodyBound(bodyBytes, MAX_BATCH),
    'encodedBodyBound is not less than encodedBound',
  );
  const end = encodeLines(columns, receiptMs, out, outView, offset);
  assert.ok(end - offset <= bound, `${end - offset} bytes fit ${bound}`);
  for (let at = offset - 64; at < offset; at++) assert.equal(out[at], UNTOUCHED, 'nothing is written before');
  for (let at = offset + bound; at < offset + bound + 64; at++) {
    assert.equal(out[at], UNTOUCHED, 'nothing is written past the bound');
  }
  const text = Buffer.from(out.subarray(offset, end)).toString('utf8');
  out.fill(UNTOUCHED, offset, offset + bound);
  return text;
}

function linesOf(body: string): string {
  assert.equal(parseBody(parser, body), PARSED);
  assert.equal(parser.rejected, 0);
  return encode(Buffer.byteLength(body));
}

describe('line encoder', () => {
  it('writes timestamp, name, value, type and tags in this order, one metric per line', () => {
    const body =
      '{"metrics":[{"tags":{"host":"web-1"},"type":"counter","value":42.5,"name":"cpu","timestamp":1700000000000},' +
      '{"name":"mem","value":1}]}';
    assert.equal(
      linesOf(body),
      '{"timestamp":1700000000000,"name":"cpu","value":42.5,"type":"counter","tags":{"host":"web-1"}}\n' +
        `{"timestamp":${RECEIPT_MS},"name":"mem","value":1,"type":"gauge"}\n`,
    );
  });

  it('writes each of the four types', () => {
    for (const type of ['gauge', 'counter', 'histogram', 'summary']) {
      const line = linesOf(`{"metrics":[{"name":"a","value":1,"type":"${type}","timestamp":5}]}`);
      assert.equal(line, `{"timestamp":5,"name":"a","value":1,"type":"${type}"}\n`);
    }
  });

  it('copies names, values and tags as the client wrote them', () => {
    for (const name of [
      'a',
      'ab',
      'abcdefg',
      'abcdefgh',
      'abcdefghi',
      'x'.repeat(255),
      'caf\\u00e9 \\"q\\" \\\\',
      '日本 😀',
    ]) {
      for (const value of ['1', '-0', '1.50', '1E+2', '0.1', '12345678901234567890123456789012']) {
        const tags = `{"${name}":"${name}","":""}`;
        assert.equal(
          linesOf(`{"metrics":[{"name":"${name}","value":${value},"timestamp":1,"tags":${tags}}]}`),
          `{"timestamp":1,"name":"${name}","value":${value},"type":"gauge","tags":${tags}}\n`,
        );
      }
    }
  });

  it('writes values of more than 32 bytes in the shortest form of the same double', () => {
    const cases = [
      [`0.1${'0'.repeat(40)}`, '0.1'],
      [`-0.${'0'.repeat(40)}`, '-0'],
      [`1${'0'.repeat(40)}`, '1e+40'],
      [`0.${'0'.repeat(40)}25`, '2.5e-41'],
      [`123456789012345678901234567890123`, '1.2345678901234569e+32'],
    ];
    for (const [text, shortest] of cases) {
      assert.match(
        linesOf(`{"metrics":[{"name":"a","value":${text}}]}`),
        new RegExp(`"value":${shortest?.replace('+', '\\+')},`),
      );
    }
  });

  it('writes timestamps as plain digits, whatever their notation', () => {
    for (const [text, digits] of [
      ['1.7e12', '1700000000000'],
      ['1700000000000.0', '1700000000000'],
      ['-1', '-1'],
      ['-0', '0'],
      ['0', '0'],
      ['-8.64e15', '-8640000000000000'],
      ['8640000000000000', '8640000000000000'],
      ['12 ', '12'],
    ]) {
      assert.ok(
        linesOf(`{"metrics":[{"name":"a","value":1,"timestamp":${text}}]}`).startsWith(
          `{"timestamp":${digits},`,
        ),
        text,
      );
    }
    assert.equal(parseBody(parser, '{"metrics":[{"name":"a","value":1}]}'), PARSED);
    for (const receiptMs of [0, 1, 8.64e15])
      assert.ok(encode(40, 64, receiptMs).startsWith(`{"timestamp":${receiptMs},`));
  });

  it('drops white space between the tokens of tags and keeps it inside strings', () => {
    const tags = '{ "a b" :\t" c\\" , d " ,\r\n"e"\n: "\\\\" , "":"" }';
    assert.match(
      linesOf(`{"metrics":[{"name":"a","value":1,"tags":${tags}}]}`),
      /"tags":\{"a b":" c\\" , d ","e":"\\\\","":""\}\}\n$/,
    );
    assert.doesNotMatch(linesOf('{"metrics":[{"name":"a","value":1,"tags":{ }}]}'), /tags/);
  });

  it('never writes the beginning of a seal, whatever the body', () => {
    for (const text of ['seal', '"seal":{', '\\"seal\\":{', '{', ',"seal":{"', '\\u0022seal\\u0022:{']) {
      const string = JSON.stringify(text);
      for (const body of [
        `{"metrics":[{"name":${string},"value":1,"tags":{${string}:${string},"Seal":"{"}}]}`,
        `{"metrics":[{"name":"a","value":1,"tags":{ ${string} : ${string} , "Seal" : "{" }}]}`,
        '{"metrics":[{"name":"a","value":1,"seal":{"seal":{}}}]}',
        '{"metrics":[{"name":"a","value":1,"tags":{ "seal" : "{" , "a" : "seal"}}]}',
      ]) {
        assert.ok(!linesOf(body).includes('"seal":{'), body);
      }
    }
  });

  it('stays within its bound for the smallest and the worst items', () => {
    const items = [
      '{"name":"a","value":1}',
      '{"name":"a","value":1,"timestamp":1e3}',
      '{"name":"a","value":1,"timestamp":864e13}',
      '{"name":"a","value":1,"timestamp":-864e13}',
      '{"name":"a","value":1,"type":"histogram"}',
      '{"name":"a","value":1,"tags":{"":""}}',
    ];
    for (const item of items) {
      for (const count of [1, 2, 1000]) {
        const body = `{"metrics":[${Array(count).fill(item).join(',')}]}`;
        for (const receiptMs of [RECEIPT_MS, 8.64e15]) {
          assert.equal(parseBody(parser, body), PARSED);
          encode(body.length, 64, receiptMs);
        }
        const lines = Array(count).fill(item).join('\n');
        assert.equal(parseBody(parser, lines, FORMAT_NDJSON), PARSED);
        encode(lines.length, 64, 8.64e15);
      }
    }
  });

  it('writes lines that decode to the parsed metrics, for random and mutated bodies', (t) => {
    const seed = testSeed();
    t.diagnostic(`seed ${seed}: ${BODIES} bodies`);
    const random = randomFrom(seed);
    let metrics = 0;
    for (let count = 0; count < BODIES; count++) {
      const format = count % 2 === 0 ? FORMAT_JSON : FORMAT_NDJSON;
      let body = format === FORMAT_JSON ? randomDocument(random) : randomLines(random);
      // Copies read past the end of a span, so invalid bytes next to valid lines must not affect them.
      if (body.length > 0 && random() < 0.3) body = mutate(body, random);
      if (parseBody(parser, body, format) !== PARSED || parser.accepted === 0) continue;
      const read = metricsOf(parser);
      const text = encode(body.length, 64 + Math.floor(random() * 64));
      checkLines(text, read, `seed ${seed}: ${JSON.stringify(body.toString('latin1'))}`);
      metrics += read.length;
    }
    assert.ok(metrics > BODIES / 4, `${metrics} metrics were encoded`);
  });

  it('writes values that decode to the same double', () => {
    const texts = numberTexts(randomFrom(testSeed()), 10_000).filter((text) => Number.isFinite(Number(text)));
    for (let from = 0; from < texts.length; from += MAX_BATCH) {
      const part = texts.slice(from, from + MAX_BATCH);
      const lines = linesOf(
        `{"metrics":[${part.map((text) => `{"name":"n","value":${text}}`).join(',')}]}`,
      ).split('\n');
      for (const [at, text] of part.entries()) {
        const { value } = JSON.parse(lines[at] ?? '') as { value: number };
        assert.ok(Object.is(value, Number(text)), text);
      }
    }
  });
});

function checkLines(text: string, metrics: ReturnType<typeof metricsOf>, context: string): void {
  assert.ok(text.endsWith('}\n'), context);
  assert.ok(!text.includes('"seal":{'), context);
  const lines = text.split('\n');
  assert.equal(lines.length, metrics.length + 1, context);
  for (const [at, { name, value, type, timestamp, tags }] of metrics.entries()) {
    const line = JSON.parse(lines[at] ?? '') as Record<string, unknown>;
    const expected: Record<string, unknown> = { timestamp: timestamp ?? RECEIPT_MS, name, value, type };
    // The encoder omits empty tags.
    if (tags.length > 0) expected.tags = Object.fromEntries(tags);
    assert.deepEqual(line, expected, context);
    assert.deepEqual(Object.keys(line), Object.keys(expected), context);
    assert.ok(lines[at]?.endsWith('}'), context);
  }
}
