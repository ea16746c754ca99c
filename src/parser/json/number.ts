/**
 * JSON numbers to the nearest double, bit for bit what `Number()` gives.
 *
 * Up to 15 digits and a power of ten up to 22 are both exact doubles, so one division or multiplication rounds
 * correctly (Clinger, "How to Read Floating Point Numbers Accurately", 1990). Up to 22 digits go through
 * double-double arithmetic (Dekker, 1971) whose error is far below the distance to a rounding boundary unless the
 * residual says otherwise; those, longer ones and larger exponents are left to `Number()`.
 */
import { inputBytes, inputView } from '../input-buffer.ts';
import { fail } from '../reasons.ts';

const B = inputBytes;
const V = inputView;
const text = Buffer.from(inputBytes.buffer, inputBytes.byteOffset, inputBytes.byteLength);

/** NUMBER[0] is the value of the number scanned last. */
export const NUMBER = new Float64Array(1);
const OUT = NUMBER;

const MINUS = 0x2d;
const POINT = 0x2e;
const PLUS = 0x2b;
const LOWER_E = 0x65;
const ZERO = 0x30;
/** Digits that always fit a double's 53 bits. */
const EXACT_DIGITS = 15;
/** 10^22 is the largest power of ten that is a double. */
const EXACT_POWER = 22;
/** 10^7 times 15 digits stays below 10^22, and its factors split exactly. */
const EXTRA_DIGITS = 7;

const POW10 = new Float64Array(EXACT_POWER + 1);
for (let power = 0; power <= EXACT_POWER; power++) POW10[power] = Number(`1e${power}`);

/** 2^27 + 1 splits a double into two halves whose products are exact (Veltkamp). */
const SPLIT = 134217729;

/**
 * Scans a number from its first byte, '-' or a digit, and puts its value into `NUMBER`.
 * @returns the offset after it, or BROKEN; a digit after a leading zero is left to the caller, who expects no digit
 */
export function scanNumber(i: number): number {
  const start = i;
  let c = B[i]!;
  const negative = c === MINUS;
  if (negative) c = B[++i]!;
  const first = i;
  let mantissa = 0;
  if (c === ZERO) {
    c = B[++i]!;
  } else {
    let digit = c - ZERO;
    if (digit >>> 0 > 9) return fail(i, 'DIGIT');
    let word = (V.getInt32(i, true) - 0x30303030) | 0;
    // A byte that is no digit is below '0' (its top bit is set by the borrow) or above '9' (by the addition).
    while ((((word + 0x76767676) | word) & 0x80808080) === 0 && i - first < 12) {
      word = (Math.imul(word, 10) + (word >>> 8)) & 0xff00ff;
      mantissa = mantissa * 10000 + ((word & 0xff) * 100 + (word >>> 16));
      i += 4;
      word = (V.getInt32(i, true) - 0x30303030) | 0;
    }
    c = B[i]!;
    digit = c - ZERO;
    while (digit >>> 0 <= 9) {
      if (i - first === EXACT_DIGITS) return scanLongInteger(start, i, mantissa);
      mantissa = mantissa * 10 + digit;
      c = B[++i]!;
      digit = c - ZERO;
    }
  }
  let power = 0;
  if (c === POINT) {
    const fraction = ++i;
    let digit = B[i]! - ZERO;
    if (digit >>> 0 > 9) return fail(i, 'DIGIT');
    // The digits before the point count, a zero too: one digit less in the fast path, one case less in the code.
    const limit = fraction + EXACT_DIGITS - (fraction - 1 - first);
    while (i + 4 <= limit) {
      let word = (V.getInt32(i, true) - 0x30303030) | 0;
      if ((((word + 0x76767676) | word) & 0x80808080) !== 0) break;
      word = (Math.imul(word, 10) + (word >>> 8)) & 0xff00ff;
      mantissa = mantissa * 10000 + ((word & 0xff) * 100 + (word >>> 16));
      i += 4;
    }
    c = B[i]!;
    digit = c - ZERO;
    while (digit >>> 0 <= 9) {
      if (i === limit) return scanLongFraction(start, i, fraction, mantissa);
      mantissa = mantissa * 10 + digit;
      c = B[++i]!;
      digit = c - ZERO;
    }
    power = fraction - i;
  }
  if ((c | 0x20) === LOWER_E) return scanExponent(start, i, mantissa, power);
  const magnitude = power === 0 ? mantissa : mantissa / POW10[-power]!;
  OUT[0] = negative ? -magnitude : magnitude;
  return i;
}

