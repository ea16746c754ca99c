/**
 * The metrics of a batch as columns, from lines that a seal proves.
 *
 * Lines have the fixed form of `encoder/line-encoder.ts`, so they are read without a JSON parser: 0.2 µs each instead of 2.
 * A line of any other form is refused rather than guessed. How values become integers: `archived-metrics.ts`.
 */
import { KEY_SLACK_BYTES, SeriesTable } from './series-table.ts';

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const HEAD = '{"timestamp":';
const NAME_KEY = ',"name":"';
const VALUE_KEY = '","value":';
const TYPE_KEY = ',"type":"';

/** Every integer of this many digits is below 2^53. */
const EXACT_DIGITS = 15;
/** Powers of ten up to 10^EXACT_DIGITS. */
export const POWERS = Array.from({ length: EXACT_DIGITS + 1 }, (_, exponent) => 10 ** exponent);
/** In `decimals`: the value is not stored as integers. */
export const NOT_DECIMAL = -1;
const NO_DECIMAL_YET = -1;

export class MetricRows {
  count = 0;
  private lineBytes = 0;
  readonly table = new SeriesTable();
  /** By row. */
  series: Int32Array;
  timeMs: Float64Array;
  commit: Float64Array;
  /** Digits after the point, or NOT_DECIMAL. */
  decimals: Int8Array;
  /** The value rounded down, and the digits after the point as an integer; or the value itself, and 0. */
  whole: Float64Array;
  fraction: Float64Array;
  /** Most digits after the point in each series. */
  seriesDecimals = new Int8Array(1);

  constructor(capacity: number) {
    this.series = new Int32Array(capacity);
    this.timeMs = new Float64Array(capacity);
    this.commit = new Float64Array(capacity);
    this.decimals = new Int8Array(capacity);
    this.whole = new Float64Array(capacity);
    this.fraction = new Float64Array(capacity);
  }

  /** Of the rows added, of which there is at least one. */
  get meanLineBytes(): number {
    return this.lineBytes / this.count;
  }

  get capacity(): number {
    return this.series.length;
  }

  /** Keeps the series. */
  clearRows(): void {
    this.count = 0;
    this.lineBytes = 0;
  }

  clear(): void {
    this.clearRows();
    this.table.clear();
    this.seriesDecimals.fill(NO_DECIMAL_YET);
  }

  /**
   * Adds the lines of a commit, or none of them.
   * @param lines as `readLines` returns them: memory extends KEY_SLACK_BYTES behind their end
   * @returns 0, or the number of the first line that has another form, or that is one too many or too few
   */
  add(commit: number, lines: Buffer, lineCount: number): number {
    if (this.count + lineCount > this.capacity) this.grow(this.count + lineCount);
    const view = new DataView(lines.buffer, lines.byteOffset, lines.length + KEY_SLACK_BYTES);
    const before = this.count;
    const end = before + lineCount;
    let at = 0;
    while (at >= 0 && at < lines.length) at = this.count < end ? this.addLine(commit, lines, view, at) : -1;
    if (at >= 0 && this.count === end) {
      this.lineBytes += lines.length;
      return 0;
    }
    const line = this.count - before + 1;
    this.count = before;
    return line;
  }

  private grow(rows: number): void {
    const capacity = Math.max(rows, this.capacity + (this.capacity >> 1));
    this.series = grown(this.series, new Int32Array(capacity));
    this.timeMs = grown(this.timeMs, new Float64Array(capacity));
    this.commit = grown(this.commit, new Float64Array(capacity));
    this.decimals = grown(this.decimals, new Int8Array(capacity));
    this.whole = grown(this.whole, new Float64Array(capacity));
    this.fraction = grown(this.fraction, new Float64Array(capacity));
  }

