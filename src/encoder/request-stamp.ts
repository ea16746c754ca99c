/**
 * The stamp: an extra member on the last line of a request that has an idempotency key. It tells the next start which
 * requests are stored.
 *
 * ```
 *  {"timestamp":…,"value":2,"request":{"key":"<32 hex>","crc32":"<8 hex>","at":1700000000000}}⏎
 *                          └────────────────────── replaces `}⏎`, STAMP_BYTES more ──────────┘
 * ```
 * `key` is a keyed hash of client and key, `crc32` that of the body, `at` the time of receipt. The stamp is part of
 * the line, so it is stored, synced, replayed and proven together with the request's metrics: either all of them exist
 * or none. MARKER occurs nowhere else, for the reason that seal.ts gives.
 */

export const STAMP_MARKER = Buffer.from(',"request":{"key":"');
const CRC_KEY = Buffer.from('","crc32":"');
const AT_KEY = Buffer.from('","at":');
const END = Buffer.from('}}\n');
/** The end of a line without a stamp. */
const LINE_END_BYTES = 2;
export const HASH_WORDS = 4;
const WORD_DIGITS = 8;
/** Unix milliseconds from 2001 to 2286. */
const AT_DIGITS = 13;
const AT_MIN = 10 ** (AT_DIGITS - 1);
const AT_MAX = 10 ** AT_DIGITS - 1;
const KEY_AT = STAMP_MARKER.length;
const CRC_KEY_AT = KEY_AT + HASH_WORDS * WORD_DIGITS;
const CRC_AT = CRC_KEY_AT + CRC_KEY.length;
const AT_KEY_AT = CRC_AT + WORD_DIGITS;
const TIME_AT = AT_KEY_AT + AT_KEY.length;
const END_AT = TIME_AT + AT_DIGITS;
/** Bytes from the marker to the end of the line. */
export const STAMP_SPAN_BYTES = END_AT + END.length;
/** Bytes by which a stamp lengthens its line. */
export const STAMP_BYTES = STAMP_SPAN_BYTES - LINE_END_BYTES;

const NEWLINE = 0x0a;
const DIGIT_0 = 0x30;
const LETTER_A = 0x61;
const LINE_CLOSE = 0x7d;

/**
 * Stamps the line that ends at `end`.
 * @param hash HASH_WORDS words  @param atMs Unix milliseconds
 * @returns the new end, STAMP_BYTES later
 */
export function writeStamp(
  bytes: Uint8Array,
  end: number,
  hash: Int32Array,
  crc: number,
  atMs: number,
): number {
  const start = end - LINE_END_BYTES;
  bytes.set(STAMP_MARKER, start);
  for (let word = 0; word < HASH_WORDS; word++)
    writeHex(bytes, start + KEY_AT + word * WORD_DIGITS, hash[word]!);
  bytes.set(CRC_KEY, start + CRC_KEY_AT);
  writeHex(bytes, start + CRC_AT, crc);
  bytes.set(AT_KEY, start + AT_KEY_AT);
  let left = Math.min(AT_MAX, Math.max(AT_MIN, atMs));
  for (let at = AT_DIGITS - 1; at >= 0; at--) {
    bytes[start + TIME_AT + at] = DIGIT_0 + (left % 10);
    left = Math.floor(left / 10);
  }
  bytes.set(END, start + END_AT);
  return start + STAMP_SPAN_BYTES;
}

function writeHex(bytes: Uint8Array, at: number, word: number): void {
  for (let digit = 0; digit < WORD_DIGITS; digit++) {
    const value = (word >>> (28 - 4 * digit)) & 15;
    bytes[at + digit] = value < 10 ? DIGIT_0 + value : LETTER_A + value - 10;
  }
}

/** Reads stamps; its fields describe the last one. */
export class StampReader {
  readonly hash = new Int32Array(HASH_WORDS);
  crc = 0;
  atMs = 0;

  /** Reads the stamp whose marker starts at `text[at]`; false when the bytes there are not a whole stamp. */
  read(text: Buffer, at: number): boolean {
    if (at + STAMP_SPAN_BYTES > text.length) return false;
    for (let word = 0; word < HASH_WORDS; word++) {
      const value = readHex(text, at + KEY_AT + word * WORD_DIGITS);
      if (value < 0) return false;
      this.hash[word] = value | 0;
    }
    this.crc = readHex(text, at + CRC_AT);
    this.atMs = readTime(text, at + TIME_AT);
    const keysMatch =
      CRC_KEY.compare(text, at + CRC_KEY_AT, at + CRC_AT) === 0 &&
      AT_KEY.compare(text, at + AT_KEY_AT, at + TIME_AT) === 0;
    return keysMatch && this.crc >= 0 && this.atMs >= 0;
  }
}

/** Eight lower-case digits as an unsigned number, or -1. */
function readHex(text: Buffer, at: number): number {
  let value = 0;
  for (let digit = 0; digit < WORD_DIGITS; digit++) {
    const byte = text[at + digit]!;
    const number = byte - DIGIT_0;
    const letter = byte - LETTER_A;
    if (number >= 0 && number <= 9) value = value * 16 + number;
    else if (letter >= 0 && letter < 6) value = value * 16 + letter + 10;
    else return -1;
  }
  return value;
}

function readTime(text: Buffer, at: number): number {
  let value = 0;
  for (let digit = 0; digit < AT_DIGITS; digit++) {
    const number = text[at + digit]! - DIGIT_0;
    if (number < 0 || number > 9) return -1;
    value = value * 10 + number;
  }
  return value;
}

/** The lines without their stamps, in the same memory. */
export function stripStamps(lines: Buffer): Buffer {
  let at = lines.indexOf(STAMP_MARKER);
  if (at < 0) return lines;
  let to = at;
  for (;;) {
    lines[to++] = LINE_CLOSE;
    lines[to++] = NEWLINE;
    const from = at + STAMP_SPAN_BYTES;
    at = lines.indexOf(STAMP_MARKER, from);
    lines.copyWithin(to, from, at < 0 ? lines.length : at);
    to += (at < 0 ? lines.length : at) - from;
    if (at < 0) return lines.subarray(0, to);
  }
}
