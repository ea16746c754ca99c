/**
 * One metric object, field by field: each field is searched for in the body, then its value is read.
 *
 * `indexOf` is told where to begin and not where to end. A field that the item does not have is searched for through
 * all the items behind it, to the end of the body or to the next item that has it.
 */
import { columns } from '../columns.ts';
import { inputBytes } from '../input-buffer.ts';
import { type ItemField, rejectItem, rejectTag } from '../item-errors.ts';
import { skipSpace } from '../json/space.ts';
import {
  NAME_MAX_BYTES,
  TAGS_MAX,
  TYPE_COUNTER,
  TYPE_GAUGE,
  TYPE_HISTOGRAM,
  TYPE_SUMMARY,
} from '../parser.ts';
import type { Reason } from '../reasons.ts';
import { eachMember, endOfString, endOfValue, hasSpace, meaningOf, text } from './scan.ts';

const B = inputBytes;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const TYPES = new Map([
  ['gauge', TYPE_GAUGE],
  ['counter', TYPE_COUNTER],
  ['histogram', TYPE_HISTOGRAM],
  ['summary', TYPE_SUMMARY],
]);

const CONTROL = /\p{Cc}/u;
/** The range of dates in JavaScript. */
const TIMESTAMP_MAX_MS = 8.64e15;
const PLAIN_DIGITS = /^[1-9][0-9]{0,14}$/;

/** Of the rules that the item breaks, the one whose place comes first in the body; none where it is the item's end. */
let problemOffset = 0;
let problemField: ItemField = '';
let problemReason: Reason = 'END';
/** The key, still escaped, where one tag is the problem; else empty. */
let problemKeyStart = 0;
let problemKeyEnd = 0;

function problem(offset: number, field: ItemField, reason: Reason, keyStart = 0, keyEnd = 0): void {
  if (offset >= problemOffset) return;
  problemOffset = offset;
  problemField = field;
  problemReason = reason;
  problemKeyStart = keyStart;
  problemKeyEnd = keyEnd;
}

/**
 * Reads the object `[open, end)`, which is sound JSON, into row `row`; an invalid one is reported to `item-errors.ts`.
 * @param index of the item, for errors
 */
export function readItem(open: number, end: number, row: number, index: number): void {
  problemOffset = end;
  const backslash = text.indexOf('\\', open);
  const find = backslash >= 0 && backslash < end ? findByWalking : findBySearching;

  const name = find('name', open, end);
  if (name >= 0) readName(name, end, row);
  const value = find('value', open, end);
  if (value >= 0) readValue(value, end, row);
  const type = find('type', open, end);
  columns.type[row] = TYPE_GAUGE;
  if (type >= 0) readType(type, end, row);
  const timestamp = find('timestamp', open, end);
  columns.timestamp[row] = Number.NaN;
  columns.timestampStart[row] = -1;
  if (timestamp >= 0) readTimestamp(timestamp, end, row);
  const tags = find('tags', open, end);
  columns.tagsStart[row] = -1;
  if (tags >= 0) readTags(tags, end, row);

  if (problemOffset < end) {
    if (problemKeyEnd > 0) {
      rejectTag(index, problemOffset, problemReason, problemKeyStart, problemKeyEnd);
    } else {
      rejectItem(index, problemOffset, problemField, problemReason);
    }
  } else if (name < 0 || value < 0) {
    rejectItem(index, open, name < 0 ? 'name' : 'value', 'REQUIRED');
  }
}

/**
 * Searches for a field as most clients spell it. In an item without escapes a quote is where a string begins or ends,
 * so what is found is a whole string; it may be a value, or belong to an object inside the item.
 * @returns the offset of its value, or -1; being there twice is a problem
 */