  /** Returns the offset after the line, or -1 when it has another form. */
  private addLine(commit: number, text: Buffer, view: DataView, start: number): number {
    const row = this.count;
    let at = start + HEAD.length;
    let byte = text[at]!;
    const sign = byte === MINUS ? -1 : 1;
    if (sign < 0) byte = text[++at]!;
    let timeMs = 0;
    for (; byte !== COMMA; byte = text[++at]!) {
      const digit = byte - ZERO;
      // Also behind the end of the text, where a byte is not a number.
      if (!(digit >= 0 && digit <= 9)) return -1;
      timeMs = timeMs * 10 + digit;
    }
    const nameFrom = at + NAME_KEY.length;
    const nameTo = stringEnd(text, nameFrom);
    const valueFrom = nameTo + VALUE_KEY.length;
    const valueTo = this.readValue(row, text, valueFrom);
    const restFrom = valueTo + TYPE_KEY.length;
    const restTo = newlineAfter(text, view, restFrom);
    if (
      restTo < 0 ||
      text[start + HEAD.length - 2] !== QUOTE ||
      text[nameFrom - 1] !== QUOTE ||
      text[valueFrom - 2] !== QUOTE ||
      text[restFrom - 1] !== QUOTE
    ) {
      return -1;
    }
    const series = this.table.find(text, view, nameFrom, nameTo, restFrom, restTo);
    this.series[row] = series;
    this.timeMs[row] = sign * timeMs;
    this.commit[row] = commit;
    this.noteDecimals(series, this.decimals[row]!);
    this.count = row + 1;
    return restTo + 1;
  }

  /** Writes whole, fraction and decimals of a row; returns the offset after the number. */
  private readValue(row: number, text: Buffer, from: number): number {
    let at = from;
    let byte = text[at]!;
    const isNegative = byte === MINUS;
    if (isNegative) byte = text[++at]!;
    const digitsFrom = at;
    let whole = 0;
    for (; byte >= ZERO && byte <= ZERO + 9; byte = text[++at]!) whole = whole * 10 + (byte - ZERO);
    let digits = at - digitsFrom;
    let fraction = 0;
    let decimals = 0;
    if (byte === POINT) {
      const pointAt = at;
      byte = text[++at]!;
      for (; byte >= ZERO && byte <= ZERO + 9; byte = text[++at]!) fraction = fraction * 10 + (byte - ZERO);
      decimals = at - pointAt - 1;
      digits += decimals;
    }
    // A minus before zero survives only in a double.
    if (byte !== COMMA || digits > EXACT_DIGITS || (isNegative && whole === 0 && fraction === 0)) {
      return this.readDouble(row, text, from);
    }
    if (isNegative) {
      whole = fraction === 0 ? -whole : -whole - 1;
      if (fraction !== 0) fraction = POWERS[decimals]! - fraction;
    }
    this.whole[row] = whole;
    this.fraction[row] = fraction;
    this.decimals[row] = decimals;
    return at;
  }

  private readDouble(row: number, text: Buffer, from: number): number {
    const to = text.indexOf(COMMA, from);
    const value = Number(text.toString('latin1', from, to));
    if (!Number.isFinite(value)) return text.length;
    this.whole[row] = value;
    this.fraction[row] = 0;
    this.decimals[row] = NOT_DECIMAL;
    return to;
  }

  private noteDecimals(series: number, decimals: number): void {
    if (series >= this.seriesDecimals.length) {
      const before = this.seriesDecimals.length;
      this.seriesDecimals = grown(this.seriesDecimals, new Int8Array(2 * before));
      this.seriesDecimals.fill(NO_DECIMAL_YET, before);
    }
    if (decimals > this.seriesDecimals[series]!) this.seriesDecimals[series] = decimals;
  }
}

function grown<List extends Int32Array | Float64Array | Int8Array>(from: List, to: List): List {
  to.set(from);
  return to;
}

const NEWLINES = 0x0a0a0a0a;

/** The offset of the next newline, or -1. A word at a time: a native search costs more than the whole rest of a line. */
function newlineAfter(text: Buffer, view: DataView, from: number): number {
  const last = text.length - 4;
  let at = from;
  for (; at <= last; at += 4) {
    const word = view.getInt32(at, true) ^ NEWLINES;
    // The highest bit of each byte that is zero, and perhaps of bytes above one.
    if (((word - 0x01010101) & ~word & 0x80808080) !== 0) break;
  }
  for (; at < text.length; at++) if (text[at] === NEWLINE) return at;
  return -1;
}

/** The offset of the quote that ends a string. */
function stringEnd(text: Buffer, from: number): number {
  let at = from;
  for (let byte = text[at]!; byte !== QUOTE; byte = text[at]!) {
    // An undefined byte, behind the end of the text, is not a number.
    if (!(byte >= 0)) return at;
    at += byte === BACKSLASH ? 2 : 1;
  }
  return at;
}
