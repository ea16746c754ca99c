/**
 * Scans strings, 32 bytes at a time while they are plain ASCII.
 *
 * A scan returns the address of the closing quote, or REFUSED: TypeScript then decides whether the string is invalid,
 * and why. The NUL after the body ends every scan.
 */
import { byteAt, REFUSED, vectorAt } from './memory.ts';

const QUOTE: u32 = 0x22;
const SLASH: u32 = 0x2f;
const BACKSLASH: u32 = 0x5c;
const LOWER_U: u32 = 0x75;
const DELETE: u32 = 0x7f;
const NAME_MAX_BYTES: u32 = 255;

/** Bits of bytes that end a plain run: quote, backslash, control and non-ASCII bytes; also blank and '!'. */
@inline
function roughMask(x: v128): u32 {
  return i8x16.bitmask(v128.or(i8x16.lt_s(x, i8x16.splat(0x23)), i8x16.eq(x, i8x16.splat(0x5c))));
}

/** Bits of quotes, backslashes, control and non-ASCII bytes. */
@inline
function exactMask(x: v128): u32 {
  const quote = i8x16.eq(x, i8x16.splat(0x22));
  const backslash = i8x16.eq(x, i8x16.splat(0x5c));
  return i8x16.bitmask(v128.or(v128.or(quote, backslash), i8x16.lt_s(x, i8x16.splat(0x20))));
}

/** Address of the closing quote if the string is plain ASCII; `~a` with the address of the first other byte. */
@inline
export function scanPlain(i: i32): i32 {
  let mask: u32;
  // Two comparisons instead of three: a blank or '!' is rare enough for a second look.
  while ((mask = roughMask(vectorAt(i)) | (roughMask(vectorAt(i + 16)) << 16)) === 0) i += 32;
  i += ctz(mask);
  return byteAt(i) === QUOTE ? i : scanPlainExactly(i);
}

function scanPlainExactly(i: i32): i32 {
  i = nextSpecial(i);
  return byteAt(i) === QUOTE ? i : ~i;
}

/** Address of the first quote, backslash, control or non-ASCII byte at or after `i`. */
@inline
function nextSpecial(i: i32): i32 {
  let mask: u32;
  while ((mask = exactMask(vectorAt(i))) === 0) i += 16;
  return i + ctz(mask);
}

/** Scans any string, from the byte after its opening quote. */
@inline
export function scanString(i: i32): i32 {
  i = scanPlain(i);
  return i >= 0 ? i : scanRest(~i);
}

/** Scans the rest of a string from the start of a character, validating escapes and UTF-8. */
function scanRest(i: i32): i32 {
  let c: u32;
  while ((c = byteAt((i = nextSpecial(i)))) !== QUOTE) {
    const bytes = c === BACKSLASH ? escapeBytes(i) : utf8Bytes(i, c);
    if (bytes === 0) return REFUSED;
    i += bytes;
  }
  return i;
}

/** Scans a name of 1 to 255 bytes, from its opening quote. */
@inline
export function scanName(i: i32): i32 {
  if (byteAt(i) !== QUOTE) return REFUSED;
  let end = i + 1;
  let mask: u32;
  while ((mask = nameMask(vectorAt(end)) | (nameMask(vectorAt(end + 16)) << 16)) === 0) end += 32;
  end += ctz(mask);
  if (byteAt(end) !== QUOTE) return scanRestOfName(i + 1, end);
  return <u32>(end - i - 2) < NAME_MAX_BYTES ? end : REFUSED;
}

/** As `roughMask`, and U+007F, a control character: one more, and it is negative like the bytes above it. */
@inline
function nameMask(x: v128): u32 {
  const low = i8x16.lt_s(i8x16.add(x, i8x16.splat(1)), i8x16.splat(0x24));
  return i8x16.bitmask(v128.or(low, i8x16.eq(x, i8x16.splat(0x5c))));
}

