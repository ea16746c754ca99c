/**
 * Parses one metric object field by field: it searches the body for each field, then reads its value.
 *
 * `indexOf` has a start and no end. If an item lacks a field, the search runs through all later items, to the end of
 * the body or to the next item that has the field.
 */
import {
  FORMATTED_TIMESTAMP,
  NO_TIMESTAMP,
  TYPE_COUNTER,
  TYPE_GAUGE,
  TYPE_HISTOGRAM,
  TYPE_SUMMARY,
} from '../../encoder/columns.ts';
import { columns } from '../columns.ts';
import { inputBytes } from '../input-buffer.ts';
import { type ItemField, rejectItem, rejectTag } from '../item-errors.ts';
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  MINUS,
  NINE,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  ZERO,
} from '../json/bytes.ts';
import { skipSpace } from '../json/space.ts';
import { NAME_MAX_BYTES, TAGS_MAX } from '../parser.ts';
import type { Reason } from '../reasons.ts';
import { eachMember, endOfString, endOfValue, hasSpace, text, unescapedText } from './scan.ts';

const B = inputBytes;

const TYPES = new Map([
  ['gauge', TYPE_GAUGE],
  ['counter', TYPE_COUNTER],
  ['histogram', TYPE_HISTOGRAM],
  ['summary', TYPE_SUMMARY],
]);

const CONTROL = /\p{Cc}/u;
/** Range of dates in JavaScript. */
const TIMESTAMP_MAX_MS = 8.64e15;
const PLAIN_DIGITS = /^[1-9][0-9]{0,14}$/;

/** The item's first error by offset; an offset at the item's end means none. */
let errorOffset = 0;
let errorField: ItemField = '';
let errorReason: Reason = 'END';
/** Span of the tag's key, still escaped, if one tag is invalid; else empty. */
let errorKeyStart = 0;
let errorKeyEnd = 0;

function reportError(offset: number, field: ItemField, reason: Reason, keyStart = 0, keyEnd = 0): void {
  if (offset >= errorOffset) return;
  errorOffset = offset;
  errorField = field;
  errorReason = reason;
  errorKeyStart = keyStart;
  errorKeyEnd = keyEnd;
}

/**
 * Parses the object `[open, end)`, valid JSON, into row `row` of the columns; `item-errors.ts` records an invalid one.
 * @param index of the item, for errors
 */
export function parseItem(open: number, end: number, row: number, index: number): void {
  errorOffset = end;
  const backslash = text.indexOf('\\', open);
  const find = backslash >= 0 && backslash < end ? findByWalking : findBySearching;

  const name = find('name', open, end);
  if (name >= 0) parseName(name, end, row);
  const value = find('value', open, end);
  if (value >= 0) parseMetricValue(value, end, row);
  const type = find('type', open, end);
  columns.type[row] = TYPE_GAUGE;
  if (type >= 0) parseType(type, end, row);
  const timestamp = find('timestamp', open, end);
  columns.timestampStart[row] = NO_TIMESTAMP;
  if (timestamp >= 0) parseTimestamp(timestamp, end, row);
  const tags = find('tags', open, end);
  columns.tagsStart[row] = -1;
  if (tags >= 0) parseTags(tags, end, row);

  if (errorOffset < end) {
    if (errorKeyEnd > 0) {
      rejectTag(index, errorOffset, errorReason, errorKeyStart, errorKeyEnd);
    } else {
      rejectItem(index, errorOffset, errorField, errorReason);
    }
  } else if (name < 0 || value < 0) {
    rejectItem(index, open, name < 0 ? 'name' : 'value', 'REQUIRED');
  }
}

/**
 * Searches for a field in its usual spelling. In an item without escapes every quote begins or ends a string, so each
 * hit is a whole string; it may still be a value, or belong to an object inside the item.
 * @returns the offset of the field's value, or -1; reports a second occurrence
 */
