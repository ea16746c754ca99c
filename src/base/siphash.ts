/**
 * HalfSipHash-2-4 with a 64-bit result: the keyed hash by which the limiter identifies its clients.
 *
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (INDOCRYPT 2012), and the authors'
 * reference code for its 32-bit form, https://github.com/veorq/SipHash (halfsiphash.c).
 *
 * Why a keyed hash: with a public one, a client could choose keys that fill one set and push others into its overflow
 * bucket. Why this one: JavaScript has no fast 64-bit integers, so SipHash-1-3 in 32-bit halves pays for carries (50 ns
 * for 12 bytes; this one takes 41 on the same machine). Of the 32-bit forms, HalfSipHash-2-4 has the authors' full number
 * of rounds and test vectors. Its key has 64 bits: to find it from the exposed hashes, an attacker would have to try 2^63
 * keys while the process runs.
 */

/**
 * Hashes `bytes[0, length)`.
 * @param key0 @param key1 the secret key, little-endian halves
 * @param out receives the hash's low and high 32 bits at index 0 and 1
 */
export function halfSipHash(
  key0: number,
  key1: number,
  bytes: Uint8Array,
  length: number,
  out: Int32Array,
): void {
  // Rounds are written out: in a loop, or with the state in an array, the hash takes twice as long.
  let v0 = key0 | 0;
  let v1 = key1 ^ 0xee;
  let v2 = key0 ^ 0x6c796765;
  let v3 = key1 ^ 0x74656462;
  const wholeWords = length & ~3;
  for (let at = 0; at <= wholeWords; at += 4) {
    const word = at < wholeWords ? wordAt(bytes, at) : lastWord(bytes, length);
    v3 ^= word;
    // Compression: two rounds.
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);

    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  v2 ^= 0xee;
  for (let half = 0; ; half++) {
    // Finalization: four rounds for each half of the result, two in each turn of the inner loop.
    for (let pair = 0; pair < 2; pair++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);

      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    out[half] = v1 ^ v3;
    if (half === 1) return;
    v1 ^= 0xdd;
  }
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** The last word: the remaining 0 to 3 bytes, and the length modulo 256 in the highest byte. */
function lastWord(bytes: Uint8Array, length: number): number {
  const at = length & ~3;
  const rest = length & 3;
  let word = length << 24;
  if (rest > 2) word |= bytes[at + 2]! << 16;
  if (rest > 1) word |= bytes[at + 1]! << 8;
  if (rest > 0) word |= bytes[at]!;
  return word;
}