function findBySearching(field: ItemField, open: number, end: number): number {
  const quoted = `"${field}"`;
  let found = -1;
  let i = open;
  let depth = 0;
  for (let key = text.indexOf(quoted, open); key >= 0 && key < end; key = text.indexOf(quoted, key + 1)) {
    // Brackets are counted, those in strings left out, from where the last count ended.
    while (i < key) {
      const c = B[i]!;
      if (c === QUOTE) {
        i = endOfString(i, end);
        continue;
      }
      if (c === OPEN_BRACE || c === OPEN_BRACKET) depth++;
      else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) depth--;
      i++;
    }
    if (depth > 1) continue;
    const colon = skipSpace(key + quoted.length);
    if (B[colon] !== COLON) continue;
    if (found < 0) found = skipSpace(colon + 1);
    else problem(key, field, 'TWICE');
  }
  return found;
}

/** As `findBySearching`, for an item with escapes, which may be in its keys: compares each key after unescaping. */
function findByWalking(field: ItemField, open: number, end: number): number {
  let found = -1;
  eachMember(open, end, (key, keyEnd, value) => {
    if (meaningOf(key, keyEnd) === field) {
      if (found < 0) found = value;
      else problem(key, field, 'TWICE');
    }
    return true;
  });
  return found;
}

function readName(start: number, limit: number, row: number): void {
  if (B[start] !== QUOTE) return problem(start, 'name', 'STRING');
  const end = endOfString(start, limit);
  const name = meaningOf(start, end);
  if (CONTROL.test(name)) problem(start, 'name', 'NAME_CONTROL');
  else if (name === '') problem(start, 'name', 'EMPTY');
  else if (Buffer.byteLength(name) > NAME_MAX_BYTES) problem(start, 'name', 'NAME_LENGTH');
  columns.nameStart[row] = start + 1;
  columns.nameEnd[row] = end - 1;
}

function readValue(start: number, limit: number, row: number): void {
  const end = endOfValue(start, limit);
  const value = isNumber(start) ? Number(text.slice(start, end)) : Number.NaN;
  if (!Number.isFinite(value)) problem(start, 'value', 'NUMBER');
  columns.value[row] = value;
  columns.valueStart[row] = start;
  columns.valueEnd[row] = end;
}

/** Of sound JSON only numbers begin so. */
function isNumber(start: number): boolean {
  const c = B[start]!;
  return c === MINUS || (c >= ZERO && c <= NINE);
}

function readType(start: number, limit: number, row: number): void {
  const name = B[start] === QUOTE ? meaningOf(start, endOfString(start, limit)) : '';
  const type = TYPES.get(name);
  if (type === undefined) problem(start, 'type', 'TYPE');
  else columns.type[row] = type;
}

function readTimestamp(start: number, limit: number, row: number): void {
  const end = endOfValue(start, limit);
  const written = isNumber(start) ? text.slice(start, end) : '';
  const milliseconds = written === '' ? Number.NaN : Number(written);
  if (!Number.isInteger(milliseconds) || Math.abs(milliseconds) > TIMESTAMP_MAX_MS) {
    problem(start, 'timestamp', 'TIMESTAMP');
  }
  // Adding 0 makes -0 a plain 0.
  columns.timestamp[row] = milliseconds + 0;
  // Digits are copied to a line as they are; before white space they are written anew, like all other spellings.
  if (PLAIN_DIGITS.test(written) && (B[end] === COMMA || B[end] === CLOSE_BRACE)) {
    columns.timestampStart[row] = start;
    columns.timestampEnd[row] = end;
  }
}

function readTags(start: number, limit: number, row: number): void {
  if (B[start] !== OPEN_BRACE) return problem(start, 'tags', 'OBJECT');
  const end = endOfValue(start, limit);
  const keys = new Set<string>();
  eachMember(start, end, (key, keyEnd, value) => {
    if (keys.size === TAGS_MAX) {
      problem(key, 'tags', 'TAGS');
      return false;
    }
    if (B[value] !== QUOTE) {
      problem(value, 'tags', 'STRING', key + 1, keyEnd - 1);
      return false;
    }
    const name = meaningOf(key, keyEnd);
    if (keys.has(name)) {
      problem(key, 'tags', 'TWICE', key + 1, keyEnd - 1);
      return false;
    }
    keys.add(name);
    return true;
  });
  if (keys.size === 0) return;
  columns.tagsStart[row] = start;
  columns.tagsEnd[row] = end;
  columns.tagsCompact[row] = hasSpace(start, end) ? 0 : 1;
}
