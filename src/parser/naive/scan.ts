/**
 * Finds the ends of tokens by counting quotes and brackets. The bytes have already passed the grammar check.
 *
 * Every function stops at `limit`: if a body has a syntax error, only the bytes before it are known to be valid.
 */
import { inputBytes } from '../input-buffer.ts';
import { skipSpace } from '../json/space.ts';

const B = inputBytes;

const LAST_SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** The current body: its bytes, and the same as searchable text with one character per byte. */
export let body = Buffer.alloc(0);
export let text = '';

export function setBody(length: number): void {
  body = Buffer.from(B.buffer, B.byteOffset, length);
  text = body.toString('latin1');
}

/** Unescaped text of the string `[start, end)`, which includes its quotes. */
export function unescapedText(start: number, end: number): string {
  const raw = body.toString('utf8', start, end);
  return raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
}

/** Offset after the string that opens at `i`. */
export function endOfString(i: number, limit: number): number {
  for (i++; i < limit; i++) {
    if (B[i] === QUOTE) return i + 1;
    if (B[i] === BACKSLASH) i++;
  }
  return limit;
}

/** Offset after the value that begins at `i`. */
export function endOfValue(i: number, limit: number): number {
  const c = B[i]!;
  if (c === QUOTE) return endOfString(i, limit);
  if (c === OPEN_BRACE || c === OPEN_BRACKET) return endOfContainer(i, limit);
  while (i < limit && !endsScalar(B[i]!)) i++;
  return i;
}

function endOfContainer(i: number, limit: number): number {
  let depth = 0;
  while (i < limit) {
    const c = B[i]!;
    if (c === QUOTE) {
      i = endOfString(i, limit);
      continue;
    }
    i++;
    if (c === OPEN_BRACE || c === OPEN_BRACKET) depth++;
    else if ((c === CLOSE_BRACE || c === CLOSE_BRACKET) && --depth === 0) return i;
  }
  return limit;
}

/** Whether this byte ends a number or a literal. */
function endsScalar(c: number): boolean {
  return c <= LAST_SPACE || c === COMMA || c === CLOSE_BRACE || c === CLOSE_BRACKET;
}

/**
 * Receives a member of an object: its key `[key, keyEnd)`, including the quotes, and the offset of its value.
 * @returns whether to continue with the next member
 */
export type VisitMember = (key: number, keyEnd: number, value: number) => boolean;

/** Visits the members of the object at `open` whose value begins before `limit`. */
export function eachMember(open: number, limit: number, visit: VisitMember): void {
  let key = skipSpace(open + 1);
  while (key < limit && B[key] === QUOTE) {
    const keyEnd = endOfString(key, limit);
    const value = skipSpace(skipSpace(keyEnd) + 1);
    if (value >= limit || !visit(key, keyEnd, value)) return;
    const comma = skipSpace(endOfValue(value, limit));
    if (B[comma] !== COMMA) return;
    key = skipSpace(comma + 1);
  }
}

/** Whether `[start, end)` has white space between its tokens. */
export function hasSpace(start: number, end: number): boolean {
  for (let i = start; i < end; ) {
    if (B[i] === QUOTE) {
      i = endOfString(i, end);
    } else {
      if (B[i]! <= LAST_SPACE) return true;
      i++;
    }
  }
  return false;
}
