/**
 * The seal: an extra member on the last line of each commit, which proves that the commit is whole.
 *
 * ```
 *  {"timestamp":…,"value":1}⏎
 *  {"timestamp":…,"value":2,"seal":{"commit":7,"bytes":123,"lines":2,"crc32":"89abcdef"}}⏎
 *  └──────── bytes ───────┘└─────────────── MARKER … ───────────────┘        └─ END ─┘
 *  └───────────────────── covered by the CRC ───────────────────────┘
 * ```
 * `bytes` counts from the end of the previous seal's line up to the comma before "seal". The CRC-32 (that of zlib,
 * IEEE 802.3) covers those bytes and the seal up to its own eight digits. Digits and END are compared byte by byte, so
 * every flipped bit is detected. A commit that was copied from a write-ahead log also has a *mark* before its CRC,
 * `"wal":"<generation>:<sequence of lane 0>,…"`: the last record of each lane that the segments hold. MARKER occurs nowhere else: in a metric line a string follows each key, and a quote
 * inside a string is escaped. Commit numbers increase by one across segments and restarts, so a missing commit shows
 * as a gap.
 */
import { crcText } from '../base/crc32.ts';

/** Long on purpose: the native search for it is three times as fast as for its first nine bytes (several GB/s). */
export const MARKER = Buffer.from(',"seal":{"commit":');
const BYTES_KEY = Buffer.from(',"bytes":');
const LINES_KEY = Buffer.from(',"lines":');
const MARK_KEY = Buffer.from(',"wal":"');
const CRC_KEY = Buffer.from(',"crc32":"');
const QUOTE = 0x22;
/** Enough for a generation and the sequences of 64 lanes. */
const MARK_BYTES_MAX = 1_200;
const END = Buffer.from('"}}\n');
const CRC_DIGITS = 8;
const DIGIT_0 = 0x30;
const LETTER_A = 0x61;
/** No safe integer has more digits. */
const NUMBER_DIGITS_MAX = 16;
/** Length of `}⏎`, the end of a line without a seal; the seal replaces it. */
export const LINE_END_BYTES = 2;
export const SEAL_MAX_BYTES =
  MARKER.length +
  BYTES_KEY.length +
  LINES_KEY.length +
  MARK_KEY.length +
  MARK_BYTES_MAX +
  1 +
  CRC_KEY.length +
  3 * NUMBER_DIGITS_MAX +
  CRC_DIGITS +
  END.length;

/**
 * Writes the seal up to its CRC digits; returns how many bytes that is.
 * @param mark at most MARK_BYTES_MAX characters without a quote; '' for none
 */
export function writeSealHead(
  target: Buffer,
  commit: number,
  bytes: number,
  lines: number,
  mark: string,
): number {
  const member = mark === '' ? '' : `,"wal":"${mark}"`;
  const text = `,"seal":{"commit":${commit},"bytes":${bytes},"lines":${lines}${member},"crc32":"`;
  return target.write(text, 0, 'latin1');
}

/** Writes the CRC digits and the end of the line; returns the length of the whole seal. */
export function writeSealTail(target: Buffer, headBytes: number, crc: number): number {
  return headBytes + target.write(`${crcText(crc)}"}}\n`, headBytes, 'latin1');
}

export const SEAL_WHOLE = 0;
/** The text ends inside a possible seal. */
export const SEAL_CUT = 1;
const SEAL_BROKEN = 2;
export type SealState = typeof SEAL_WHOLE | typeof SEAL_CUT | typeof SEAL_BROKEN;

/** Reads seals; its fields describe the last whole one. One object reads all, since there may be millions. */
export class SealReader {
  commit = 0;
  bytes = 0;
  lines = 0;
  crc = 0;
  /** The mark of a write-ahead log in the seal; '' without one. */
  mark = '';
  /** Length of the seal before its CRC digits, and of the whole seal. */
  headBytes = 0;
  sealBytes = 0;
  /** Position of the next byte to read. */
  private next = 0;
  private number = 0;

