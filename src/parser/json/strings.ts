/**
 * Scans strings: four bytes at a time while they are plain ASCII, byte by byte from the first other byte on.
 *
 * The slow part validates escapes, UTF-8 (Unicode 15, table 3-7) and surrogate pairs. It also collects the facts that
 * the rules for names need. The word-wide test is Mycroft's test for a zero byte, for bytes below 0x80.
 */
import { inputBytes, inputView, SCRATCH_START } from '../input-buffer.ts';
import { BROKEN, fail } from '../reasons.ts';

const B = inputBytes;
const V = inputView;
const ERR = BROKEN;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;

/** Value of a hexadecimal digit; -1 for any other byte. */
const HEX = new Int8Array(256).fill(-1);
for (let digit = 0; digit < 10; digit++) HEX[0x30 + digit] = digit;
for (let digit = 0; digit < 6; digit++) {
  HEX[0x41 + digit] = 10 + digit;
  HEX[0x61 + digit] = 10 + digit;
}

/** The byte that a one-letter escape means, by its letter; 0 for other letters. */
const ESCAPED = new Uint8Array(256);
for (const [letter, byte] of Object.entries({
  '"': 0x22,
  '\\': 0x5c,
  '/': 0x2f,
  b: 8,
  f: 12,
  n: 10,
  r: 13,
  t: 9,
})) {
  ESCAPED[letter.charCodeAt(0)] = byte;
}

/**
 * Facts about the last string that was not plain: bytes that unescaping removes, and whether a control character (Cc)
 * occurs at or after its first byte that is not plain.
 */
export let droppedBytes = 0;
export let hasControl = false;

/**
 * Scans a string from the byte after its opening quote.
 * @returns offset `e` of the closing quote if every byte is plain ASCII; `~e` if the string has escapes or non-ASCII
 * characters (`droppedBytes` and `hasControl` then describe it); BROKEN on a syntax error
 */
