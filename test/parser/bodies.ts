/** Random request bodies for tests: mostly valid, in every spelling that the grammar allows, then mutated bytewise. */

export type Random = () => number;

/** Mulberry32 numbers in [0, 1). */
export function randomFrom(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Seed of this run: TEST_SEED if set, else a new one, which the caller prints. */
export function testSeed(): number {
  const given = process.env.TEST_SEED;
  return given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
}

// biome-ignore format: a table
const NUMBERS = [
  '0', '-0', '1', '-1', '42.5', '1e3', '1E+2', '1.5e-7', '1e400', '-1e400', '5e-324', '1e-400', '0.1', '123456789012',
  '1234567890123456', '9007199254740993', '0.30000000000000004', '1.7976931348623157e308', '1700000000000',
  '1700000000000.5', '8.64e15', '8640000000000001', '123456789012345678901234567890', '-12345.678901234567',
  '3.14159265358979323846264338327950288',
];
const NOT_NUMBERS = ['00', '1.', '.5', '+1', '1e', '-', '01', '1.e1', 'NaN', '0x1', 'tru', 'nulll'];
// biome-ignore format: a table
const TEXTS = [
  'a', 'cpu.usage', 'host', 'web-1', 'region', 'eu', '', 'ü', '日本', '😀', 'tab\tbed', 'nul\0', 'del\x7f', 'c1\x85',
  'quote"', 'back\\slash', 'sl/ash', 'name', 'value', 'a much longer text that spans several machine words', 'seal',
  'x'.repeat(255), 'x'.repeat(256), '"seal":{', '}\n',
];
const FIELDS = ['name', 'value', 'type', 'timestamp', 'tags', 'extra', 'nam', 'names'];
const TYPES = ['gauge', 'counter', 'histogram', 'summary', 'Gauge', 'gauges', ''];

class Writer {
  private readonly random: Random;
  private readonly newline: string;

  constructor(random: Random, newline: string) {
    this.random = random;
    this.newline = newline;
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  private chance(part: number): boolean {
    return this.random() < part;
  }

  private pick(items: readonly string[]): string {
    return items[this.below(items.length)] ?? '';
  }

  private space(): string {
    return this.chance(0.9) ? '' : this.pick([' ', '\t', '\r', this.newline, '  ']);
  }

  /** A JSON string in one of its spellings. */
  private string(text: string): string {
    const style = this.random();
    if (style < 0.8) return JSON.stringify(text);
    let out = '"';
    for (let at = 0; at < text.length; at++) {
      const escaped =
        this.chance(0.3) || /["\\\0-\x1f]/.test(text[at] ?? '') || /\p{Surrogate}/u.test(text[at] ?? '');
      const code = text.charCodeAt(at).toString(16).padStart(4, '0');
      out += escaped ? `\\u${this.chance(0.5) ? code : code.toUpperCase()}` : text[at];
    }
    return `${out}"`;
  }

  private anyString(): string {
    return this.string(this.pick(TEXTS));
  }

  private object(members: readonly string[]): string {
    const s = (): string => this.space();
    return `{${members.map((member) => s() + member + s()).join(',')}${s()}}`;
  }

  private member(key: string, value: string): string {
    return `${this.string(key)}${this.space()}:${this.space()}${value}`;
  }

  private number(): string {
    return this.pick(this.chance(0.99) ? NUMBERS : NOT_NUMBERS);
  }

  /** A value of any kind, sometimes nested. */
  private anyValue(depth: number): string {
    switch (this.below(depth > 3 ? 5 : 7)) {
      case 0:
        return 'true';
      case 1:
        return this.chance(0.5) ? 'null' : 'false';
      case 2:
        return this.number();
      case 3:
      case 4:
        return this.anyString();
      case 5:
        return `[${Array.from({ length: this.below(4) }, () => this.anyValue(depth + 1)).join(',')}]`;
      default:
        return this.object(
          Array.from({ length: this.below(4) }, () =>
            this.member(this.pick(TEXTS), this.anyValue(depth + 1)),
          ),
        );
    }
  }

  private tags(): string {
    const count = this.chance(0.01) ? 60 + this.below(8) : this.below(4);
    const distinct = this.chance(0.9);
    return this.object(
      Array.from({ length: count }, (_, at) => {
        const key = distinct ? `${this.pick(['host', 'k', 'é'])}${at}` : this.pick(TEXTS);
        return this.member(key, this.chance(0.99) ? this.anyString() : this.anyValue(0));
      }),
    );
  }

  private field(name: string): string {
    if (this.chance(0.03)) return this.anyValue(0);
    if (name === 'name') return this.anyString();
    if (name === 'value') return this.number();
    if (name === 'type') return this.string(this.pick(TYPES.slice(0, this.chance(0.9) ? 4 : TYPES.length)));
    if (name === 'timestamp') return this.chance(0.7) ? `17${this.below(1e9)}00` : this.number();
    return name === 'tags' ? this.tags() : this.anyValue(0);
  }

  item(): string {
    if (this.chance(0.02)) return this.anyValue(0);
    const names = ['name', 'value'];
    for (const name of ['type', 'timestamp', 'tags']) if (this.chance(0.6)) names.push(name);
    if (this.chance(0.2)) names.push(this.pick(FIELDS));
    if (this.chance(0.05)) names.splice(this.below(names.length), 1);
    if (this.chance(0.4)) names.sort(() => this.random() - 0.5);
    return this.object(names.map((name) => this.member(name, this.field(name))));
  }

  document(): string {
    const items = Array.from(
      { length: this.chance(0.02) ? 0 : 1 + this.below(4) },
      () => this.space() + this.item(),
    );
    const members = [this.member('metrics', this.chance(0.98) ? `[${items.join(',')}]` : this.anyValue(0))];
    if (this.chance(0.1)) members.push(this.member('metrics', '[]'));
    while (this.chance(0.2)) members.push(this.member(this.pick(TEXTS), this.anyValue(0)));
    members.sort(() => this.random() - 0.5);
    return this.space() + this.object(members) + this.space();
  }

  lines(): string {
    const lines = Array.from({ length: this.below(5) }, () =>
      this.chance(0.1) ? this.pick(['', ' ', '\r', 'x']) : this.space() + this.item() + this.space(),
    );
    return lines.join('\n') + (this.chance(0.5) ? '\n' : '');
  }
}

/** A body in the JSON format. */
export function randomDocument(random: Random): Buffer {
  return Buffer.from(new Writer(random, '\n').document());
}

/** A body in the NDJSON format. */
export function randomLines(random: Random): Buffer {
  return Buffer.from(new Writer(random, ' ').lines());
}

const LIKELY_BYTES = Buffer.from('{}[]",:\\0123456789eE+-. \t\r\nutrf\0\x1f\x7f');

/** Returns a copy of `body` with bytes changed, removed, inserted, repeated or cut off. */
export function mutate(body: Buffer, random: Random): Buffer {
  const below = (limit: number): number => Math.floor(random() * limit);
  const at = below(body.length);
  const byte = random() < 0.7 ? (LIKELY_BYTES[below(LIKELY_BYTES.length)] ?? 0) : below(256);
  const kind = random();
  if (kind < 0.45) {
    const changed = Buffer.from(body);
    changed[at] = byte;
    return changed;
  }
  if (kind < 0.6) return Buffer.concat([body.subarray(0, at), body.subarray(at + 1)]);
  if (kind < 0.8) return Buffer.concat([body.subarray(0, at), Buffer.of(byte), body.subarray(at)]);
  if (kind < 0.9) return body.subarray(0, at);
  const from = below(body.length);
  const part = body.subarray(from, from + below(20));
  return Buffer.concat([body.subarray(0, at), part, body.subarray(at)]);
}
