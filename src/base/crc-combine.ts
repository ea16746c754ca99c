/**
 * The CRC-32 of two pieces joined, from the CRC of each, and of a piece without its end: without reading either again.
 *
 * A CRC is a polynomial over GF(2) modulo the CRC's own. Joining B behind A multiplies A's by x to the number of B's bits,
 * then adds B's. The powers x^(2^k) are a table, so the cost is that of a few dozen shifts, whatever the length.
 * Source: M. Adler, zlib, `crc32_combine`.
 */

/** The polynomial of zlib's CRC-32 with its bits reversed: bit 31 is the coefficient of x^0. */
const POLYNOMIAL = 0xedb8_8320;
const ONE = 0x8000_0000;
const BITS_PER_BYTE_LOG2 = 3;

/** The product of `a` and `b`, not 0, modulo the polynomial. */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = ONE; ; bit >>>= 1) {
    if ((a & bit) !== 0) {
      product ^= factor;
      if ((a & (bit - 1)) === 0) return product >>> 0;
    }
    factor = (factor & 1) === 0 ? factor >>> 1 : (factor >>> 1) ^ POLYNOMIAL;
  }
}

/** x^(2^k) at index k; they repeat after 32. */
const POWERS: Uint32Array = (() => {
  const powers = new Uint32Array(32);
  let power = ONE >>> 1;
  for (let k = 0; k < powers.length; k++) {
    powers[k] = power;
    power = multiply(power, power);
  }
  return powers;
})();

/** The CRC register's change by each value of its low byte, as in the usual table-driven CRC. */
const STEPS: Uint32Array = (() => {
  const steps = new Uint32Array(256);
  for (let byte = 0; byte < steps.length; byte++) {
    let register = byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ ((register & 1) * POLYNOMIAL);
    steps[byte] = register;
  }
  return steps;
})();
/** The index of each step by its high byte. No two steps have the same, so a byte can be taken back. */
const STEP_OF: Uint8Array = (() => {
  const indexes = new Uint8Array(256);
  for (const [index, step] of STEPS.entries()) indexes[step >>> 24] = index;
  return indexes;
})();

/** The CRC of a piece without its last bytes, `end`, from its CRC with them. */
export function crcWithout(crc: number, end: Uint8Array): number {
  let register = ~crc;
  for (let at = end.length - 1; at >= 0; at--) {
    const index = STEP_OF[register >>> 24]!;
    register = ((register ^ STEPS[index]!) << 8) | (index ^ end[at]!);
  }
  return ~register >>> 0;
}

/** @param secondBytes length of the second piece, below 2^31 */
export function combineCrc(first: number, second: number, secondBytes: number): number {
  if (first === 0) return second;
  let shift = ONE;
  let k = BITS_PER_BYTE_LOG2;
  for (let rest = secondBytes; rest > 0; rest >>>= 1, k++) {
    if ((rest & 1) !== 0) shift = multiply(POWERS[k & 31]!, shift);
  }
  return (multiply(first, shift) ^ second) >>> 0;
}
