/**
 * Reads the lines of commits into rows: time, series and value.
 *
 * A line has the fixed form of the encoder (src/encoder/line-encoder.ts), so one pass over its bytes reads both numbers
 * and hashes the rest, which identifies the series. A line of any other form is not ours and goes to the quarantine.
 */
import { randomInt } from 'node:crypto';
import type { SeriesCache } from './series-cache.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const MINUS = 0x2d;
const PLUS = 0x2b;
const POINT = 0x2e;
const ZERO = 0x30;
const LOWER_E = 0x65;
const NEWLINE = 0x0a;
/** Lengths of `{"timestamp":`, `,"name":"`, `","value":` and `,"type":`. */
const TIMESTAMP_BYTES = 13;
const NAME_BYTES = 9;
const VALUE_BYTES = 10;
const TYPE_BYTES = 8;
const LINE_END_BYTES = 2;

/** Integers of so many digits, and powers of ten up to 22, are exact doubles: one division rounds correctly. */
const EXACT_DIGITS = 15;
const POWERS = Float64Array.from({ length: 23 }, (_, k) => 10 ** k);

const FNV_PRIME = 0x01000193;
/** Nobody outside can choose names that share a set of the cache. */
const SEED = randomInt(2 ** 32) | 0;

/** PostgreSQL's timestamps begin in 4713 BC. */
const TIME_MIN_MS = Date.UTC(-4712, 0, 1);
/** The last time that the server accepts: that of JavaScript's dates. It fits PostgreSQL. */
const TIME_MAX_MS = 8.64e15;
const OTHER_FORM = 'it does not have the form of a line of this version';
export const DAY_MS = 86_400_000;

export interface NewSeries {
  readonly name: string;
  readonly type: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Where the cache keeps it, if it still does. */
  readonly slot: number;
}

/** The lines of a commit, or of a part of one. */
export interface CommitLines {
  readonly commit: number;
  /** Ends with a newline. */
  readonly lines: Buffer;
  /** Lines of the commit before these; 0 by default. */
  readonly firstLine?: number;
}

export interface QuarantinedLine {
  readonly commit: number;
  /** Of the line in its commit, from 0. */
  readonly line: number;
  readonly reason: string;
  readonly body: Buffer;
}

/** Makes the cached value of a series that the cache does not hold. */
export interface SeriesMaker {
  /** Sets `ids` and `payloads` of a slot. */
  make(cache: SeriesCache, slot: number, series: NewSeries): void;
}

/** The rows of a range, in columns. */
export class Rows {
  count = 0;
  readonly times: Float64Array;
  readonly values: Float64Array;
  /** Ids of series; below 0 while the id is not known. */
  readonly series: Float64Array;
  /** Encoded columns of the series, where the layout has them. */
  readonly payloads: (Buffer | null)[] = [];
  /** Days since 1970 in the rows. */
  readonly days = new Set<number>();
  readonly quarantined: QuarantinedLine[] = [];

  /** By row: the index of its commit in the range, and the offset of its line in the commit. */
  readonly commitIndexes: Int32Array;
  readonly lineStarts: Int32Array;

  constructor(lineCount: number) {
    this.commitIndexes = new Int32Array(lineCount);
    this.lineStarts = new Int32Array(lineCount);
    this.times = new Float64Array(lineCount);
    this.values = new Float64Array(lineCount);
    this.series = new Float64Array(lineCount);
  }

  /** Keeps a line that cannot be stored. */
  quarantine({ commit, lines, firstLine = 0 }: CommitLines, start: number, reason: string): void {
    let line = firstLine;
    for (let at = lines.indexOf(NEWLINE); at >= 0 && at < start; at = lines.indexOf(NEWLINE, at + 1)) line++;
    const body = Buffer.from(lines.subarray(start, lines.indexOf(NEWLINE, start)));
    this.quarantined.push({ commit, line, reason, body });
  }
}

/** Where `scanLine` found the parts of the last line. */
let time = 0;
let value = 0;
let nameStart = 0;
let nameEnd = 0;
let restStart = 0;
let restEnd = 0;
let hash = 0;
let lineEnd = 0;

/** Adds the lines of the commit with that index in the range. */
export function scanCommit(
  rows: Rows,
  index: number,
  commit: CommitLines,
  cache: SeriesCache,
  maker: SeriesMaker,
): void {
  const { lines } = commit;
  let lastDay = Number.NaN;
  for (let at = 0; at < lines.length; at = lineEnd) {
    rows.commitIndexes[rows.count] = index;
    rows.lineStarts[rows.count] = at;
    const reason = scanLine(lines, at) ? addRow(rows, lines, cache, maker) : skipLine(lines, at);
    if (reason !== null) {
      rows.quarantine(commit, at, reason);
      continue;
    }
    const day = Math.floor(time / DAY_MS);
    if (day === lastDay) continue;
    lastDay = day;
    rows.days.add(day);
  }
}

