/**
 * Parses a body, a JSON document or NDJSON, in a single pass: a hand-written recursive descent over bytes, specialised
 * for the shape of a request.
 *
 * A NUL after the body replaces all checks for its end: no token contains a NUL, so every scan stops there.
 * The state is module state, so a thread has one parser. A syntax error anywhere makes the whole body MALFORMED, even
 * after valid items, and takes precedence over errors of structure such as a missing `metrics`.
 */
import { assert } from '../../base/errors.ts';
import { columns } from '../columns.ts';
import { inputBytes, inputView } from '../input-buffer.ts';
import { rejectBroken, rejected, rejectItem, resetItemErrors } from '../item-errors.ts';
import { skipColon, skipValue } from '../json/skip.ts';
import { setSpaceFor, skipSpace } from '../json/space.ts';
import { resetScratch, scanString, scratchTop, unescapeToScratch } from '../json/strings.ts';
import {
  BATCH_TOO_LARGE,
  type BodyFormat,
  FORMAT_JSON,
  MALFORMED,
  PARSED,
  type ParseFailure,
  type ParseOutcome,
  type ParserLimits,
} from '../parser.ts';
import { BROKEN, fail, failureOffset, failureReason, REASONS, type Reason } from '../reasons.ts';
import { parseItem } from './item.ts';
import { forgetTags } from './tags.ts';

const B = inputBytes;
const V = inputView;
const ERR = BROKEN;

const LAST_SPACE = 0x20;
const NEWLINE = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const BYTE_ORDER_MARK = 0xef;

const METRICS = Buffer.from('metrics');
/** Its first and last four bytes as little-endian words. */
const METR = METRICS.readInt32LE(0);
const RICS = METRICS.readInt32LE(3);
/** Containers open around an item of `{"metrics":[…]}`. */
const ITEM_DEPTH = 2;

/** Items that the single pass parses after `runs` has refused several in a row. */
const BACK_OFF_MAX = 63;

/**
 * A faster implementation for runs of ordinary items, which it both parses and encodes. It refuses every other item,
 * including every invalid one, and leaves it to the single pass.
 */
export interface ItemRuns {
  /**
   * Parses items from the one at `i` on and appends their lines.
   * @param rows rows of the columns to encode before
   * @param limit maximum number of items
   * @returns the number of items parsed; 0 if it refuses the first one
   */
  parse(i: number, rows: number, limit: number): number;
  /** Results of the last call: the offset after the last item, and whether it refused the next one. */
  readonly end: number;
  readonly refused: boolean;
}

let maxBodyBytes = 0;
let maxBatch = 0;
let runs: ItemRuns | null = null;
/** Items to parse before asking `runs` again, and the last back-off, which grows while `runs` refuses. */
let ownItems = 0;
let backOff = 0;
/** Accepted items whose lines `runs` has written; the later ones are in the columns. */
let written = 0;
let bodyBytes = 0;
let outcome: ParseOutcome = PARSED;
/** Items parsed or being parsed. */
let seen = 0;
/** Whether the parser is inside the array of `metrics`; a failure then names the item. */
let inItems = false;
/** The first error of structure; an offset of -1 means none. */
let structureOffset = -1;
let structureField = '';
let structureReason: Reason = 'REQUIRED';
/** The body has a syntax error, which takes precedence over an earlier error of structure. */
let syntaxBroken = false;

function rejectStructure(offset: number, field: string, reason: Reason): void {
  if (structureOffset >= 0) return;
  structureOffset = offset;
  structureField = field;
  structureReason = reason;
}

