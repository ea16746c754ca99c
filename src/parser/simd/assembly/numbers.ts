/** Checks the grammar of numbers, up to 32 digits at a time. Nothing is converted: the line copies the text. */
import { byteAt, REFUSED, vectorAt } from './memory.ts';

const PLUS: u32 = 0x2b;
const MINUS: u32 = 0x2d;
const ZERO: u32 = 0x30;
const LOWER_E: u32 = 0x65;
/** A line copies a value of at most this many bytes. */
const VALUE_MAX_BYTES: i32 = 32;
/** Every integer with at most this many digits is a valid timestamp. */
const TIMESTAMP_DIGITS: u32 = 15;
const USUAL_DIGITS: u32 = 13;

/** Bits of the digits among 16 bytes. */
@inline
function digitMask(x: v128): u32 {
  return i8x16.bitmask(i8x16.le_u(i8x16.sub(x, i8x16.splat(0x30)), i8x16.splat(9)));
}

/** Bits of the points among 16 bytes. */
@inline
function pointMask(x: v128): u32 {
  return i8x16.bitmask(i8x16.eq(x, i8x16.splat(0x2e)));
}

@inline
function isDigit(c: u32): bool {
  return c - ZERO <= 9;
}

/**
 * Scans a number whose text is at most 32 bytes long and finite as a double.
 * @returns the address after it; REFUSED for other numbers, and for bytes that are not a number
 */
@inline
export function scanNumber(i: i32): i32 {
  const start = i;
  // The processor guesses the turns of a loop. The compiler would make a sum of a branch, and all below would wait for it.
  while (byteAt(i) === MINUS) i++;
  if (i > start + 1) return REFUSED;
  const low = vectorAt(i);
  const high = vectorAt(i + 16);
  // Digits and points give the end at once; whether there is a good point is checked beside it.
  const points = pointMask(low) | (pointMask(high) << 16);
  const end = ctz(~(digitMask(low) | (digitMask(high) << 16) | points));
  if (end >= 31) return REFUSED;
  const inside = points & (((<u32>1) << end) - 1);
  const whole = ctz(inside | ((<u32>1) << end));
  if (whole === 0 || (whole > 1 && byteAt(i) === ZERO)) return REFUSED;
  if (inside !== 0 && (whole + 1 === end || (inside & (inside - 1)) !== 0)) return REFUSED;
  i += end;
  return (byteAt(i) | 0x20) === LOWER_E ? scanExponent(start, i + 1) : i;
}

/** Scans an exponent of one or two digits. With these, a mantissa of 30 digits is always finite. */
function scanExponent(start: i32, i: i32): i32 {
  const sign = byteAt(i);
  if (sign === MINUS || sign === PLUS) i++;
  if (!isDigit(byteAt(i))) return REFUSED;
  i++;
  if (isDigit(byteAt(i))) i++;
  return isDigit(byteAt(i)) || i - start > VALUE_MAX_BYTES ? REFUSED : i;
}

/** Scans a timestamp of 1 to 15 plain digits; returns the address after it, or REFUSED. */
@inline
export function scanTimestamp(i: i32): i32 {
  const digits = ctz(~digitMask(vectorAt(i)));
  // Milliseconds have 13 digits until 2286. The processor guesses this, and goes on without waiting for the count.
  if (digits === USUAL_DIGITS && byteAt(i) !== ZERO) return i + USUAL_DIGITS;
  return digits - 1 < TIMESTAMP_DIGITS && byteAt(i) !== ZERO ? i + digits : REFUSED;
}
