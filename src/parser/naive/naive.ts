/**
 * The several-scan parser of phases 0 to 2: each question is answered by a scan of its own.
 *
 * 1. Is the body JSON, and its text UTF-8? One scan over all bytes.
 * 2. Where does each item begin and end? A second one, counting brackets.
 * 3. For each item: where is its name, its value, its type, …? An `indexOf` each (`naive-item.ts`), and another one
 *    that makes sure that the field is not there twice.
 *
 * The third is the costly one. An item without tags is an item for which `indexOf('"tags"')` reads on to the end of
 * the body, and so does the next item: time grows with items × bytes, the square of the body. The answers are those
 * of `single-pass.ts`, byte for byte; what differs is the time.
 *
 * Worst case: six searches an item (five fields, a backslash), each through the whole rest of the body. On a shared
 * two-core virtual machine 10,000 items without tags took 5–7 s in 1 MB and 34 s in 8 MiB; 10,000 items without any
 * field in front of 8 MiB of quotes, each of which stops the search for a moment, take 0.15 s an item, which is
 * 25 minutes. So this parser is for comparison, and a server that runs it needs a small `maxBodyBytes`.
 * Memory is bounded by the body: its copy as text, two offsets an item, strings that live while a field is read.
 */
import { assert } from '../../base/errors.ts';
import { columns } from '../columns.ts';
import { inputBytes } from '../input-buffer.ts';
import { describeItemErrors, rejectBroken, rejected, rejectItem, resetItemErrors } from '../item-errors.ts';
import { skipValue } from '../json/skip.ts';
import { setSpaceFor, skipSpace } from '../json/space.ts';
import {
  BATCH_CEILING,
  BATCH_TOO_LARGE,
  BODY_CEILING_BYTES,
  type BodyFormat,
  type CreateParser,
  FORMAT_JSON,
  INPUT_SLACK_BYTES,
  MALFORMED,
  PARSED,
  type ParseFailure,
  type ParseOutcome,
  type Parser,
  type ParserLimits,
} from '../parser.ts';
import { fail, failureOffset, failureReason, REASONS, type Reason } from '../reasons.ts';
import { readItem } from './item.ts';
import { body, eachMember, endOfValue, meaningOf, setBody, text } from './scan.ts';

const B = inputBytes;

const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const BYTE_ORDER_MARK = 0xef;

let maxBodyBytes = 0;
let maxBatch = 0;
let outcome: ParseOutcome = PARSED;
/** Items found, and the bytes of each; where one more than `maxBatch` begins, or -1. */
let seen = 0;
let itemStart = new Int32Array(0);
let itemEnd = new Int32Array(0);
let excessOffset = -1;

/** Why the last body was refused. */
let refusal: ParseFailure = { offset: 0, field: '', reason: '' };

/** Of several reasons the first counts. */
function refuse(as: ParseOutcome, offset: number, field: string, reason: string): void {
  if (outcome !== PARSED) return;
  outcome = as;
  refusal = { offset, field, reason };
}

function refuseStructure(offset: number, field: string, reason: Reason): void {
  refuse(MALFORMED, offset, field, REASONS[reason]);
}

function refuseExcess(): void {
  refuse(BATCH_TOO_LARGE, excessOffset, 'metrics', `must have at most ${maxBatch} items`);
}

/** First scan: the whole body as one JSON text; returns the offset after it, or BROKEN. */
function checkDocument(): number {
  const start = skipSpace(0);
  if (B[start] === BYTE_ORDER_MARK) return fail(start, 'BYTE_ORDER_MARK');
  const end = skipValue(start, 0);
  if (end < 0) return end;
  const rest = skipSpace(end);
  return rest === body.length ? rest : fail(rest, 'TRAILING');
}

/** A body of the JSON format. */
function parseDocument(): void {
  if (checkDocument() < 0) refuseBroken();
  else locateItems();
  if (outcome !== PARSED) return;
  for (let index = 0; index < seen; index++) {
    const start = itemStart[index]!;
    if (B[start] === OPEN_BRACE) readItem(start, itemEnd[index]!, index - rejected, index);
    else rejectItem(index, start, '', 'OBJECT');
  }
}

