/** Random bodies as most clients send them, with now and then a detail that the SIMD module must get right or refuse. */
import type { Random } from './bodies.ts';

/** Lengths around the 16 and 32 bytes that the module handles at once, and around the contract's limit of 255. */
const LENGTHS = [1, 2, 7, 14, 15, 16, 17, 30, 31, 32, 33, 47, 48, 63, 64, 65, 254, 255, 256];
const ODD_TEXTS = [
  '', 'ü', 'münchen', '日本語テキスト', '😀', 'a\\\\b', 'q\\"q', 'tab\\t', 'sl\\/ash', 'del\x7f', 'c1\x85', 'nbsp\xa0', 'nul\\u0000',
  '\\u0041bc', '\\u007f', '\\u0080', '\\u07ff', '\\uffff', '\\ud83d\\ude00', '\\ud83d', '\\ude00', '\\ud83d\\u0041', '\\x', '\\u00g0',
  `${'e'.repeat(20)}\x7f`, `${'e'.repeat(40)}\x7f`, `${'e'.repeat(31)}é`, `${'x'.repeat(15)}\\n`, '!bang ', 'a b', 'raw\ttab',
]; // biome-ignore format: a table
const ODD_NUMBERS = [
  '0', '-0', '-1', '0.1', '83.45678901234567', '123456789012345678', '1e5', '1E+22', '1e-7', '1e99', '1e308', '1e309', '1e999', '5e-324',
  '0.00000000000000000000000000001', '3.141592653589793238462643383279', '3.1415926535897932384626433832795', '01', '1.', '.5', '-', '+1',
  '1e', '1e+', '-.5', 'NaN', 'true', 'null', '"1"', '0e999', '1e005', '12345678901234567890123456789012', '123456789012345678901234567890e1',
  '123456789012345678901234567890e12', '1234567890123456789012345678901', '123456789012345678901234567890.', '1.5.5', '1-1', '1e5e5',
]; // biome-ignore format: a table
const ODD_TIMESTAMPS = [
  '0', '1', '-5', '1.7e12', '1760000000000.0', '8640000000000000', '8640000000000001', '123456789012345', '1234567890123456', '012', '"1"',
  '1.5', '-0', '1760000000000 ', '', '12345678901234567', '1760000000000e0',
]; // biome-ignore format: a table
const ODD_TYPES = [
  '"gauges"',
  '"gaug"',
  '"histogra"',
  '"coun\\u0074er"',
  '"GAUGE"',
  'null',
  '"counter',
  '""',
  '"summary" ',
];
const ODD_VALUES = [
  '"ms"', '1', 'true', 'false', 'null', 'tru', 'nul', 'falsy', '[]', '{}', '[ ]', '{"a":[1,2,{"b":null}]}', '{"a":1,}', '[1,]', '[1}', '[1',
  '1e999', '"\\ud800"', '[{"a":[1,2,{}],"b":"\\n"},[],"x"]', '{"a" : [ 1 , "b" ] }', '{a:1}', '{"a"}', '{"a":}', '[,]', ']', '"ü"',
  ...[61, 62, 63, 64].flatMap((depth) => ['['.repeat(depth) + ']'.repeat(depth), `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`]),
]; // biome-ignore format: a table
const TYPES = ['"gauge"', '"counter"', '"histogram"', '"summary"'];
const TAG_KEYS = [
  'host',
  'service',
  'region',
  'k',
  '',
  'a'.repeat(13),
  'b'.repeat(15),
  'c'.repeat(16),
  'd'.repeat(40),
  'kéy',
  'h\\u006fst',
];
const ODD_TAGS = [
  '{}',
  '{ }',
  'null',
  '[]',
  '"x"',
  '{"a":1}',
  '{"a":{"b":"c"}}',
  '{"a":"b",}',
  '{"a":"b","a":"c"}',
  '{"a":"b" "c":"d"}',
  '{,}',
];
const OTHER_KEYS = ['unit', 'help', 'names', 'valu', 'timestamps', 'na', '', 'n\\u0061me', 'vàlue'];

class OrdinaryWriter {
  private readonly random: Random;
  private readonly isNdjson: boolean;
  /** Part of the details that are odd, and part of the tokens with white space around them, in this body. */
  private readonly odd: number;
  private readonly spaced: number;
  private lastTags = '{"host":"web-1"}';

