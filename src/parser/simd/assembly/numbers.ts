/** Checks the grammar of numbers, up to 32 digits at a time. Nothing is converted: the line copies the text. */
import { byteAt, REFUSED, vectorAt } from './memory.ts';

const PLUS: u32 = 0x2b;
const MINUS: u32 = 0x2d;
const POINT: u32 = 0x2e;
const ZERO: u32 = 0x30;
const LOWER_E: u32 = 0x65;
/** A line copies a value of at most this many bytes. */
const VALUE_MAX_BYTES: i32 = 32;
/** Every integer with at most this many digits is a valid timestamp. */
const TIMESTAMP_DIGITS: u32 = 15;

/** Bits of the digits among 16 bytes. */
@inline
function digitMask(x: v128): u32 {
  return i8x16.bitmask(i8x16.le_u(i8x16.sub(x, i8x16.splat(0x30)), i8x16.splat(9)));
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
  i += i32(byteAt(i) === MINUS);
  const others = ~(digitMask(vectorAt(i)) | (digitMask(vectorAt(i + 16)) << 16));
  const whole = ctz(others);
  // The second byte that is not a digit ends the fraction, if the first one is a point.
  const second = ctz((others & (others - 1)) | 0x80000000);
  const hasPoint = byteAt(i + whole) === POINT;
  const end = select<u32>(second, whole, hasPoint);
  if (others === 0 || whole === 0 || end >= 31) return REFUSED;
  if ((whole > 1 && byteAt(i) === ZERO) || (hasPoint && second === whole + 1)) return REFUSED;
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
  return digits - 1 < TIMESTAMP_DIGITS && byteAt(i) !== ZERO ? i + digits : REFUSED;
}