/** Second scan: the members of the top-level object, and the items of the one that has to be there. */
function locateItems(): void {
  const open = skipSpace(0);
  if (B[open] !== OPEN_BRACE) return refuseStructure(open, '', 'OBJECT');
  let found = false;
  eachMember(open, body.length, (key, keyEnd, value) => {
    if (meaningOf(key, keyEnd) !== 'metrics') return true;
    if (found) {
      refuseStructure(key, 'metrics', 'TWICE');
    } else if (B[value] !== OPEN_BRACKET) {
      refuseStructure(value, 'metrics', 'ARRAY');
    } else {
      findItems(value, body.length);
      if (excessOffset >= 0) refuseExcess();
      else if (seen === 0) refuseStructure(value, 'metrics', 'NO_ITEM');
    }
    found = true;
    return true;
  });
  if (!found) refuseStructure(open, 'metrics', 'REQUIRED');
}

/**
 * Finds the items of the array that opens at `open`.
 * @returns whether `limit` came before the closing bracket
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

/** The grammar broke: says where and in which item, unless there were too many items before. */
function refuseBroken(): void {
  const limit = failureOffset;
  let field = '';
  const open = skipSpace(0);
  if (open < limit && B[open] === OPEN_BRACE) {
    eachMember(open, limit, (key, keyEnd, value) => {
      if (meaningOf(key, keyEnd) !== 'metrics') return true;
      if (B[value] === OPEN_BRACKET && findItems(value, limit)) field = `metrics[${seen}]`;
      return false;
    });
  }
  if (excessOffset >= 0) refuseExcess();
  else refuse(MALFORMED, limit, field, REASONS[limit === body.length ? 'END' : failureReason]);
}

/** A body of the NDJSON format: an item a line. */
function parseLines(): void {
  findLines();
  if (excessOffset >= 0) return refuseExcess();
  if (seen === 0) return refuseStructure(body.length, '', 'NO_ITEM');
  for (let index = 0; index < seen; index++) readLine(itemStart[index]!, itemEnd[index]!, index);
}

/** Finds the lines that are not empty. */
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

/** A line `[start, end)`; one that is no JSON is an invalid item. */
function readLine(start: number, end: number, index: number): void {
  if (B[start] !== OPEN_BRACE) {
    rejectItem(index, start, '', 'OBJECT');
    return;
  }
  let close = skipValue(start, 0);
  if (close >= 0 && skipSpace(close) !== end) close = fail(skipSpace(close), 'TRAILING');
  if (close >= 0) readItem(start, close, index - rejected, index);
  else rejectBroken(index, failureOffset, failureOffset === end ? 'LINE_END' : failureReason);
}

function parse(length: number, format: BodyFormat): ParseOutcome {
  assert(length >= 0 && length <= maxBodyBytes, 'body fits the input buffer');
  setBody(length);
  // Ends the first scan, and every run of white space.
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

/** The parser of this thread. */
class NaiveParser implements Parser {
  readonly input: Uint8Array;
  readonly columns = columns;

  constructor(limits: ParserLimits) {
    this.input = inputBytes.subarray(0, limits.maxBodyBytes + INPUT_SLACK_BYTES);
  }

  get seen(): number {
    return seen;
  }

  get rejected(): number {
    return rejected;
  }

  parse(length: number, format: BodyFormat): ParseOutcome {
    return parse(length, format);
  }

  errors = describeItemErrors;

  failure(): ParseFailure {
    assert(outcome !== PARSED, 'the last body was refused');
    return refusal;
  }
}

export const createParser = ((limits: ParserLimits): Parser => {
  assert(limits.maxBodyBytes <= BODY_CEILING_BYTES, 'maxBodyBytes is at most 64 MiB');
  assert(limits.maxBatch > 0 && limits.maxBatch <= BATCH_CEILING, 'maxBatch is 1 to 131,072');
  maxBodyBytes = limits.maxBodyBytes;
  maxBatch = limits.maxBatch;
  itemStart = new Int32Array(maxBatch);
  itemEnd = new Int32Array(maxBatch);
  return new NaiveParser(limits);
}) satisfies CreateParser;
