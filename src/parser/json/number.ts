/**
 * Checks the grammar of JSON numbers, four digits at a time.
 *
 * The line encoder copies a number's text, so nothing is converted here. Only a number that may be too large for a
 * double needs a conversion, and its caller decides whether it matters.
 */
import { inputBytes, inputView } from '../input-buffer.ts';
import { fail } from '../reasons.ts';

const B = inputBytes;
const V = inputView;
const text = Buffer.from(inputBytes.buffer, inputBytes.byteOffset, inputBytes.byteLength);

const MINUS = 0x2d;
const POINT = 0x2e;
const PLUS = 0x2b;
const LOWER_E = 0x65;
const ZERO = 0x30;

/**
 * A text of at most this many bytes is below 10^200; times 10^99, the largest power with a two-digit exponent, it is
 * still below the largest double, about 1.8·10^308.
 */
const FINITE_BYTES = 200;
const FINITE_EXPONENT_DIGITS = 2;

/**
 * Scans a number from its first byte, '-' or a digit. A digit after a leading zero is left to the caller, which
 * expects no digit there.
 * @returns offset `e` after the number if it is finite as a double; `~e` if only a conversion can decide that; BROKEN
 */
export function scanNumber(i: number): number {
  const start = i;
  let digit = B[i]! - ZERO;
  if (digit === MINUS - ZERO) digit = B[++i]! - ZERO;
  if (digit === 0) {
    i++;
  } else {
    if (digit >>> 0 > 9) return fail(i, 'DIGIT');
    i = skipDigits(i + 1);
  }
  let c = B[i]!;
  if (c === POINT) {
    i++;
    if ((B[i]! - ZERO) >>> 0 > 9) return fail(i, 'DIGIT');
    i = skipDigits(i + 1);
    c = B[i]!;
  }
  if ((c | 0x20) === LOWER_E) return scanExponent(start, i + 1);
  return i - start > FINITE_BYTES ? ~i : i;
}

/** Offset of the first byte at or after `i` that is not a digit. */
export function skipDigits(i: number): number {
  for (;;) {
    const word = (V.getInt32(i, true) - 0x30303030) | 0;
    // The lowest set bit marks the first other byte: below '0' the subtraction sets its top bit, above '9' the addition.
    const other = ((word + 0x76767676) | word) & 0x80808080;
    if (other !== 0) return i + ((31 - Math.clz32(other & -other)) >> 3);
    i += 4;
  }
}

/** Scans the exponent, from the byte after the 'e'. */
function scanExponent(start: number, i: number): number {
  const sign = B[i]!;
  if (sign === MINUS || sign === PLUS) i++;
  const digits = i;
  if ((B[i]! - ZERO) >>> 0 > 9) return fail(i, 'DIGIT');
  i = skipDigits(i + 1);
  return i - digits > FINITE_EXPONENT_DIGITS || i - start > FINITE_BYTES ? ~i : i;
}

/** The nearest double of the number `[start, end)`; infinite if it is too large. */
export function numberOf(start: number, end: number): number {
  return Number(text.toString('latin1', start, end));
}
