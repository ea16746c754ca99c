/**
 * The single-pass parser: a hand-written recursive descent over bytes, specialised for the shape of a request.
 *
 * A NUL after the body replaces all checks for its end: no token contains a NUL, so every scan stops there.
 * The state is module state, so a thread has one parser; calling `createParser` again resets it.
 * A syntax error anywhere makes the whole body MALFORMED, even after valid items, and takes precedence over errors of
 * structure such as a missing `metrics`.
 */
import { setFlagsFromString } from 'node:v8';
import { assert } from '../../base/errors.ts';
import { columns } from '../columns.ts';
import { inputBytes } from '../input-buffer.ts';
import { describeItemErrors, rejectBroken, rejected, rejectItem, resetItemErrors } from '../item-errors.ts';
import { skipColon, skipValue } from '../json/skip.ts';
import { setSpaceFor, skipSpace } from '../json/space.ts';
import { resetScratch, scanString, scratchTop, unescapeToScratch } from '../json/strings.ts';
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
import { BROKEN, fail, failureOffset, failureReason, REASONS, type Reason } from '../reasons.ts';
import { parseItem } from './item.ts';
import { forgetTags } from './tags.ts';

const B = inputBytes;
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
/** Containers open around an item of `{"metrics":[…]}`. */
const ITEM_DEPTH = 2;

let maxBodyBytes = 0;
let maxBatch = 0;
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
    // Every earlier item either is rejected or has a row.
    if (B[i] === OPEN_BRACE) i = parseItem(i, index - rejected, index, ITEM_DEPTH);
    else i = rejectNonObject(i, index);
    if (i < 0) return ERR;
    let c = B[i]!;
    if (c <= LAST_SPACE) {
      i = skipSpace(i);
      c = B[i]!;
    }
    if (c === COMMA) {
      i++;
      if (B[i]! <= LAST_SPACE) i = skipSpace(i);
      continue;
    }
    if (c !== CLOSE_BRACKET) return fail(i, 'COMMA_OR_BRACKET');
    seen = index + 1;
    inItems = false;
    return i + 1;
  }
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
  i = skipSpace(i);
  return i === bodyBytes ? i : fail(i, 'TRAILING');
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
    if (B[i] === OPEN_BRACE) {
      let end = parseItem(i, index - rejected, index, 0);
      if (end >= 0) {
        end = skipSpace(end);
        if (B[end] !== NEWLINE && end !== bodyBytes) end = fail(end, 'TRAILING');
      }
      if (end < 0) end = rejectLine(index);
      i = end;
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

function parse(length: number, format: BodyFormat): ParseOutcome {
  assert(length >= 0 && length <= maxBodyBytes, 'body fits the input buffer');
  bodyBytes = length;
  B[length] = 0;
  outcome = PARSED;
  seen = 0;
  inItems = false;
  structureOffset = -1;
  columns.count = 0;
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
  columns.count = seen - rejected;
  return outcome;
}

function describeFailure(): ParseFailure {
  assert(outcome !== PARSED, 'the last body was rejected');
  if (outcome === BATCH_TOO_LARGE) {
    return { offset: failureOffset, field: 'metrics', reason: `must have at most ${maxBatch} items` };
  }
  if (!syntaxBroken) {
    return { offset: structureOffset, field: structureField, reason: REASONS[structureReason] };
  }
  const reason = failureOffset >= bodyBytes ? 'END' : failureReason;
  return { offset: failureOffset, field: inItems ? `metrics[${seen}]` : '', reason: REASONS[reason] };
}

/** This thread's parser. Its state is module state. */
class SinglePassParser implements Parser {
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
  failure = describeFailure;
}

/**
 * Lets V8 inline the whole parser. V8's default budget (460 bytes of bytecode per function, 920 in total) covers only
 * two of its functions, and each remaining call costs about 5 of 80 ns per metric. V8 reads the flags whenever it
 * optimises a function.
 */
function raiseInliningBudget(): void {
  setFlagsFromString('--max-inlined-bytecode-size=1000');
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=4000');
}

export const createParser = ((limits: ParserLimits): Parser => {
  assert(limits.maxBodyBytes <= BODY_CEILING_BYTES, 'maxBodyBytes is at most 64 MiB');
  assert(limits.maxBatch > 0 && limits.maxBatch <= BATCH_CEILING, 'maxBatch is 1 to 131,072');
  maxBodyBytes = limits.maxBodyBytes;
  maxBatch = limits.maxBatch;
  raiseInliningBudget();
  return new SinglePassParser(limits);
}) satisfies CreateParser;
