/**
 * Encodes columns as the lines of a segment file, one metric per line:
 *
 * `{"timestamp":1700000000000,"name":"cpu","value":42.5,"type":"gauge","tags":{"host":"web-1"}}\n`
 *
 * The order is fixed, and `tags` is omitted if there are none. The encoder copies names, values and tags as the client
 * wrote them, so a line decodes to the metric that was sent. The seal of a commit relies on two properties of every
 * line: it ends with `}\n`, and it never contains `"seal":{`. Only `tags` is an object, and quotes inside strings are
 * escaped.
 *
 * Copies move eight bytes as a double. V8 may change the bits of a NaN, but eight bytes of valid UTF-8 are never a NaN:
 * its last two bytes would be F0–FF 7F or F0–FF FF, and 7F never follows a lead byte, and FF never occurs.
 */
import {
  FORMATTED_TIMESTAMP,
  type MetricColumns,
  TYPE_COUNTER,
  TYPE_GAUGE,
  TYPE_HISTOGRAM,
} from './columns.ts';
import { STAMP_BYTES } from './request-stamp.ts';

const GAUGE = TYPE_GAUGE;
const COUNTER = TYPE_COUNTER;
const HISTOGRAM = TYPE_HISTOGRAM;

/** Word stores may write up to this many bytes after the last line. */
const STORE_SLACK_BYTES = 16;
/**
 * Maximum bytes by which a line exceeds its item. Around the copied bytes, the shortest item is `{"name":"","value":}`
 * (20 bytes) and its line `{"timestamp":,"name":"","value":,"type":"gauge"}\n` (49 bytes), with a timestamp of at
 * most 17 characters.
 */
const GROWTH_BYTES = 49 + 17 - 20;

/** Longer values are replaced by the shortest text of the same double, which is always shorter. */
const RAW_VALUE_BYTES = 32;

const QUOTE = 0x22;
const LAST_SPACE = 0x20;

/** ASCII text as a little-endian word to store. */
function int32Of(text: string): number {
  return Buffer.from(text).readInt32LE();
}
function doubleOf(text: string): number {
  return Buffer.from(text).readDoubleLE();
}
const BRACE_TIMESTA = doubleOf('{"timest');
const AMP_QUOTE_COLON = doubleOf('amp":\0\0\0');
const COMMA_NAME = doubleOf(',"name":');
const QUOTE_VALUE = doubleOf('","value');
const VALUE_END = int32Of('":\0\0');
const COMMA_TYPE = doubleOf(',"type":');
const GAUGE_QUOTED = doubleOf('"gauge"\0');
const COUNTER_QUOTED = doubleOf('"counter');
const SUMMARY_QUOTED = doubleOf('"summary');
const HISTOGRAM_QUOTED = doubleOf('"histogr');
const HISTOGRAM_END = int32Of('am"\0');
const COMMA_TAGS = doubleOf(',"tags":');
const LINE_END = int32Of('}\n\0\0');

/** Maximum bytes that `encodeLines` writes for these columns of a body of `bodyBytes`. */
export function encodedBound(columns: MetricColumns, bodyBytes: number): number {
  return bodyBytes + columns.count * GROWTH_BYTES + STORE_SLACK_BYTES;
}

/** Bytes of the shortest valid item and its separator: `{"name":"a","value":1},`. */
const ITEM_MIN_BYTES = 23;

/** Maximum of `encodedBound` over all bodies of `bodyBytes`, and a stamp; the pipeline claims it before parsing. */
export function encodedBodyBound(bodyBytes: number, maxBatch: number): number {
  const items = Math.min(maxBatch, Math.ceil((bodyBytes + 1) / ITEM_MIN_BYTES));
  return bodyBytes + items * GROWTH_BYTES + STORE_SLACK_BYTES + STAMP_BYTES;
}

/** The last time of receipt and its text, padded so that 16 bytes can be copied. */
const receiptText = new Uint8Array(32);
const receipt = new DataView(receiptText.buffer);
let receiptTextMs = Number.NaN;
let receiptTextBytes = 0;

/**
 * Encodes all metrics of `columns` as lines.
 * @param receiptMs Unix milliseconds, an integer: the timestamp of metrics that have none
 * @param outBytes, outView the same memory; the encoder may write `encodedBound` bytes from `offset` on
 * @returns the offset after the last line
 */