  /** Reads the seal that starts with MARKER at `text[at]`, where `text` ends at `end`. */
  read(text: Buffer, at: number, end: number): SealState {
    this.next = at + MARKER.length;
    let state = this.readNumber(text, end, BYTES_KEY);
    if (state !== SEAL_WHOLE) return state;
    this.commit = this.number;
    state = this.readNumber(text, end, LINES_KEY);
    if (state !== SEAL_WHOLE) return state;
    this.bytes = this.number;
    state = this.readNumber(text, end, CRC_KEY);
    this.lines = this.number;
    this.mark = '';
    if (state === SEAL_BROKEN) state = this.readMark(text, end);
    if (state !== SEAL_WHOLE) return state;
    this.headBytes = this.next - at;
    state = this.readCrc(text, end);
    this.sealBytes = this.next - at;
    return state;
  }

  /** Digits, then the key of the next member. */
  private readNumber(text: Buffer, end: number, key: Buffer): SealState {
    const start = this.next;
    let at = start;
    let number = 0;
    for (; at < end && at - start < NUMBER_DIGITS_MAX; at++) {
      const digit = text[at]! - DIGIT_0;
      if (digit < 0 || digit > 9) break;
      number = number * 10 + digit;
    }
    if (at === end) return SEAL_CUT;
    this.number = number;
    this.next = at + key.length;
    return at === start ? SEAL_BROKEN : compare(text, at, end, key);
  }

  /** The mark, if that is what follows the number of lines, then the key of the CRC. */
  private readMark(text: Buffer, end: number): SealState {
    const at = this.next - CRC_KEY.length;
    const state = compare(text, at, end, MARK_KEY);
    if (state !== SEAL_WHOLE) return state;
    const start = at + MARK_KEY.length;
    let quote = start;
    while (quote < end && text[quote] !== QUOTE && quote - start <= MARK_BYTES_MAX) quote++;
    if (quote === end) return SEAL_CUT;
    this.mark = text.toString('latin1', start, quote);
    this.next = quote + 1 + CRC_KEY.length;
    return compare(text, quote + 1, end, CRC_KEY);
  }

  private readCrc(text: Buffer, end: number): SealState {
    let crc = 0;
    for (const digitsEnd = this.next + CRC_DIGITS; this.next < digitsEnd; this.next++) {
      if (this.next === end) return SEAL_CUT;
      const digit = hexDigit(text[this.next]!);
      if (digit < 0) return SEAL_BROKEN;
      crc = (crc << 4) | digit;
    }
    this.crc = crc >>> 0;
    const state = compare(text, this.next, end, END);
    this.next += END.length;
    return state;
  }
}

function compare(text: Buffer, at: number, end: number, expected: Buffer): SealState {
  for (let k = 0; k < expected.length; k++) {
    if (at + k === end) return SEAL_CUT;
    if (text[at + k] !== expected[k]) return SEAL_BROKEN;
  }
  return SEAL_WHOLE;
}

/** The value of a lower-case hexadecimal digit, or -1. */
function hexDigit(byte: number): number {
  const digit = byte - DIGIT_0;
  if (digit >= 0 && digit <= 9) return digit;
  const letter = byte - LETTER_A;
  return letter >= 0 && letter < 6 ? letter + 10 : -1;
}

/** True when `text`, the end of a file, ends like a seal although none could be read. */
export function endsLikeSeal(text: Buffer): boolean {
  const lastLine = text.lastIndexOf('\n', text.length - 2) + 1;
  return (
    text.length > 0 && text[text.length - 1] === END[END.length - 1] && text.indexOf(CRC_KEY, lastLine) >= 0
  );
}

/** The last seal in `text`, or null if that one is not whole. It proves nothing about the bytes before it. */
export function lastSeal(text: Buffer): SealReader | null {
  const seal = new SealReader();
  const at = text.lastIndexOf(MARKER);
  return at >= 0 && seal.read(text, at, text.length) === SEAL_WHOLE ? seal : null;
}

/** The number of the commit whose seal ends `text`, or 0. */
export function lastSealedCommit(text: Buffer): number {
  return lastSeal(text)?.commit ?? 0;
}