/** As `scanRest`; also refuses control characters, and counts unescaped bytes. */
function scanRestOfName(start: i32, i: i32): i32 {
  let dropped = 0;
  let c: u32;
  while ((c = byteAt(i)) !== QUOTE) {
    let bytes = 1;
    if (c === BACKSLASH) {
      bytes = escapeBytes(i);
      const meaning = bytes === 2 ? 1 : bytes === 6 ? unitBytes(hexUnit(i + 2)) : 4;
      // Of the short escapes, only these three are not control characters.
      const letter = byteAt(i + 1);
      if (bytes === 2 && letter !== QUOTE && letter !== BACKSLASH && letter !== SLASH) return REFUSED;
      if (bytes === 0 || meaning === 0) return REFUSED;
      dropped += bytes - meaning;
    } else if (c >= 0x80) {
      bytes = utf8Bytes(i, c);
      if (bytes === 0 || (c === 0xc2 && byteAt(i + 1) < 0xa0)) return REFUSED;
    } else if (c < 0x20 || c === DELETE) return REFUSED;
    i += bytes;
  }
  return <u32>(i - start - dropped - 1) < NAME_MAX_BYTES ? i : REFUSED;
}

/** UTF-8 length of a code unit that is not a surrogate; 0 for control characters. */
function unitBytes(unit: i32): i32 {
  if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0)) return 0;
  return unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
}

/** Bytes of the escape at `i`: 2, 6, or 12 for a surrogate pair; 0 if it is invalid. */
function escapeBytes(i: i32): i32 {
  const letter = byteAt(i + 1);
  if (letter !== LOWER_U) return isShortEscape(letter) ? 2 : 0;
  const unit = hexUnit(i + 2);
  if (unit < 0) return 0;
  if (unit < 0xd800 || unit >= 0xe000) return 6;
  if (unit >= 0xdc00 || byteAt(i + 6) !== BACKSLASH || byteAt(i + 7) !== LOWER_U) return 0;
  const low = hexUnit(i + 8);
  return low >= 0xdc00 && low < 0xe000 ? 12 : 0;
}

/** Whether the letter is one of " \ / b f n r t. */
@inline
function isShortEscape(letter: u32): bool {
  if (letter === QUOTE || letter === SLASH || letter === BACKSLASH) return true;
  // Bits of b, f, n, r and t, counted from a.
  const at = letter - 0x61;
  return at < 32 && ((0x000a2022 >> at) & 1) !== 0;
}

/** The code unit of four hexadecimal digits, or -1. */
function hexUnit(i: i32): i32 {
  const a = hexDigit(byteAt(i));
  const b = hexDigit(byteAt(i + 1));
  const c = hexDigit(byteAt(i + 2));
  const d = hexDigit(byteAt(i + 3));
  return (a | b | c | d) < 0 ? -1 : (a << 12) | (b << 8) | (c << 4) | d;
}

function hexDigit(c: u32): i32 {
  if (c - 0x30 <= 9) return c - 0x30;
  const letter = (c | 0x20) - 0x61;
  return letter <= 5 ? letter + 10 : -1;
}

/** Bytes of the character outside ASCII at `i` (Unicode 15, table 3-7); 0 if it is invalid. */
function utf8Bytes(i: i32, lead: u32): i32 {
  const second = byteAt(i + 1);
  if (lead < 0xc2 || lead > 0xf4 || (second & 0xc0) !== 0x80) return 0;
  if (lead < 0xe0) return 2;
  if (lead === 0xe0 && second < 0xa0) return 0;
  if (lead === 0xed && second > 0x9f) return 0;
  if (lead === 0xf0 && second < 0x90) return 0;
  if (lead === 0xf4 && second > 0x8f) return 0;
  if ((byteAt(i + 2) & 0xc0) !== 0x80) return 0;
  if (lead < 0xf0) return 3;
  return (byteAt(i + 3) & 0xc0) === 0x80 ? 4 : 0;
}