/** Parses the array of `metrics` at `open`; returns the offset after its closing bracket. */
function parseItems(open: number): number {
  let i = skipSpace(open + 1);
  if (B[i] === CLOSE_BRACKET) {
    rejectStructure(open, 'metrics', 'NO_ITEM');
    return i + 1;
  }
  inItems = true;
  for (let index = 0; ; index++) {
    seen = index;
    if (index === maxBatch) {
      outcome = BATCH_TOO_LARGE;
      return fail(i, 'NO_ITEM');
    }
    const items = runs === null ? 0 : parseRun(runs, i, index);
    if (items > 0) {
      index += items - 1;
      seen = index;
      i = runs!.end;
    } else {
      //> 3.5 an invalid item leaves its row to the next
      //: i = parseItem(i, index, index, ITEM_DEPTH);
      // Every earlier item is rejected, written or has a row.
      if (B[i] === OPEN_BRACE) i = parseItem(i, index - rejected - written, index, ITEM_DEPTH);
      else i = rejectNonObject(i, index);
      //<
      if (i < 0) return ERR;
    }
    let c = B[i]!;
    if (c <= LAST_SPACE) {
      i = skipSpace(i);
      c = B[i]!;
    }
    //> 3.4 the next item
    //: if (c === COMMA) continue;
    if (c === COMMA) {
      i++;
      if (B[i]! <= LAST_SPACE) i = skipSpace(i);
      continue;
    }
    //<
    if (c !== CLOSE_BRACKET) return fail(i, 'COMMA_OR_BRACKET');
    seen = index + 1;
    inItems = false;
    return i + 1;
  }
}

/** Offers the items from `index` on to `runs`; returns the number that it parsed. */
function parseRun(runs: ItemRuns, i: number, index: number): number {
  if (ownItems > 0) {
    ownItems--;
    return 0;
  }
  const items = runs.parse(i, index - rejected - written, maxBatch - index);
  written = index + items - rejected;
  if (items > 0) {
    backOff = 0;
    ownItems = runs.refused ? 1 : 0;
  } else {
    backOff = Math.min(2 * backOff + 1, BACK_OFF_MAX);
    ownItems = backOff;
  }
  return items;
}

/** Rejects an item that is not an object, and skips it. */
function rejectNonObject(i: number, index: number): number {
  const end = skipValue(i, ITEM_DEPTH);
  if (end >= 0) rejectItem(index, i, '', 'OBJECT');
  return end;
}

/** Parses the body as one JSON text; returns the offset after it. */
function parseDocument(): number {
  let i = skipSpace(0);
  if (B[i] === BYTE_ORDER_MARK) return fail(i, 'BYTE_ORDER_MARK');
  if (B[i] === OPEN_BRACE) {
    i = parseMembers(i);
  } else {
    const start = i;
    i = skipValue(i, 0);
    rejectStructure(start, '', 'OBJECT');
  }
  if (i < 0) return ERR;
  //> 3.6 nothing but white space may follow
  //: return i;
  i = skipSpace(i);
  return i === bodyBytes ? i : fail(i, 'TRAILING');
  //<
}

/** Parses the top-level object. */
function parseMembers(open: number): number {
  let found = false;
  let i = skipSpace(open + 1);
  if (B[i] === CLOSE_BRACE) {
    rejectStructure(open, 'metrics', 'REQUIRED');
    return i + 1;
  }
  for (;;) {
    const key = i;
    if (B[i] !== QUOTE) return fail(i, 'KEY');
    let end = scanString(i + 1);
    if (end === ERR) return ERR;
    if (end < 0) end = ~end;
    i = skipColon(end + 1);
    if (i < 0) return ERR;
    if (isMetrics(key + 1, end)) {
      if (found) rejectStructure(key, 'metrics', 'TWICE');
      else if (B[i] !== OPEN_BRACKET) rejectStructure(i, 'metrics', 'ARRAY');
      i = found || B[i] !== OPEN_BRACKET ? skipValue(i, 1) : parseItems(i);
      found = true;
    } else {
      i = skipValue(i, 1);
    }
    if (i < 0) return ERR;
    i = skipSpace(i);
    if (B[i] === COMMA) {
      i = skipSpace(i + 1);
      continue;
    }
    if (B[i] !== CLOSE_BRACE) return fail(i, 'COMMA_OR_BRACE');
    if (!found) rejectStructure(open, 'metrics', 'REQUIRED');
    return i + 1;
  }
}

function isMetrics(start: number, end: number): boolean {
  if (end - start === 7 && V.getInt32(start, true) === METR && V.getInt32(start + 3, true) === RICS)
    return true;
  // Each character may be an escape of six bytes.
  if (end - start > 6 * METRICS.length) return false;
  const from = unescapeToScratch(start, end);
  if (scratchTop() - from !== METRICS.length) return false;
  for (let at = 0; at < METRICS.length; at++) if (B[from + at] !== METRICS[at]) return false;
  return true;
}

