/**
 * The several-scan parser of phases 0 to 2: a separate scan answers each question.
 *
 * 1. Check that the body is JSON in UTF-8: one scan over all bytes.
 * 2. Where does each item begin and end? A second scan, which counts brackets.
 * 3. Where are the item's name, value, type, timestamp and tags? One `indexOf` for each field (`item.ts`), and another
 *    one to detect duplicates.
 *
 * The third step is expensive. If an item has no tags, `indexOf('"tags"')` reads to the end of the body, for each such
 * item: time grows with items × bytes, the square of the body. Results equal those of `single-pass.ts` in every byte.
 *
 * Worst case: six searches per item (five fields and a backslash), each through the rest of the body. On a shared
 * two-core virtual machine 10,000 items without tags took 5–7 s in 1 MB and 34 s in 8 MiB. 10,000 items without fields
 * before 8 MiB of quotes, each of which interrupts the search, take 0.15 s per item: 25 minutes. Use this parser for
 * comparison, with a small `maxBodyBytes`. The body bounds its memory: a copy as text, two offsets per item, and
 * strings that live while a field is read.
 */
import { assert } from '../../base/errors.ts';
import { ColumnParser } from '../column-parser.ts';
import { columns } from '../columns.ts';
import { inputBytes } from '../input-buffer.ts';
import { rejectBroken, rejected, rejectItem, resetItemErrors } from '../item-errors.ts';
import { BYTE_ORDER_MARK, CLOSE_BRACKET, COMMA, OPEN_BRACE, OPEN_BRACKET } from '../json/bytes.ts';
import { skipValue } from '../json/skip.ts';
import { setSpaceFor, skipSpace } from '../json/space.ts';
import {
  BATCH_TOO_LARGE,
  type BodyFormat,
  type CreateParser,
  FORMAT_JSON,
  MALFORMED,
  PARSED,
  type ParseFailure,
  type ParseOutcome,
} from '../parser.ts';
import { fail, failureOffset, failureReason, REASONS, type Reason } from '../reasons.ts';
import { parseItem } from './item.ts';
import { body, eachMember, endOfValue, setBody, text, unescapedText } from './scan.ts';

const B = inputBytes;

let maxBodyBytes = 0;
let maxBatch = 0;
let outcome: ParseOutcome = PARSED;
/** Number of items and the span of each; the offset of the first item beyond `maxBatch`, or -1. */
let seen = 0;
let itemStart = new Int32Array(0);
let itemEnd = new Int32Array(0);
let excessOffset = -1;

/** Why the last body was rejected. */
let bodyError: ParseFailure = { offset: 0, field: '', reason: '' };

/** Keeps the first reason. */
function rejectBody(as: ParseOutcome, offset: number, field: string, reason: string): void {
  if (outcome !== PARSED) return;
  outcome = as;
  bodyError = { offset, field, reason };
}

function rejectStructure(offset: number, field: string, reason: Reason): void {
  rejectBody(MALFORMED, offset, field, REASONS[reason]);
}

function rejectExcess(): void {
  rejectBody(BATCH_TOO_LARGE, excessOffset, 'metrics', `must have at most ${maxBatch} items`);
}

/** First scan: checks that the body is one JSON text; returns the offset after it, or BROKEN. */
function checkDocument(): number {
  const start = skipSpace(0);
  if (B[start] === BYTE_ORDER_MARK) return fail(start, 'BYTE_ORDER_MARK');
  const end = skipValue(start, 0);
  if (end < 0) return end;
  const rest = skipSpace(end);
  return rest === body.length ? rest : fail(rest, 'TRAILING');
}

/** Parses a body in the JSON format. */
function parseDocument(): void {
  if (checkDocument() < 0) rejectSyntax();
  else locateItems();
  if (outcome !== PARSED) return;
  for (let index = 0; index < seen; index++) {
    const start = itemStart[index]!;
    if (B[start] === OPEN_BRACE) parseItem(start, itemEnd[index]!, index - rejected, index);
    else rejectItem(index, start, '', 'OBJECT');
  }
}

