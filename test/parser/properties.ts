/** Properties that every parser must have for generated, mutated and truncated bodies. Set TEST_SEED to repeat a run. */
import assert from 'node:assert/strict';
import { isUtf8 } from 'node:buffer';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type CreateParser, FORMAT_JSON, FORMAT_NDJSON, MALFORMED, PARSED } from '../../src/parser/parser.ts';
import { mutate, randomDocument, randomFrom, randomLines, testSeed } from './bodies.ts';
import { assertFirstBadByte, isSyntaxFailure, judge, metricsOf, parseBody, RECEIPT_MS } from './judge.ts';
import { numberTexts } from './numbers.ts';

const ROUNDS = Number(process.env.TEST_ROUNDS ?? 1);
const DOCUMENTS = 10_000 * ROUNDS;
const MUTANTS = 10;
const NUMBERS = 120_000 * ROUNDS;
const NUMBERS_A_BODY = 1000;

const FULL_ITEM =
  '{"name":"disk.\\u0069o","value":-12.5e1,"type":"histogram","timestamp":1700000000000,' +
  '"tags":{"host":"web-1","ü":"\\ud83d\\ude00"},"x":[true,{"y":null},"\\n",1e5,"日"]}';

export function parserProperties(name: string, createParser: CreateParser): void {
  const parser = createParser({ maxBodyBytes: 1 << 20, maxBatch: NUMBERS_A_BODY });
  const seed = testSeed();

  describe(`${name}: properties`, () => {
    it(`agrees with the reference and with JSON.parse on generated and mutated bodies`, (t) => {
      t.diagnostic(`seed ${seed}: ${2 * DOCUMENTS * (1 + MUTANTS)} bodies`);
      const random = randomFrom(seed);
      for (const format of [FORMAT_JSON, FORMAT_NDJSON] as const) {
        for (let count = 0; count < DOCUMENTS; count++) {
          const whole = format === FORMAT_JSON ? randomDocument(random) : randomLines(random);
          let body = whole;
          for (let mutant = 0; mutant <= MUTANTS; mutant++) {
            try {
              checkBody(body, format);
            } catch (error) {
              throw new Error(
                `seed ${seed}, format ${format}, body ${JSON.stringify(body.toString('latin1'))}`,
                {
                  cause: error,
                },
              );
            }
            // Usually a single mutation: it then lies deep inside an otherwise valid body.
            body = mutate(random() < 0.8 || body.length === 0 ? whole : body, random);
          }
        }
      }
    });

    function checkBody(body: Buffer, format: typeof FORMAT_JSON | typeof FORMAT_NDJSON): void {
      if (format === FORMAT_NDJSON) {
        judge(parser, body, format);
        return;
      }
      // Most mutated bodies are not JSON; JSON.parse decides that quickly.
      if (isUtf8(body) && parsesAsJson(body)) {
        judge(parser, body, format);
      } else {
        assert.equal(parseBody(parser, body), MALFORMED);
        assert.ok(isSyntaxFailure(parser), parser.failure().reason);
        assertFirstBadByte(parser, body);
      }
    }

    it('reads back every metric that JSON.stringify can write', () => {
      const text = fc.string({ unit: 'binary', maxLength: 40 });
      const metric = fc.record(
        {
          name: text.filter((value) => value.length > 0 && !/\p{Cc}/u.test(value)),
          value: fc.double({ noNaN: true, noDefaultInfinity: true }),
          type: fc.constantFrom('gauge', 'counter', 'histogram', 'summary'),
          timestamp: fc.integer({ min: -8.64e15, max: 8.64e15 }),
          tags: fc.array(fc.tuple(text, text), { maxLength: 6 }),
          extra: fc.jsonValue({ maxDepth: 5 }),
        },
        { requiredKeys: ['name', 'value'] },
      );
      const property = fc.property(
        fc.array(metric, { minLength: 1, maxLength: 5 }),
        fc.constantFrom('', ' ', '\t', '\n'),
        (metrics, indent) => {
          const items = metrics.map(({ tags, ...rest }) =>
            tags ? { ...rest, tags: Object.fromEntries(tags) } : rest,
          );
          const body = JSON.stringify({ x: [items], metrics: items }, null, indent);
          assert.equal(parseBody(parser, body), PARSED);
          assert.equal(parser.rejected, 0, parser.errors()[0]?.reason);
          const read = metricsOf(parser);
          for (const [at, item] of items.entries()) {
            const { extra, ...wanted } = { type: 'gauge', timestamp: null, tags: {}, ...item };
            // JSON.stringify writes -0 as 0.
            const expected = { ...wanted, value: wanted.value + 0 };
            assert.deepEqual({ ...read[at], tags: Object.fromEntries(read[at]?.tags ?? []) }, expected);
          }
        },
      );
      fc.assert(property, { numRuns: 2000 * ROUNDS, seed });
    });

    it('yields the nearest double of every number, bit for bit', (t) => {
      t.diagnostic(`seed ${seed}`);
      const texts = numberTexts(randomFrom(seed), NUMBERS);
      for (let from = 0; from < texts.length; from += NUMBERS_A_BODY) {
        const part = texts.slice(from, from + NUMBERS_A_BODY).filter((text) => Number.isFinite(Number(text)));
        const body = `{"metrics":[${part.map((text) => `{"name":"n","value":${text}}`).join(',')}]}`;
        assert.equal(parseBody(parser, body), PARSED, `seed ${seed}`);
        assert.equal(parser.rejected, 0);
        const metrics = metricsOf(parser);
        for (const [row, text] of part.entries()) {
          assert.ok(Object.is(metrics[row]?.value, Number(text)), `${text}: ${metrics[row]?.value}`);
        }
      }
    });

    it('reports every prefix of a body as incomplete, whatever bytes follow in the buffer', () => {
      const body = Buffer.from(
        ` {"x":[{}],"metrics":[${FULL_ITEM},{"name":"b","value":0}],"y":{"z":[-0.5E-3]}}`,
      );
      assert.equal(parseBody(parser, body), PARSED);
      for (let length = 0; length < body.length; length++) {
        // The bytes that would complete the body follow immediately.
        parser.input.set(body, 0);
        assert.equal(parser.parse(length, FORMAT_JSON, RECEIPT_MS, 0), MALFORMED);
        const { offset, reason } = parser.failure();
        assert.deepEqual(
          { offset, reason },
          { offset: length, reason: 'unexpected end of body' },
          `${length} bytes`,
        );
      }
    });

    it('reports every prefix of a line as an invalid item, whatever bytes follow in the buffer', () => {
      const line = Buffer.from(`${FULL_ITEM}\n`);
      for (let length = 1; length < line.length - 1; length++) {
        parser.input.set(line, 0);
        assert.equal(parser.parse(length, FORMAT_NDJSON, RECEIPT_MS, 0), PARSED);
        assert.deepEqual(
          parser.errors(),
          [{ index: 0, offset: length, field: '', reason: 'malformed JSON: unexpected end of line' }],
          `${length} bytes`,
        );
      }
    });

    it('ignores bytes that a longer body left in the buffer', () => {
      const random = randomFrom(seed);
      for (let count = 0; count < 500; count++) {
        const body = randomDocument(random);
        const prior = randomDocument(random);
        parser.input.fill(0x20, 0, 4096);
        const fresh = outcomeOf(body);
        parseBody(parser, Buffer.concat([prior, body, prior]));
        assert.deepEqual(outcomeOf(body), fresh, `seed ${seed}`);
      }
    });

    function outcomeOf(body: Buffer): unknown {
      const outcome = parseBody(parser, body);
      return outcome === PARSED ? [metricsOf(parser), parser.errors()] : parser.failure();
    }

    it('validates UTF-8 by the Unicode standard in names, tags and skipped strings', () => {
      const sequences: number[][] = [];
      const edges = [0x00, 0x22, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
      for (let lead = 0x80; lead < 0x100; lead++) {
        sequences.push([lead]);
        for (let second = 0; second < 0x100; second++) sequences.push([lead, second]);
        if (lead < 0xe0) continue;
        for (const second of edges) {
          for (const third of edges) {
            sequences.push([lead, second, third]);
            for (const fourth of edges) sequences.push([lead, second, third, fourth]);
          }
        }
      }
      const around = ['{"metrics":[{"name":"n', '","value":1,"tags":{"k', '":"v', '"},"x":"y', '"}]}'];
      for (const sequence of sequences) {
        // A quote or a control character would end the string; other tests cover that.
        if (sequence.some((byte) => byte < 0x20 || byte === 0x22)) continue;
        const bytes = Buffer.from(sequence);
        const valid = isUtf8(bytes);
        for (let place = 1; place < around.length; place++) {
          const body = Buffer.concat([
            Buffer.from(around.slice(0, place).join('')),
            bytes,
            Buffer.from(around.slice(place).join('')),
          ]);
          assert.equal(parseBody(parser, body) === PARSED, valid, `${bytes.toString('hex')} at ${place}`);
        }
      }
    });

    it('accepts escaped surrogates in pairs only', () => {
      const units = [0x0041, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000];
      const escaped = (unit: number): string => `\\u${unit.toString(16)}`.replace('\\u41', '\\u0041');
      for (const first of units) {
        for (const second of units) {
          for (const text of [escaped(first) + escaped(second), `${escaped(first)}x${escaped(second)}`]) {
            const valid = !/\p{Surrogate}/u.test(JSON.parse(`"${text}"`) as string);
            for (const body of [
              `{"metrics":[{"name":"${text}","value":1}]}`,
              `{"metrics":[{"name":"a","value":1,"tags":{"${text}":"b"}}]}`,
              `{"metrics":[{"name":"a","value":1,"tags":{"b":"${text}"}}]}`,
              `{"metrics":[{"name":"a","value":1,"type":"gauge","x":"${text}"}],"${text}":0}`,
            ]) {
              assert.equal(parseBody(parser, body) === PARSED, valid, body);
            }
          }
        }
      }
    });
  });
}

function parsesAsJson(body: Buffer): boolean {
  const { stackTraceLimit } = Error;
  // Most calls throw; building stack traces would dominate the run time.
  Error.stackTraceLimit = 0;
  try {
    JSON.parse(body.toString('utf8'));
    return true;
  } catch {
    return false;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
