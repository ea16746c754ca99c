/**
 * Columns to lines: what a segment file holds, one metric a line.
 *
 * `{"timestamp":1700000000000,"name":"cpu","value":42.5,"type":"gauge","tags":{"host":"web-1"}}\n`, in this order,
 * `tags` omitted where there are none. Names, values and tags are copied as the client wrote them, so a line reads
 * back to the metric that was sent. Two things hold for every line, and the seal of a commit rests on them: it ends
 * with `}\n`, and it never contains `"seal":{`, since no value in it but `tags` is an object and a quote inside a
 * string is escaped.
 *
 * Copies move eight bytes as a double. A double that is not a number need not keep its bits, but no eight bytes of
 * valid UTF-8 are one: its last two would be F0–FF 7F or F0–FF FF, and 7F never follows a lead byte, FF never occurs.
 */
import { type MetricColumns, TYPE_COUNTER, TYPE_GAUGE, TYPE_HISTOGRAM } from '../parser/parser.ts';

const GAUGE = TYPE_GAUGE;
const COUNTER = TYPE_COUNTER;
const HISTOGRAM = TYPE_HISTOGRAM;

/** Word stores may reach this far past the end of the last line. */
const STORE_SLACK_BYTES = 16;
/**
 * What a line can be longer than its item. The least item around the bytes that are copied is
 * `{"name":"","value":}` (20), the line around them `{"timestamp":,"name":"","value":,"type":"gauge"}\n` (49) with a
 * timestamp of at most 17 characters.
 */
const GROWTH_BYTES = 49 + 17 - 20;

/** Values that are written longer are rounded to the shortest text of the same double, which never is. */
const RAW_VALUE_BYTES = 32;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LAST_SPACE = 0x20;

/** ASCII constants as little-endian words to store. */
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

/** Bytes that `encodeLines` may write for these columns, parsed from a body of `bodyBytes`. */
export function encodedBound(columns: MetricColumns, bodyBytes: number): number {
  return bodyBytes + columns.count * GROWTH_BYTES + STORE_SLACK_BYTES;
}

/** The least item with what parts it from the next: `{"name":"a","value":1},`. */
const ITEM_MIN_BYTES = 23;

/** `encodedBound` of the worst body of `bodyBytes`, known before it is parsed. */
export function encodedBodyBound(bodyBytes: number, maxBatch: number): number {
  const items = Math.min(maxBatch, Math.ceil((bodyBytes + 1) / ITEM_MIN_BYTES));
  return bodyBytes + items * GROWTH_BYTES + STORE_SLACK_BYTES;
}

/** The receipt time as text, padded so that four words can be copied. */
const receipt = new DataView(new ArrayBuffer(32));

/**
 * Encodes all metrics of `columns` as lines.
 * @param receiptMs an integer, the timestamp of metrics that have none
 * @param outBytes, outView the same memory; `encodedBound` bytes from `offset` on may be written
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
  const { value, valueStart, valueEnd, timestamp, timestampStart, timestampEnd } = columns;
  const receiptBytes = putText(new Uint8Array(receipt.buffer), 0, String(receiptMs));
  let o = offset;
  for (let row = 0; row < count; row++) {
    outView.setFloat64(o, BRACE_TIMESTA, true);
    outView.setFloat64(o + 8, AMP_QUOTE_COLON, true);
    o += 13;
    const digits = timestampStart[row]!;
    if (digits >= 0) {
      copy16(inputView, digits, outView, o);
      o += timestampEnd[row]! - digits;
    } else if (!Number.isNaN(timestamp[row]!)) {
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
    else o = putText(outBytes, o, shortest(value[row]!));
    outView.setFloat64(o, COMMA_TYPE, true);
    o = putType(outBytes, outView, o + 8, type[row]!);
    const tagsAt = tagsStart[row]!;
    if (tagsAt >= 0) {
      outView.setFloat64(o, COMMA_TAGS, true);
      o += 8;
      if (tagsCompact[row] === 1) o = copySpan(inputView, tagsAt, tagsEnd[row]!, outView, o);
      else o = compact(columns.input, tagsAt, tagsEnd[row]!, outBytes, o);
    }
    outView.setInt32(o, LINE_END, true);
    o += 2;
  }
  return o;
}

/** At most 16 bytes: always four words, which is less than a loop. */
function copy16(from: DataView, i: number, to: DataView, o: number): void {
  to.setInt32(o, from.getInt32(i, true), true);
  to.setInt32(o + 4, from.getInt32(i + 4, true), true);
  to.setInt32(o + 8, from.getInt32(i + 8, true), true);
  to.setInt32(o + 12, from.getInt32(i + 12, true), true);
}

/**
 * Copies `[i, end)` of valid UTF-8; returns the offset after the copy. The last word overlaps the one before, so that
 * no double reaches past the span, where anything may stand.
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

/** The shortest JSON number of the same double. */
function shortest(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

function putText(outBytes: Uint8Array, o: number, text: string): number {
  for (let at = 0; at < text.length; at++) outBytes[o++] = text.charCodeAt(at);
  return o;
}

/** Copies validated JSON without the white space outside its strings. */
function compact(input: Uint8Array, i: number, end: number, outBytes: Uint8Array, o: number): number {
  let inString = false;
  while (i < end) {
    const c = input[i++]!;
    if (!inString && c <= LAST_SPACE) continue;
    outBytes[o++] = c;
    if (c === QUOTE) inString = !inString;
    else if (c === BACKSLASH) outBytes[o++] = input[i++]!;
  }
  return o;
}
