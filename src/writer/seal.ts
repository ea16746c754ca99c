/**
 * The seal: one more member on the last line of each group commit, which proves the commit whole.
 *
 * ```
 *  {"timestamp":…,"value":1}⏎
 *  {"timestamp":…,"value":2,"seal":{"commit":7,"bytes":123,"lines":2,"crc32":"89abcdef"}}⏎
 *  └──────── bytes ───────┘└─────────────── MARKER … ───────────────┘        └─ END ─┘
 *  └───────────────────── covered by the CRC ───────────────────────┘
 * ```
 * `bytes` counts from the end of the previous seal's line up to the comma before "seal"; the CRC-32 (that of zlib,
 * IEEE 802.3) covers those bytes and the seal up to its own eight digits. Digits and END are compared byte by byte,
 * so no bit of a commit can flip unseen. MARKER occurs nowhere else: in a metric line a key is followed by a string,
 * and a quote inside a string is escaped. Commit numbers go up by one across segments and restarts, so a missing
 * commit shows as a gap.
 */

/** Long on purpose: the native search for it runs at several GB/s, three times as fast as for its first nine bytes. */
export const MARKER = Buffer.from(',"seal":{"commit":');
const BYTES_KEY = Buffer.from(',"bytes":');
const LINES_KEY = Buffer.from(',"lines":');
const CRC_KEY = Buffer.from(',"crc32":"');
const END = Buffer.from('"}}\n');
const CRC_DIGITS = 8;
/** No safe integer has more digits. */
const NUMBER_DIGITS_MAX = 16;
/** What closes a line without a seal; the seal takes its place. */
export const LINE_END_BYTES = 2;
export const SEAL_MAX_BYTES =
  MARKER.length +
  BYTES_KEY.length +
  LINES_KEY.length +
  CRC_KEY.length +
  3 * NUMBER_DIGITS_MAX +
  CRC_DIGITS +
  END.length;

/** Writes the seal up to its CRC digits; returns how many bytes that is. */
export function writeSealHead(target: Buffer, commit: number, bytes: number, lines: number): number {
  return target.write(`,"seal":{"commit":${commit},"bytes":${bytes},"lines":${lines},"crc32":"`, 0, 'latin1');
}

/** Writes the CRC digits and what closes the line; returns the seal's whole length. */
export function writeSealTail(target: Buffer, headBytes: number, crc: number): number {
  const digits = (crc + 0x100000000).toString(16).slice(1);
  return headBytes + target.write(`${digits}"}}\n`, headBytes, 'latin1');
}

export const SEAL_WHOLE = 0;
/** The text ends inside what could be a seal. */
export const SEAL_CUT = 1;
export const SEAL_BROKEN = 2;
export type SealState = typeof SEAL_WHOLE | typeof SEAL_CUT | typeof SEAL_BROKEN;

export interface Seal {
  readonly state: SealState;
  readonly commit: number;
  readonly bytes: number;
  readonly lines: number;
  readonly crc: number;
  /** Bytes of the seal before its CRC digits, and in all. */
  readonly headBytes: number;
  readonly sealBytes: number;
}

const broken: Seal = {
  state: SEAL_BROKEN,
  commit: 0,
  bytes: 0,
  lines: 0,
  crc: 0,
  headBytes: 0,
  sealBytes: 0,
};
const cut: Seal = { ...broken, state: SEAL_CUT };

/** Reads the seal that starts with MARKER at `text[at]`, where `text` ends at `end`. */
export function readSeal(text: Buffer, at: number, end: number): Seal {
  let next = at + MARKER.length;
  const numbers = [0, 0, 0];
  const keys = [BYTES_KEY, LINES_KEY, CRC_KEY];
  for (let field = 0; field < keys.length; field++) {
    const start = next;
    while (next < end && next - start < NUMBER_DIGITS_MAX && isDigit(text[next]!)) next++;
    if (next === end) return cut;
    if (next === start) return broken;
    numbers[field] = Number(text.toString('latin1', start, next));
    const key = keys[field]!;
    const state = compare(text, next, end, key);
    if (state !== SEAL_WHOLE) return state === SEAL_CUT ? cut : broken;
    next += key.length;
  }
  const headBytes = next - at;
  for (const digitsEnd = next + CRC_DIGITS; next < digitsEnd; next++) {
    if (next === end) return cut;
    if (!isHexDigit(text[next]!)) return broken;
  }
  const state = compare(text, next, end, END);
  if (state !== SEAL_WHOLE) return state === SEAL_CUT ? cut : broken;
  const [commit, bytes, lines] = numbers as [number, number, number];
  const crc = Number.parseInt(text.toString('latin1', next - CRC_DIGITS, next), 16);
  return { state, commit, bytes, lines, crc, headBytes, sealBytes: next + END.length - at };
}

function compare(text: Buffer, at: number, end: number, expected: Buffer): SealState {
  for (let k = 0; k < expected.length; k++) {
    if (at + k === end) return SEAL_CUT;
    if (text[at + k] !== expected[k]) return SEAL_BROKEN;
  }
  return SEAL_WHOLE;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x61 && byte <= 0x66);
}

/** True when `text`, which ends where the file does, ends with a whole seal's last part although no seal was read. */
export function endsLikeSeal(text: Buffer): boolean {
  const lastLine = text.lastIndexOf('\n', text.length - 2) + 1;
  return (
    text.length > 0 && text[text.length - 1] === END[END.length - 1] && text.indexOf(CRC_KEY, lastLine) >= 0
  );
}