export function scanString(i: number): number {
  for (;;) {
    const word = V.getInt32(i, true);
    // The lowest set bit marks the first byte that is a quote, a backslash, below 0x20 or above 0x7f.
    const special =
      ((word - 0x20202020) | ((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101) | word) &
      0x80808080;
    if (special === 0) {
      i += 4;
      continue;
    }
    i += (31 - Math.clz32(special & -special)) >> 3;
    return B[i] === QUOTE ? i : scanRest(i);
  }
}

/** As `scanString`, but U+007F, a control character, is not plain either: so `hasControl` covers the whole string. */
export function scanName(i: number): number {
  for (;;) {
    const word = V.getInt32(i, true);
    const special =
      ((word - 0x20202020) |
        ((word ^ 0x22222222) - 0x01010101) |
        ((word ^ 0x5c5c5c5c) - 0x01010101) |
        (word + 0x01010101) |
        word) &
      0x80808080;
    if (special === 0) {
      i += 4;
      continue;
    }
    i += (31 - Math.clz32(special & -special)) >> 3;
    return B[i] === QUOTE ? i : scanRest(i);
  }
}

/** Scans the rest of a string from `i`, the start of a character. */
function scanRest(i: number): number {
  let dropped = 0;
  let control = false;
  for (;;) {
    const c = B[i]!;
    if (c === QUOTE) {
      droppedBytes = dropped;
      hasControl = control;
      return ~i;
    }
    if (c === BACKSLASH) {
      const letter = B[i + 1]!;
      if (letter === LOWER_U) {
        const unit = hexUnit(i + 2);
        if (unit < 0) return fail(firstNonHex(i + 2), 'ESCAPE');
        if (unit >= 0xd800 && unit < 0xe000) {
          if (!isSurrogatePair(unit, i + 6)) return failSurrogate(unit, i);
          dropped += 12 - 4;
          i += 12;
          continue;
        }
        if (isControl(unit)) control = true;
        dropped += 6 - (unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3);
        i += 6;
        continue;
      }
      const byte = ESCAPED[letter]!;
      if (byte === 0) return fail(i + 1, 'ESCAPE');
      if (byte < 0x20) control = true;
      dropped++;
      i += 2;
    } else if (c < 0x80) {
      if (c < 0x20) return fail(i, 'CONTROL');
      if (c === 0x7f) control = true;
      i++;
    } else {
      if (c === 0xc2 && B[i + 1]! < 0xa0) control = true;
      const length = utf8Length(i, c);
      if (length < 0) return ERR;
      i += length;
    }
  }
}

/** Length in bytes of the non-ASCII character at `i` with first byte `lead`, or BROKEN. */
function utf8Length(i: number, lead: number): number {
  const second = B[i + 1]!;
  if (lead < 0xc2 || lead > 0xf4) return fail(i, 'UTF8');
  if ((second & 0xc0) !== 0x80) return fail(i + 1, 'UTF8');
  if (lead < 0xe0) return 2;
  // The second byte reveals overlong forms, surrogates and code points past U+10FFFF.
  if (
    (lead === 0xe0 && second < 0xa0) ||
    (lead === 0xed && second > 0x9f) ||
    (lead === 0xf0 && second < 0x90) ||
    (lead === 0xf4 && second > 0x8f)
  ) {
    return fail(i + 1, 'UTF8');
  }
  if ((B[i + 2]! & 0xc0) !== 0x80) return fail(i + 2, 'UTF8');
  if (lead < 0xf0) return 3;
  if ((B[i + 3]! & 0xc0) !== 0x80) return fail(i + 3, 'UTF8');
  return 4;
}

/** Code unit of the four hexadecimal digits at `i`; negative if one of them is not a digit. */
function hexUnit(i: number): number {
  return (HEX[B[i]!]! << 12) | (HEX[B[i + 1]!]! << 8) | (HEX[B[i + 2]!]! << 4) | HEX[B[i + 3]!]!;
}

/** Offset of the first of four bytes at `i` that is not a hexadecimal digit. */
function firstNonHex(i: number): number {
  const end = i + 4;
  while (i < end && HEX[B[i]!]! >= 0) i++;
  return i;
}

/** Whether the bytes at `i` are the escape of a low surrogate and `unit` is a high one. */
function isSurrogatePair(unit: number, i: number): boolean {
  if (unit >= 0xdc00 || B[i] !== BACKSLASH || B[i + 1] !== LOWER_U) return false;
  const low = hexUnit(i + 2);
  return low >= 0xdc00 && low < 0xe000;
}

/** Fails at the first byte that rules out a surrogate pair beginning with the escape at `i`. */
function failSurrogate(unit: number, i: number): number {
  // The second digit identifies a low surrogate.
  if (unit >= 0xdc00) return fail(i + 3, 'SURROGATE');
  const next = i + 6;
  if (B[next] !== BACKSLASH) return fail(next, 'SURROGATE');
  if (B[next + 1] !== LOWER_U) return fail(next + 1, 'SURROGATE');
  const digit = firstNonHex(next + 2);
  if (HEX[B[next + 2]!]! !== 0xd) return fail(next + 2, digit === next + 2 ? 'ESCAPE' : 'SURROGATE');
  if (HEX[B[next + 3]!]! < 0xc) return fail(next + 3, digit === next + 3 ? 'ESCAPE' : 'SURROGATE');
  return fail(digit, 'ESCAPE');
}

/** Whether the unit is in Unicode category Cc. */
function isControl(unit: number): boolean {
  return unit < 0x20 || (unit >= 0x7f && unit < 0xa0);
}

let scratchEnd = SCRATCH_START;

/** Discards all unescaped keys. Call it once per body: the keys of one body fit, since the body is longer. */
export function resetScratch(): void {
  scratchEnd = SCRATCH_START;
}

/** Unescapes the validated span `[start, end)` into the scratch part of the input; returns the offset of the copy. */
export function unescapeToScratch(start: number, end: number): number {
  const from = scratchEnd;
  let to = from;
  while (start < end) {
    const c = B[start]!;
    if (c !== BACKSLASH) {
      B[to++] = c;
      start++;
      continue;
    }
    const letter = B[start + 1]!;
    if (letter !== LOWER_U) {
      B[to++] = ESCAPED[letter]!;
      start += 2;
      continue;
    }
    let point = hexUnit(start + 2);
    start += 6;
    if (point >= 0xd800 && point < 0xdc00) {
      point = 0x10000 + ((point - 0xd800) << 10) + (hexUnit(start + 2) - 0xdc00);
      start += 6;
    }
    to = putUtf8(to, point);
  }
  scratchEnd = to;
  return from;
}

/** Offset after the last unescaped span. */
export function scratchTop(): number {
  return scratchEnd;
}

function putUtf8(to: number, point: number): number {
  if (point < 0x80) {
    B[to++] = point;
    return to;
  }
  if (point < 0x800) {
    B[to++] = 0xc0 | (point >> 6);
  } else {
    if (point < 0x10000) {
      B[to++] = 0xe0 | (point >> 12);
    } else {
      B[to++] = 0xf0 | (point >> 18);
      B[to++] = 0x80 | ((point >> 12) & 0x3f);
    }
    B[to++] = 0x80 | ((point >> 6) & 0x3f);
  }
  B[to++] = 0x80 | (point & 0x3f);
  return to;
}