  constructor(random: Random, isNdjson: boolean) {
    this.random = random;
    this.isNdjson = isNdjson;
    this.odd = random() < 0.5 ? 0 : random() < 0.5 ? 0.01 : 0.1;
    this.spaced = random() < 0.5 ? 0 : random() < 0.5 ? 0.1 : 1;
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  private pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }

  private isOdd(): boolean {
    return this.odd > 0 && this.random() < this.odd;
  }

  /** After a colon or comma as Python writes it, or anywhere. */
  private space(): string {
    if (this.spaced === 0 || this.random() >= this.spaced) return '';
    if (this.spaced === 1) return ' ';
    return this.pick([' ', '  ', '\t', '\r', this.isNdjson ? ' ' : '\n']);
  }

  private text(): string {
    if (this.isOdd()) return this.pick(ODD_TEXTS);
    const text = `web-${this.below(500)}.eu-central-1`;
    return this.random() < 0.9 ? text : 'n'.repeat(this.pick(LENGTHS));
  }

  private number(): string {
    if (this.isOdd()) return this.pick(ODD_NUMBERS);
    const kind = this.below(3);
    return String(kind === 0 ? this.below(1e6) : kind === 1 ? this.below(1e4) / 100 : this.random() * 100);
  }

  private tags(): string {
    if (this.isOdd()) return this.pick(ODD_TAGS);
    if (this.random() < 0.3) return this.lastTags;
    const count = this.isOdd() ? 62 + this.below(5) : this.below(5);
    const members = Array.from({ length: count }, (_, at) => {
      const key = count > 5 ? `k${at}` : this.isOdd() ? this.pick(TAG_KEYS) : TAG_KEYS[at];
      return `"${key}":${this.space()}"${this.text()}"`;
    });
    this.lastTags = `{${members.join(`,${this.space()}`)}}`;
    return this.lastTags;
  }

  private item(): string {
    if (this.isOdd() && this.random() < 0.3)
      return this.pick(['1', 'null', '"x"', '[]', '{}', '{ }', '{', '']);
    const members = [`"name":${this.space()}"${this.text()}"`, `"value":${this.space()}${this.number()}`];
    if (this.random() < 0.7)
      members.push(`"type":${this.space()}${this.isOdd() ? this.pick(ODD_TYPES) : this.pick(TYPES)}`);
    if (this.random() < 0.7)
      members.push(
        `"timestamp":${this.space()}${this.isOdd() ? this.pick(ODD_TIMESTAMPS) : 17e11 + this.below(1e9)}`,
      );
    if (this.random() < 0.6) members.push(`"tags":${this.space()}${this.tags()}`);
    if (this.isOdd() || this.random() < 0.03)
      members.push(
        `"${this.pick(OTHER_KEYS)}":${this.space()}${this.isOdd() ? this.pick(ODD_VALUES) : '"ms"'}`,
      );
    if (this.isOdd()) members.push(this.pick(members));
    if (this.isOdd()) members.splice(this.below(members.length), 1);
    if (this.isOdd() || this.random() < 0.1) members.sort(() => this.random() - 0.5);
    return `{${members.join(`,${this.space()}`)}${this.spaced < 1 ? this.space() : ''}}`;
  }

  body(): string {
    const items = Array.from({ length: this.pick([1, 1, 2, 3, 5, 12]) }, () => this.item());
    if (this.isNdjson) {
      const between = this.pick(['\n', '\n', '\n', '\r\n', '\n\n', '\n \n', ' \n']);
      return items.join(between) + this.pick(['', '\n', '\n\n ']);
    }
    const before = this.isOdd() ? this.pick(['"a":1,', '"metrics":[],', '"a":{"b":[]},']) : '';
    const after = this.isOdd() ? this.pick([',"a":1', ',"metrics":[]', ',', 'x']) : '';
    return `{${before}"metrics":${this.space()}[${items.join(`,${this.space()}`)}]${after}}${this.space()}`;
  }
}

export function ordinaryBody(random: Random, isNdjson: boolean): Buffer {
  return Buffer.from(new OrdinaryWriter(random, isNdjson).body());
}