function findBySearching(field: ItemField, open: number, end: number): number {
  const quoted = `"${field}"`;
  let found = -1;
  let i = open;
  let depth = 0;
  for (let key = text.indexOf(quoted, open); key >= 0 && key < end; key = text.indexOf(quoted, key + 1)) {
    // Continue counting brackets outside strings from the previous hit.
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
    else reportError(key, field, 'TWICE');
  }
  return found;
}

/** As `findBySearching`, for an item with escapes: unescapes each key and compares it. */
function findByWalking(field: ItemField, open: number, end: number): number {
  let found = -1;
  eachMember(open, end, (key, keyEnd, value) => {
    if (unescapedText(key, keyEnd) === field) {
      if (found < 0) found = value;
      else reportError(key, field, 'TWICE');
    }
    return true;
  });
  return found;
}

function parseName(start: number, limit: number, row: number): void {
  if (B[start] !== QUOTE) return reportError(start, 'name', 'STRING');
  const end = endOfString(start, limit);
  const name = unescapedText(start, end);
  if (CONTROL.test(name)) reportError(start, 'name', 'NAME_CONTROL');
  else if (name === '') reportError(start, 'name', 'EMPTY');
  else if (Buffer.byteLength(name) > NAME_MAX_BYTES) reportError(start, 'name', 'NAME_LENGTH');
  columns.nameStart[row] = start + 1;
  columns.nameEnd[row] = end - 1;
}

function parseMetricValue(start: number, limit: number, row: number): void {
  const end = endOfValue(start, limit);
  const value = isNumber(start) ? Number(text.slice(start, end)) : Number.NaN;
  if (!Number.isFinite(value)) reportError(start, 'value', 'NUMBER');
  columns.valueStart[row] = start;
  columns.valueEnd[row] = end;
}

/** Whether a number begins here; the item is valid JSON. */
function isNumber(start: number): boolean {
  const c = B[start]!;
  return c === MINUS || (c >= ZERO && c <= NINE);
}

function parseType(start: number, limit: number, row: number): void {
  const name = B[start] === QUOTE ? unescapedText(start, endOfString(start, limit)) : '';
  const type = TYPES.get(name);
  if (type === undefined) reportError(start, 'type', 'TYPE');
  else columns.type[row] = type;
}

function parseTimestamp(start: number, limit: number, row: number): void {
  const end = endOfValue(start, limit);
  const written = isNumber(start) ? text.slice(start, end) : '';
  const milliseconds = written === '' ? Number.NaN : Number(written);
  if (!Number.isInteger(milliseconds) || Math.abs(milliseconds) > TIMESTAMP_MAX_MS) {
    reportError(start, 'timestamp', 'TIMESTAMP');
  }
  // The encoder copies these digits. It formats all other spellings, and digits before white space, from the number.
  if (PLAIN_DIGITS.test(written) && (B[end] === COMMA || B[end] === CLOSE_BRACE)) {
    columns.timestampStart[row] = start;
    columns.timestampEnd[row] = end;
  } else {
    // Adding 0 turns -0 into 0.
    columns.timestamp[row] = milliseconds + 0;
    columns.timestampStart[row] = FORMATTED_TIMESTAMP;
  }
}

function parseTags(start: number, limit: number, row: number): void {
  if (B[start] !== OPEN_BRACE) return reportError(start, 'tags', 'OBJECT');
  const end = endOfValue(start, limit);
  const keys = new Set<string>();
  eachMember(start, end, (key, keyEnd, value) => {
    if (keys.size === TAGS_MAX) {
      reportError(key, 'tags', 'TAGS');
      return false;
    }
    if (B[value] !== QUOTE) {
      reportError(value, 'tags', 'STRING', key + 1, keyEnd - 1);
      return false;
    }
    const name = unescapedText(key, keyEnd);
    if (keys.has(name)) {
      reportError(key, 'tags', 'TWICE', key + 1, keyEnd - 1);
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
