/**
 * The contract's rules in their simplest form, for tests: a recursive JSON reader that uses regular expressions, and a
 * validator that walks its tree. Text has one character per byte (latin1), so positions are byte offsets.
 */
import { isUtf8 } from 'node:buffer';

export interface ReferenceMetric {
  name: string;
  value: number;
  type: 'gauge' | 'counter' | 'histogram' | 'summary';
  timestamp: number | null;
  tags: [string, string][];
}

interface ReferenceError {
  index: number;
  offset: number;
  field: string;
  reason: string;
}

export interface ReferenceResult {
  outcome: 'parsed' | 'malformed' | 'too large';
  /** For malformed bodies: true for a syntax error, false for an error of structure. */
  syntax: boolean;
  metrics: ReferenceMetric[];
  errors: ReferenceError[];
  seen: number;
}

type Value =
  | { kind: 'object'; offset: number; members: { offset: number; key: string; value: Value }[] }
  | { kind: 'array'; offset: number; items: Value[] }
  | { kind: 'string'; offset: number; text: string; bytes: number }
  | { kind: 'number'; offset: number; number: number }
  | { kind: 'literal'; offset: number };

/** Thrown often, so it is not an Error: building stack traces would dominate the run time. */
export class SyntaxBroken {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const STRING = /"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;
const SPACE = /[ \t\r\n]*/y;

class Reader {
  private at = 0;
  private readonly text: string;
  private readonly base: number;

  constructor(text: string, base: number) {
    this.text = text;
    this.base = base;
  }

  document(): Value {
    const value = this.value(0);
    this.match(SPACE);
    if (this.at !== this.text.length) throw new SyntaxBroken('trailing bytes');
    return value;
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? null;
    if (found !== null) this.at += found.length;
    return found;
  }

