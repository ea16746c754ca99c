/**
 * Values of DuckDB as text.
 *
 * JSON keeps each value exact: integers of any size as digits, times as ISO 8601 in UTC, maps as objects. Plain text, for
 * CSV and tables, is DuckDB's own, except that nested values are JSON.
 */
import type { DuckDBValue } from '@duckdb/node-api';

/** Members that tell the package's value classes apart; the classes themselves exist only once it is loaded. */
interface Parts {
  /** Of lists and arrays. */
  readonly items?: readonly DuckDBValue[];
  /** Of maps, and of structs. */
  readonly entries?: readonly Entry[] | Readonly<Record<string, DuckDBValue>>;
  /** Of decimals. */
  readonly scale?: number;
  /** Of unions. */
  readonly tag?: string;
  readonly value?: DuckDBValue;
}

interface Entry {
  readonly key: DuckDBValue;
  readonly value: DuckDBValue;
}

export function jsonText(value: DuckDBValue): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Number.isFinite(value) ? numberText(value) : 'null';
  if (typeof value !== 'object') return String(value);
  return nestedText(value) ?? scalarText(value);
}

function nestedText(value: object): string | null {
  const { items, entries } = value as Parts;
  if (items !== undefined) return `[${items.map(jsonText).join(',')}]`;
  if (entries === undefined) return null;
  const members = isMap(entries)
    ? entries.map(({ key, value: member }) => `${JSON.stringify(plainText(key))}:${jsonText(member)}`)
    : Object.entries(entries).map(([key, member]) => `${JSON.stringify(key)}:${jsonText(member)}`);
  return `{${members.join(',')}}`;
}

function isMap(entries: NonNullable<Parts['entries']>): entries is readonly Entry[] {
  return Array.isArray(entries);
}

function scalarText(value: object): string {
  const { scale, tag, value: member } = value as Parts;
  if (tag !== undefined && member !== undefined) return jsonText(member);
  const text = String(value);
  if (scale !== undefined) return text;
  const isTimestamp = value.constructor.name.startsWith('DuckDBTimestamp');
  return JSON.stringify(isTimestamp ? isoTime(text) : text);
}

/** `2023-11-14 22:13:20.001`, or the same with `+00`, as ISO 8601. */
function isoTime(text: string): string {
  return `${text.replace(' ', 'T').replace(/\+00$/, '')}Z`;
}

/** '' for NULL. */
export function plainText(value: DuckDBValue): string {
  if (value === null) return '';
  if (typeof value === 'number') return numberText(value);
  return typeof value === 'object' ? (nestedText(value) ?? String(value)) : String(value);
}

/** JavaScript drops the sign of -0. */
function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}