/** Adds the scanned line; returns why it cannot be stored, or null. */
function addRow(rows: Rows, lines: Buffer, cache: SeriesCache, maker: SeriesMaker): string | null {
  if (time < TIME_MIN_MS) return 'its time is before 4713 BC';
  if (time > TIME_MAX_MS) return OTHER_FORM;
  let slot = cache.find(hash, lines, nameStart, nameEnd, restStart, restEnd);
  if (slot < 0) {
    // First, because a slot must not keep the id of the series that it evicted.
    const series = describe(lines);
    if (series === null) return OTHER_FORM;
    slot = cache.add(hash, lines, nameStart, nameEnd, restStart, restEnd);
    maker.make(cache, slot, { ...series, slot });
  }
  const id = cache.ids[slot]!;
  if (id === 0) return cache.payloads[slot] as string;
  const { count } = rows;
  rows.times[count] = time;
  rows.values[count] = value;
  rows.series[count] = id;
  const payload = cache.payloads[slot];
  if (payload !== null) rows.payloads[count] = payload as Buffer;
  rows.count = count + 1;
  return null;
}

function skipLine(lines: Buffer, at: number): string {
  lineEnd = lines.indexOf(NEWLINE, at) + 1;
  return OTHER_FORM;
}

/** The series of the scanned line, or null if its texts are not those of the encoder. */
function describe(lines: Buffer): Omit<NewSeries, 'slot'> | null {
  const nameText = lines.toString('utf8', nameStart, nameEnd);
  const restText = lines.toString('utf8', restStart, restEnd);
  try {
    const { name, type, tags = {} } = JSON.parse(`{"name":"${nameText}","type":${restText}}`) as NewSeries;
    const texts = [name, type, ...Object.values(tags)];
    return texts.every((text) => typeof text === 'string') ? { name, type, tags } : null;
  } catch {
    return null;
  }
}

/** Scans a line of the usual form; false for any other one. */
function scanLine(bytes: Buffer, at: number): boolean {
  let i = at + TIMESTAMP_BYTES;
  let c = bytes[i]!;
  const isBefore1970 = c === MINUS;
  if (isBefore1970) c = bytes[++i]!;
  let integer = 0;
  for (; c !== COMMA; c = bytes[++i]!) {
    const digit = c - ZERO;
    if (digit >>> 0 > 9) return false;
    integer = integer * 10 + digit;
  }
  time = isBefore1970 ? -integer : integer;
  if (bytes[i + NAME_BYTES - 1] !== QUOTE) return false;
  i += NAME_BYTES;
  nameStart = i;
  let h = SEED;
  const { length } = bytes;
  for (c = bytes[i]!; c !== QUOTE && i < length; c = bytes[++i]!) {
    if (c === BACKSLASH) h = Math.imul(h ^ bytes[++i]!, FNV_PRIME);
    h = Math.imul(h ^ c, FNV_PRIME);
  }
  nameEnd = i;
  i = scanValue(bytes, i + VALUE_BYTES);
  if (bytes[i] !== COMMA) return false;
  i += TYPE_BYTES;
  restStart = i;
  for (c = bytes[i]!; c !== NEWLINE && i < length; c = bytes[++i]!) h = Math.imul(h ^ c, FNV_PRIME);
  if (i === length) return false;
  lineEnd = i + 1;
  restEnd = lineEnd - LINE_END_BYTES;
  hash = h ^ (h >>> 15);
  return true;
}

/** Reads the number at `i` into `value`; returns the offset after it. */
function scanValue(bytes: Buffer, start: number): number {
  let i = start;
  let c = bytes[i]!;
  const isNegative = c === MINUS;
  if (isNegative) c = bytes[++i]!;
  let mantissa = 0;
  let digits = 0;
  let decimals = 0;
  for (; (c - ZERO) >>> 0 <= 9; c = bytes[++i]!) {
    mantissa = mantissa * 10 + (c - ZERO);
    digits++;
  }
  if (c === POINT) {
    for (c = bytes[++i]!; (c - ZERO) >>> 0 <= 9; c = bytes[++i]!) {
      mantissa = mantissa * 10 + (c - ZERO);
      decimals++;
    }
  }
  if (digits + decimals <= EXACT_DIGITS && c === COMMA) {
    const exact = decimals === 0 ? mantissa : mantissa / POWERS[decimals]!;
    value = isNegative ? -exact : exact;
    return i;
  }
  while (c === PLUS || c === MINUS || (c | 0x20) === LOWER_E || (c - ZERO) >>> 0 <= 9) c = bytes[++i]!;
  value = Number(bytes.toString('latin1', start, i));
  return i;
}
