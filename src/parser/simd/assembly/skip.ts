/** Skips values that the server does not read, checking their grammar. A skip returns the address after it, or REFUSED. */
import { byteAt, REFUSED, wordAt } from './memory.ts';
import { scanNumber } from './numbers.ts';
import { skipSpace } from './space.ts';
import { scanString } from './strings.ts';

const QUOTE: u32 = 0x22;
const COMMA: u32 = 0x2c;
const MINUS: u32 = 0x2d;
const ZERO: u32 = 0x30;
const COLON: u32 = 0x3a;
const OPEN_BRACKET: u32 = 0x5b;
const CLOSE_BRACKET: u32 = 0x5d;
const LOWER_F: u32 = 0x66;
const LOWER_N: u32 = 0x6e;
const LOWER_T: u32 = 0x74;
const OPEN_BRACE: u32 = 0x7b;
const CLOSE_BRACE: u32 = 0x7d;
const DEPTH_MAX: i32 = 64;

/** Four letters as a little-endian word. */
const TRUE: u32 = 0x65757274;
const NULL: u32 = 0x6c6c756e;
const ALSE: u32 = 0x65736c61;

/** Bit d is set if the container at depth d + 1 is an object. */
let objects: u64 = 0;

/** Skips a value of any kind. @param outer number of containers open around it */
export function skipValue(i: i32, outer: i32): i32 {
  let depth = outer;
  do {
    const c = byteAt(i);
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      if (depth === DEPTH_MAX) return REFUSED;
      i = skipSpace(i + 1);
      // In ASCII, a closing brace or bracket is its opening one plus two.
      if (byteAt(i) === c + 2) i++;
      else {
        setObject(depth++, c === OPEN_BRACE);
        if (c === OPEN_BRACE) i = skipKey(i);
        continue;
      }
    } else i = skipScalar(i, c);
    // After a value, either containers close or the next value follows.
    while (depth > outer && byteAt((i = skipSpace(i))) !== COMMA) {
      if (byteAt(i) !== (isObject(depth - 1) ? CLOSE_BRACE : CLOSE_BRACKET)) return REFUSED;
      i++;
      depth--;
    }
    if (depth > outer) {
      i = skipSpace(i + 1);
      if (isObject(depth - 1)) i = skipKey(i);
    }
  } while (depth > outer);
  return i;
}

@inline
function setObject(depth: i32, isObject: bool): void {
  const bit = (<u64>1) << depth;
  objects = isObject ? objects | bit : objects & ~bit;
}

@inline
function isObject(depth: i32): bool {
  return ((objects >> depth) & 1) !== 0;
}

function skipKey(i: i32): i32 {
  if (byteAt(i) !== QUOTE) return REFUSED;
  i = scanString(i + 1);
  if (i === REFUSED) return REFUSED;
  i = skipSpace(i + 1);
  return byteAt(i) === COLON ? skipSpace(i + 1) : REFUSED;
}

function skipScalar(i: i32, c: u32): i32 {
  if (c === QUOTE) {
    i = scanString(i + 1);
    return i === REFUSED ? REFUSED : i + 1;
  }
  if (c === LOWER_T) return wordAt(i) === TRUE ? i + 4 : REFUSED;
  if (c === LOWER_N) return wordAt(i) === NULL ? i + 4 : REFUSED;
  if (c === LOWER_F) return wordAt(i + 1) === ALSE ? i + 5 : REFUSED;
  return c === MINUS || c - ZERO <= 9 ? scanNumber(i) : REFUSED;
}