/** From the 'e' on; `mantissa`·10^`power` is what stands before it, NaN where that is not exact. */
function scanExponent(start: number, i: number, mantissa: number, power: number): number {
  let c = B[++i]!;
  const negative = c === MINUS;
  if (negative || c === PLUS) c = B[++i]!;
  let digit = c - ZERO;
  if (digit >>> 0 > 9) return fail(i, 'DIGIT');
  let exponent = 0;
  do {
    // No exponent of this size is exact; further digits must not overflow it.
    if (exponent < 100_000) exponent = exponent * 10 + digit;
    digit = B[++i]! - ZERO;
  } while (digit >>> 0 <= 9);
  power += negative ? -exponent : exponent;
  if (!Number.isNaN(mantissa) && power >= -EXACT_POWER && power <= EXACT_POWER) {
    const magnitude = power < 0 ? mantissa / POW10[-power]! : mantissa * POW10[power]!;
    OUT[0] = B[start] === MINUS ? -magnitude : magnitude;
    return i;
  }
  return convert(start, i);
}

/** An integer part of more digits than are exact; `i` is after the first EXACT_DIGITS of them. */
function scanLongInteger(start: number, i: number, mantissa: number): number {
  let extra = 0;
  let digits = 0;
  let digit = B[i]! - ZERO;
  while (digit >>> 0 <= 9) {
    if (digits < EXTRA_DIGITS) extra = extra * 10 + digit;
    digits++;
    digit = B[++i]! - ZERO;
  }
  const integerEnd = i;
  if (B[i] === POINT) {
    digit = B[++i]! - ZERO;
    if (digit >>> 0 > 9) return fail(i, 'DIGIT');
    while (digit >>> 0 <= 9) {
      if (digits < EXTRA_DIGITS) extra = extra * 10 + digit;
      digits++;
      digit = B[++i]! - ZERO;
    }
  }
  if ((B[i]! | 0x20) === LOWER_E) return scanExponent(start, i, Number.NaN, 0);
  const fractionDigits = i === integerEnd ? 0 : i - integerEnd - 1;
  return finishLong(start, i, mantissa, extra, digits, -fractionDigits);
}

/** A fraction of more digits than are exact; `i` is after the last one that is. */
function scanLongFraction(start: number, i: number, fraction: number, mantissa: number): number {
  let extra = 0;
  let digits = 0;
  let digit = B[i]! - ZERO;
  while (digit >>> 0 <= 9) {
    if (digits < EXTRA_DIGITS) extra = extra * 10 + digit;
    digits++;
    digit = B[++i]! - ZERO;
  }
  if ((B[i]! | 0x20) === LOWER_E) return scanExponent(start, i, Number.NaN, 0);
  return finishLong(start, i, mantissa, extra, digits, fraction - i);
}

/** Value of (`mantissa`·10^`digits` + `extra`)·10^`power`, which is the text `[start, end)`. */
function finishLong(
  start: number,
  end: number,
  mantissa: number,
  extra: number,
  digits: number,
  power: number,
): number {
  if (digits > EXTRA_DIGITS || power < -EXACT_POWER) return convert(start, end);
  // mantissa·scale as an exact pair: scale is below 2^27, so both partial products are exact.
  const scale = POW10[digits]!;
  const product = mantissa * scale;
  let t = SPLIT * mantissa;
  const high = t - (t - mantissa);
  const rest = high * scale - product + (mantissa - high) * scale + extra;
  const sum = product + rest;
  const sumError = rest - (sum - product);
  const divisor = POW10[-power]!;
  const quotient = sum / divisor;
  // quotient·divisor as an exact pair (Dekker's product), for the remainder of the division.
  const back = quotient * divisor;
  t = SPLIT * quotient;
  const quotientHigh = t - (t - quotient);
  const quotientLow = quotient - quotientHigh;
  t = SPLIT * divisor;
  const divisorHigh = t - (t - divisor);
  const divisorLow = divisor - divisorHigh;
  const backError =
    quotientHigh * divisorHigh -
    back +
    quotientHigh * divisorLow +
    quotientLow * divisorHigh +
    quotientLow * divisorLow;
  const correction = (sum - back - backError + sumError) / divisor;
  const rounded = quotient + correction;
  const residual = correction - (rounded - quotient);
  // Rounded stands when even a residual that is wrong in its seventh digit does not reach the next double.
  if (rounded !== rounded + residual * 1.0000001) return convert(start, end);
  OUT[0] = B[start] === MINUS ? -rounded : rounded;
  return end;
}

function convert(start: number, end: number): number {
  OUT[0] = Number(text.toString('latin1', start, end));
  return end;
}