/** Parses one item per line. A line that is not JSON is an invalid item; parsing continues with the next line. */
function parseLines(): number {
  let i = 0;
  for (let index = 0; ; index++) {
    i = nextItem(i);
    seen = index;
    if (i === bodyBytes) break;
    if (index === maxBatch) {
      outcome = BATCH_TOO_LARGE;
      return fail(i, 'NO_ITEM');
    }
    const items = runs === null ? 0 : parseRun(runs, i, index);
    if (items > 0) {
      index += items - 1;
      i = runs!.end;
    } else if (B[i] === OPEN_BRACE) {
      //> 3.7 a line is an item; a broken one is rejected alone
      //: i = lineEnd(i);
      let end = parseItem(i, index - rejected - written, index, 0);
      if (end >= 0) {
        end = skipSpace(end);
        if (B[end] !== NEWLINE && end !== bodyBytes) end = fail(end, 'TRAILING');
      }
      if (end < 0) end = rejectLine(index);
      i = end;
      //<
    } else {
      rejectItem(index, i, '', 'OBJECT');
      i = lineEnd(i);
    }
  }
  if (seen === 0) rejectStructure(i, '', 'NO_ITEM');
  return i;
}

/** Skips ends of lines and empty lines. */
function nextItem(i: number): number {
  i = skipSpace(i);
  while (B[i] === NEWLINE) i = skipSpace(i + 1);
  return i;
}

/** Rejects a line with a syntax error, whose offset is within the line. */
function rejectLine(index: number): number {
  const end = lineEnd(failureOffset);
  rejectBroken(index, failureOffset, end === failureOffset ? 'LINE_END' : failureReason);
  return end;
}

function lineEnd(i: number): number {
  while (i < bodyBytes && B[i] !== NEWLINE) i++;
  return i;
}

/** Sets the limits of all later bodies. */
export function setLimits(limits: ParserLimits): void {
  maxBodyBytes = limits.maxBodyBytes;
  maxBatch = limits.maxBatch;
}

/** Parses the body in `inputBytes[0, length)` into the columns, apart from items that `itemRuns` has written. */
export function parseBody(length: number, format: BodyFormat, itemRuns: ItemRuns | null): ParseOutcome {
  runs = itemRuns;
  assert(length >= 0 && length <= maxBodyBytes, 'body fits the input buffer');
  bodyBytes = length;
  //> 3.8 the byte after the body
  B[length] = 0;
  //<
  outcome = PARSED;
  seen = 0;
  inItems = false;
  structureOffset = -1;
  columns.count = 0;
  ownItems = 0;
  backOff = 0;
  written = 0;
  setSpaceFor(format);
  resetScratch();
  resetItemErrors();
  forgetTags();
  const end = format === FORMAT_JSON ? parseDocument() : parseLines();
  syntaxBroken = end < 0;
  if (syntaxBroken) {
    if (outcome === PARSED) outcome = MALFORMED;
    return outcome;
  }
  if (structureOffset >= 0) {
    outcome = MALFORMED;
    return outcome;
  }
  //> 3.5 count the rows
  //: columns.count = seen;
  columns.count = seen - rejected - written;
  //<
  return outcome;
}

export function describeFailure(): ParseFailure {
  assert(outcome !== PARSED, 'the last body was rejected');
  if (outcome === BATCH_TOO_LARGE) {
    return { offset: failureOffset, field: 'metrics', reason: `must have at most ${maxBatch} items` };
  }
  if (!syntaxBroken) {
    return { offset: structureOffset, field: structureField, reason: REASONS[structureReason] };
  }
  //> 3.6 name the item, and the end of the body
  //: return { offset: failureOffset, field: '', reason: REASONS[failureReason] };
  const reason = failureOffset >= bodyBytes ? 'END' : failureReason;
  return { offset: failureOffset, field: inItems ? `metrics[${seen}]` : '', reason: REASONS[reason] };
  //<
}