  private accept(character: string): boolean {
    this.match(SPACE);
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private expect(character: string): void {
    if (!this.accept(character)) throw new SyntaxBroken(`expected ${character} at ${this.at}`);
  }

  private value(depth: number): Value {
    this.match(SPACE);
    const offset = this.base + this.at;
    const next = this.text[this.at];
    if (next === '{' || next === '[') {
      if (depth === 64) throw new SyntaxBroken('too deep');
      return next === '{' ? this.object(offset, depth) : this.array(offset, depth);
    }
    if (next === '"') return { kind: 'string', offset, ...this.string() };
    const number = this.match(NUMBER);
    if (number !== null) return { kind: 'number', offset, number: Number(number) };
    if (this.match(LITERAL) !== null) return { kind: 'literal', offset };
    throw new SyntaxBroken(`no value at ${this.at}`);
  }

  private object(offset: number, depth: number): Value {
    this.expect('{');
    const members: { offset: number; key: string; value: Value }[] = [];
    if (this.accept('}')) return { kind: 'object', offset, members };
    do {
      this.match(SPACE);
      const keyOffset = this.base + this.at;
      const key = this.string().text;
      this.expect(':');
      members.push({ offset: keyOffset, key, value: this.value(depth + 1) });
    } while (this.accept(','));
    this.expect('}');
    return { kind: 'object', offset, members };
  }

  private array(offset: number, depth: number): Value {
    this.expect('[');
    const items: Value[] = [];
    if (this.accept(']')) return { kind: 'array', offset, items };
    do items.push(this.value(depth + 1));
    while (this.accept(','));
    this.expect(']');
    return { kind: 'array', offset, items };
  }

  private string(): { text: string; bytes: number } {
    const raw = this.match(STRING);
    if (raw === null) throw new SyntaxBroken(`no string at ${this.at}`);
    const bytes = Buffer.from(raw, 'latin1');
    if (!isUtf8(bytes)) throw new SyntaxBroken('not UTF-8');
    const text = JSON.parse(bytes.toString('utf8')) as string;
    if (/\p{Surrogate}/u.test(text)) throw new SyntaxBroken('lone surrogate');
    return { text, bytes: Buffer.byteLength(text) };
  }
}

/** Reads one JSON text; throws SyntaxBroken on any violation of RFC 8259. */
export function readStrictly(body: Buffer): void {
  new Reader(body.toString('latin1'), 0).document();
}

/** The metric, or the item's first error by offset. */
function checkItem(item: Value, index: number): ReferenceMetric | ReferenceError {
  const error = (offset: number, field: string, reason: string): ReferenceError => ({
    index,
    offset,
    field,
    reason,
  });
  if (item.kind !== 'object') return error(item.offset, '', 'must be an object');
  const metric: ReferenceMetric = { name: '', value: 0, type: 'gauge', timestamp: null, tags: [] };
  const given = new Set<string>();
  for (const { offset, key, value } of item.members) {
    if (!['name', 'value', 'type', 'timestamp', 'tags'].includes(key)) continue;
    if (given.has(key)) return error(offset, key, 'given twice');
    given.add(key);
    const problem = checkField(metric, key, value);
    if (problem !== null) return error(problem.offset ?? value.offset, problem.field ?? key, problem.reason);
  }
  for (const field of ['name', 'value']) {
    if (!given.has(field)) return error(item.offset, field, 'is required');
  }
  return metric;
}

interface Problem {
  reason: string;
  field?: string;
  offset?: number;
}

function checkField(metric: ReferenceMetric, field: string, value: Value): Problem | null {
  if (field === 'name') {
    if (value.kind !== 'string') return { reason: 'must be a string' };
    metric.name = value.text;
    if (/\p{Cc}/u.test(value.text)) return { reason: 'must not contain control characters' };
    if (value.bytes === 0) return { reason: 'must not be empty' };
    return value.bytes > 255 ? { reason: 'must be at most 255 bytes' } : null;
  }
  if (field === 'value') {
    if (value.kind !== 'number' || !Number.isFinite(value.number))
      return { reason: 'must be a finite number' };
    metric.value = value.number;
    return null;
  }
  if (field === 'type') {
    const type = value.kind === 'string' ? value.text : '';
    if (type !== 'gauge' && type !== 'counter' && type !== 'histogram' && type !== 'summary') {
      return { reason: 'must be counter, gauge, histogram or summary' };
    }
    metric.type = type;
    return null;
  }
  if (field === 'timestamp') {
    if (value.kind !== 'number' || !Number.isInteger(value.number) || Math.abs(value.number) > 8.64e15) {
      return { reason: 'must be an integer of Unix milliseconds between -8.64e15 and 8.64e15' };
    }
    metric.timestamp = value.number + 0;
    return null;
  }
  return checkTags(metric, value);
}

function checkTags(metric: ReferenceMetric, tags: Value): Problem | null {
  if (tags.kind !== 'object') return { reason: 'must be an object' };
  const keys = new Set<string>();
  for (const { offset, key, value } of tags.members) {
    if (keys.size === 64) return { reason: 'must have at most 64 members', offset };
    if (value.kind !== 'string')
      return { field: `tags.${key}`, reason: 'must be a string', offset: value.offset };
    if (keys.has(key)) return { field: `tags.${key}`, reason: 'given twice', offset };
    keys.add(key);
    metric.tags.push([key, value.text]);
  }
  return null;
}

function collect(items: Iterable<ReferenceMetric | ReferenceError>): ReferenceResult {
  const result: ReferenceResult = { outcome: 'parsed', syntax: false, metrics: [], errors: [], seen: 0 };
  for (const item of items) {
    result.seen++;
    if ('reason' in item) result.errors.push(item);
    else result.metrics.push(item);
  }
  return result;
}

const MALFORMED_SYNTAX: ReferenceResult = {
  outcome: 'malformed',
  syntax: true,
  metrics: [],
  errors: [],
  seen: 0,
};
const MALFORMED_STRUCTURE: ReferenceResult = { ...MALFORMED_SYNTAX, syntax: false };

/** Parses a JSON body. The reference has no batch limit. */
export function referenceJson(body: Buffer): ReferenceResult {
  let root: Value;
  try {
    root = new Reader(body.toString('latin1'), 0).document();
  } catch (error) {
    if (error instanceof SyntaxBroken) return MALFORMED_SYNTAX;
    throw error;
  }
  if (root.kind !== 'object') return MALFORMED_STRUCTURE;
  const lists = root.members.filter(({ key }) => key === 'metrics').map(({ value }) => value);
  const [list] = lists;
  if (lists.length !== 1 || list?.kind !== 'array' || list.items.length === 0) return MALFORMED_STRUCTURE;
  return collect(list.items.map(checkItem));
}

/** Parses an NDJSON body: each line that is not empty is an item. */
export function referenceLines(body: Buffer): ReferenceResult {
  const results: (ReferenceMetric | ReferenceError)[] = [];
  let offset = 0;
  for (const line of body.toString('latin1').split('\n')) {
    const start = offset;
    offset += line.length + 1;
    const indent = /^[ \t\r]*/.exec(line)?.[0].length ?? 0;
    if (indent === line.length) continue;
    const index = results.length;
    if (line[indent] !== '{') {
      results.push({ index, offset: start + indent, field: '', reason: 'must be an object' });
      continue;
    }
    try {
      results.push(checkItem(new Reader(line, start).document(), index));
    } catch (error) {
      if (!(error instanceof SyntaxBroken)) throw error;
      results.push({ index, offset: -1, field: '', reason: 'malformed JSON' });
    }
  }
  return results.length === 0 ? MALFORMED_STRUCTURE : collect(results);
}