export function encodeLines(
  columns: MetricColumns,
  receiptMs: number,
  outBytes: Uint8Array,
  outView: DataView,
  offset: number,
): number {
  const { count, inputView, nameStart, nameEnd, type, tagsStart, tagsEnd, tagsCompact } = columns;
  const { valueStart, valueEnd, timestamp, timestampStart, timestampEnd } = columns;
  if (receiptMs !== receiptTextMs) {
    receiptTextBytes = putText(receiptText, 0, String(receiptMs));
    receiptTextMs = receiptMs;
  }
  const receiptBytes = receiptTextBytes;
  let o = offset;
  for (let row = 0; row < count; row++) {
    outView.setFloat64(o, BRACE_TIMESTA, true);
    outView.setFloat64(o + 8, AMP_QUOTE_COLON, true);
    o += 13;
    const digits = timestampStart[row]!;
    if (digits >= 0) {
      copy16(inputView, digits, outView, o);
      o += timestampEnd[row]! - digits;
    } else if (digits === FORMATTED_TIMESTAMP) {
      o = putText(outBytes, o, String(timestamp[row]!));
    } else {
      copy16(receipt, 0, outView, o);
      o += receiptBytes;
    }
    outView.setFloat64(o, COMMA_NAME, true);
    outBytes[o + 8] = QUOTE;
    o = copySpan(inputView, nameStart[row]!, nameEnd[row]!, outView, o + 9);
    outView.setFloat64(o, QUOTE_VALUE, true);
    outView.setInt32(o + 8, VALUE_END, true);
    o += 10;
    const valueAt = valueStart[row]!;
    const valueTo = valueEnd[row]!;
    if (valueTo - valueAt <= RAW_VALUE_BYTES) o = copySpan(inputView, valueAt, valueTo, outView, o);
    else o = putText(outBytes, o, shortest(columns.input, valueAt, valueTo));
    outView.setFloat64(o, COMMA_TYPE, true);
    o = putType(outBytes, outView, o + 8, type[row]!);
    const tagsAt = tagsStart[row]!;
    if (tagsAt >= 0) {
      outView.setFloat64(o, COMMA_TAGS, true);
      o += 8;
      if (tagsCompact[row] === 1) o = copySpan(inputView, tagsAt, tagsEnd[row]!, outView, o);
      else o = copyCompact(columns, tagsAt, tagsEnd[row]!, outBytes, outView, o);
    }
    outView.setInt32(o, LINE_END, true);
    o += 2;
  }
  return o;
}

/** Copies at most 16 bytes; copying always four words is faster than a loop. */
function copy16(from: DataView, i: number, to: DataView, o: number): void {
  to.setInt32(o, from.getInt32(i, true), true);
  to.setInt32(o + 4, from.getInt32(i + 4, true), true);
  to.setInt32(o + 8, from.getInt32(i + 8, true), true);
  to.setInt32(o + 12, from.getInt32(i + 12, true), true);
}

/**
 * Copies `[i, end)` of valid UTF-8; returns the offset after the copy. The last word overlaps the previous one, so that
 * no double includes bytes after the span, which may be invalid.
 */
function copySpan(from: DataView, i: number, end: number, to: DataView, o: number): number {
  const after = o + (end - i);
  const last = end - 8;
  if (i > last) {
    to.setInt32(o, from.getInt32(i, true), true);
    to.setInt32(o + 4, from.getInt32(i + 4, true), true);
    return after;
  }
  while (i < last) {
    to.setFloat64(o, from.getFloat64(i, true), true);
    i += 8;
    o += 8;
  }
  to.setFloat64(after - 8, from.getFloat64(last, true), true);
  return after;
}

function putType(outBytes: Uint8Array, outView: DataView, o: number, type: number): number {
  if (type === GAUGE) {
    outView.setFloat64(o, GAUGE_QUOTED, true);
    return o + 7;
  }
  if (type === HISTOGRAM) {
    outView.setFloat64(o, HISTOGRAM_QUOTED, true);
    outView.setInt32(o + 8, HISTOGRAM_END, true);
    return o + 11;
  }
  outView.setFloat64(o, type === COUNTER ? COUNTER_QUOTED : SUMMARY_QUOTED, true);
  outBytes[o + 8] = QUOTE;
  return o + 9;
}

/** The shortest JSON number that is the same double as the number `[start, end)`. */
function shortest(input: Uint8Array, start: number, end: number): string {
  const value = Number(Buffer.from(input.buffer, input.byteOffset + start, end - start).toString('latin1'));
  return Object.is(value, -0) ? '-0' : String(value);
}

function putText(outBytes: Uint8Array, o: number, text: string): number {
  for (let at = 0; at < text.length; at++) outBytes[o++] = text.charCodeAt(at);
  return o;
}

/**
 * Copies the tags `[i, end)` without the white space between their tokens, four bytes at a time through strings; returns
 * the offset after the copy.
 */
function copyCompact(
  { input, inputView }: MetricColumns,
  i: number,
  end: number,
  outBytes: Uint8Array,
  outView: DataView,
  o: number,
): number {
  while (i < end) {
    const c = input[i++]!;
    if (c <= LAST_SPACE) continue;
    outBytes[o++] = c;
    if (c !== QUOTE) continue;
    for (;;) {
      const word = inputView.getInt32(i, true);
      outView.setInt32(o, word, true);
      const quote = word ^ 0x22222222;
      const backslash = word ^ 0x5c5c5c5c;
      // Mycroft's test for a zero byte; the lowest set bit marks the first one.
      const special =
        (((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash)) & 0x80808080;
      const plain = special === 0 ? 4 : (31 - Math.clz32(special & -special)) >> 3;
      i += plain;
      o += plain;
      if (plain === 4) continue;
      outBytes[o++] = input[i++]!;
      if (input[i - 1] === QUOTE) break;
      outBytes[o++] = input[i++]!;
    }
  }
  return o;
}
