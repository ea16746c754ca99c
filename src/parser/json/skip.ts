/** Skips values that the server does not read, checking their grammar. */
import { inputBytes } from '../input-buffer.ts';
import { DEPTH_MAX } from '../parser.ts';
import { BROKEN, fail } from '../reasons.ts';
import { scanNumber } from './number.ts';
import { skipSpace } from './space.ts';
import { scanString } from './strings.ts';

const B = inputBytes;
const ERR = BROKEN;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** 1 if the container at that depth is an object. */
const IS_OBJECT = new Uint8Array(DEPTH_MAX + 1);
const MAX = DEPTH_MAX;

/**
 * Skips one value of any kind.
 * @param i offset of its first byte, after white space
 * @param outer number of containers open around it
 * @returns the offset after it, or BROKEN
 */
export function skipValue(i: number, outer: number): number {
  return skipNested(i, outer, outer);
}

/**
 * Skips the rest of an object, from a member's key on.
 * @param i offset where the key must begin
 * @param depth number of open containers, including this object
 * @returns the offset after the object's closing brace, or BROKEN
 */
export function skipMembers(i: number, depth: number): number {
  IS_OBJECT[depth] = 1;
  i = skipKey(i);
  return i < 0 ? ERR : skipNested(i, depth - 1, depth);
}

/** Skips a value at `depth` and everything after it until only `outer` containers are open. */
function skipNested(i: number, outer: number, depth: number): number {
  value: for (;;) {
    const c = B[i]!;
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      if (depth === MAX) return fail(i, 'DEPTH');
      const next = skipSpace(i + 1);
      // In ASCII, a closing brace or bracket is its opening one plus two.
      if (B[next] === c + 2) {
        i = next + 1;
      } else {
        depth++;
        IS_OBJECT[depth] = c === OPEN_BRACE ? 1 : 0;
        i = c === OPEN_BRACE ? skipKey(next) : next;
        if (i < 0) return ERR;
        continue;
      }
    } else {
      i = skipScalar(i, c);
      if (i < 0) return ERR;
    }
    // After a value, either a container closes or the next value follows.
    while (depth > outer) {
      i = skipSpace(i);
      const next = B[i]!;
      const inObject = IS_OBJECT[depth] === 1;
      if (next === COMMA) {
        i = skipSpace(i + 1);
        if (inObject) i = skipKey(i);
        if (i < 0) return ERR;
        continue value;
      }
      if (next !== (inObject ? CLOSE_BRACE : CLOSE_BRACKET)) {
        return fail(i, inObject ? 'COMMA_OR_BRACE' : 'COMMA_OR_BRACKET');
      }
      i++;
      depth--;
    }
    return i;
  }
}

function skipScalar(i: number, c: number): number {
  if (c === QUOTE) {
    const end = scanString(i + 1);
    return end === ERR ? ERR : (end < 0 ? ~end : end) + 1;
  }
  if (c === MINUS || (c >= ZERO && c <= NINE)) {
    const end = scanNumber(i);
    return end < 0 && end !== ERR ? ~end : end;
  }
  if (c === LOWER_T) return skipLiteral(i, 'true');
  if (c === LOWER_F) return skipLiteral(i, 'false');
  if (c === LOWER_N) return skipLiteral(i, 'null');
  return fail(i, 'VALUE');
}

function skipLiteral(i: number, literal: string): number {
  for (let at = 1; at < literal.length; at++) {
    if (B[i + at] !== literal.charCodeAt(at)) return fail(i + at, 'LITERAL');
  }
  return i + literal.length;
}

/** Skips a key and its colon; returns the offset of the value's first byte. */
function skipKey(i: number): number {
  if (B[i] !== QUOTE) return fail(i, 'KEY');
  const end = scanString(i + 1);
  return end === ERR ? ERR : skipColon((end < 0 ? ~end : end) + 1);
}

/** Skips the colon after a key and the white space around it. */
export function skipColon(i: number): number {
  if (B[i] !== COLON) {
    i = skipSpace(i);
    if (B[i] !== COLON) return fail(i, 'COLON');
  }
  return skipSpace(i + 1);
}