/** Second scan: visits the members of the top-level object and finds the items of `metrics`. */
function locateItems(): void {
  const open = skipSpace(0);
  if (B[open] !== OPEN_BRACE) return rejectStructure(open, '', 'OBJECT');
  let found = false;
  eachMember(open, body.length, (key, keyEnd, value) => {
    if (unescapedText(key, keyEnd) !== 'metrics') return true;
    if (found) {
      rejectStructure(key, 'metrics', 'TWICE');
    } else if (B[value] !== OPEN_BRACKET) {
      rejectStructure(value, 'metrics', 'ARRAY');
    } else {
      findItems(value, body.length);
      if (excessOffset >= 0) rejectExcess();
      else if (seen === 0) rejectStructure(value, 'metrics', 'NO_ITEM');
    }
    found = true;
    return true;
  });
  if (!found) rejectStructure(open, 'metrics', 'REQUIRED');
}

/**
 * Finds the items of the array at `open`.
 * @returns whether `limit` precedes the closing bracket
 */
function findItems(open: number, limit: number): boolean {
  let i = skipSpace(open + 1);
  if (i < limit && B[i] === CLOSE_BRACKET) return false;
  for (;;) {
    if (seen === maxBatch) {
      excessOffset = i;
      return false;
    }
    const end = endOfValue(i, limit);
    const next = skipSpace(end);
    if (next >= limit) return true;
    itemStart[seen] = i;
    itemEnd[seen] = end;
    seen++;
    if (B[next] !== COMMA) return false;
    i = skipSpace(next + 1);
  }
}

/** Records a syntax error and its item, unless the batch limit was exceeded before it. */
function rejectSyntax(): void {
  const limit = failureOffset;
  let field = '';
  const open = skipSpace(0);
  if (open < limit && B[open] === OPEN_BRACE) {
    eachMember(open, limit, (key, keyEnd, value) => {
      if (unescapedText(key, keyEnd) !== 'metrics') return true;
      if (B[value] === OPEN_BRACKET && findItems(value, limit)) field = `metrics[${seen}]`;
      return false;
    });
  }
  if (excessOffset >= 0) rejectExcess();
  else rejectBody(MALFORMED, limit, field, REASONS[limit === body.length ? 'END' : failureReason]);
}

/** Parses a body in the NDJSON format: one item per line. */
function parseLines(): void {
  findLines();
  if (excessOffset >= 0) return rejectExcess();
  if (seen === 0) return rejectStructure(body.length, '', 'NO_ITEM');
  for (let index = 0; index < seen; index++) parseLine(itemStart[index]!, itemEnd[index]!, index);
}

/** Finds all lines that are not empty. */
function findLines(): void {
  for (let line = 0; line < body.length; ) {
    const newline = text.indexOf('\n', line);
    const end = newline < 0 ? body.length : newline;
    const start = skipSpace(line);
    if (start < end) {
      if (seen === maxBatch) {
        excessOffset = start;
        return;
      }
      itemStart[seen] = start;
      itemEnd[seen] = end;
      seen++;
    }
    line = end + 1;
  }
}

/** Parses the line `[start, end)`. If it is not JSON, it is an invalid item. */
function parseLine(start: number, end: number, index: number): void {
  if (B[start] !== OPEN_BRACE) {
    rejectItem(index, start, '', 'OBJECT');
    return;
  }
  let close = skipValue(start, 0);
  if (close >= 0 && skipSpace(close) !== end) close = fail(skipSpace(close), 'TRAILING');
  if (close >= 0) parseItem(start, close, index - rejected, index);
  else rejectBroken(index, failureOffset, failureOffset === end ? 'LINE_END' : failureReason);
}

function parse(length: number, format: BodyFormat): ParseOutcome {
  assert(length >= 0 && length <= maxBodyBytes, 'body fits the input buffer');
  setBody(length);
  // This sentinel ends the first scan and every run of white space.
  B[length] = 0;
  outcome = PARSED;
  seen = 0;
  excessOffset = -1;
  columns.count = 0;
  setSpaceFor(format);
  resetItemErrors();
  if (format === FORMAT_JSON) parseDocument();
  else parseLines();
  if (outcome === PARSED) columns.count = seen - rejected;
  return outcome;
}

/** This thread's parser. Its state is module state. */
class NaiveParser extends ColumnParser {
  protected override fillColumns(length: number, format: BodyFormat): ParseOutcome {
    return parse(length, format);
  }

  override failure(): ParseFailure {
    assert(outcome !== PARSED, 'the last body was rejected');
    return bodyError;
  }
}

export const createParser = ((limits) => {
  const parser = new NaiveParser(limits);
  maxBodyBytes = limits.maxBodyBytes;
  maxBatch = limits.maxBatch;
  itemStart = new Int32Array(maxBatch);
  itemEnd = new Int32Array(maxBatch);
  return parser;
}) satisfies CreateParser;
