/**
 * Parses a run of ordinary items and writes their lines; the module's only entry point.
 *
 * An ordinary item is valid and has no escapes in its keys, no number longer than 32 bytes, no exponent of more than two
 * digits, and a timestamp of plain digits, if any. The run ends before the first other item. TypeScript then parses that
 * item, and decides whether it is valid.
 */
import {
  nameEnd,
  nameStart,
  parseItem,
  prepareItems,
  tagsEnd,
  tagsStart,
  timestampEnd,
  timestampStart,
  typeEnd,
  typeStart,
  valueEnd,
  valueStart,
} from './item.ts';
import { byteAt, copy, putVector, RESULT, vectorAt } from './memory.ts';
import { setSpace, skipAnySpace, skipSpace } from './space.ts';
import { forgetTags, putTags } from './tags.ts';

const NEWLINE: u32 = 0x0a;
const COMMA: u32 = 0x2c;
const OPEN_BRACE: u32 = 0x7b;

// The constant parts of a line as little-endian words. Words are cheaper than vectors, which V8 assembles at each use.
/** `{"timest` and `estamp":`, which overlap. */
const OPEN_TIMEST: u64 = 0x7473656d6974227b;
const ESTAMP_COLON: u64 = 0x3a22706d61747365;
/** `,"name":`, with a quote to follow. */
const NAME_KEY: u64 = 0x3a22656d616e222c;
const QUOTE: u8 = 0x22;
/** `","value`, from the name's closing quote on, and `":`. */
const VALUE_KEY: u64 = 0x65756c6176222c22;
const QUOTE_COLON: u16 = 0x3a22;
const TYPE_KEY: u64 = 0x3a2265707974222c;
const TAGS_KEY: u64 = 0x3a2273676174222c;
/** `}` and a newline. */
const LINE_END: u16 = 0x0a7d;

/** Bits of a type's count in `counts`, and the letter bits that select it: c, g, h and s differ in bits 2 to 4. */
const COUNT_BITS: i32 = 12;
const LETTER_MASK: u32 = 0x1c;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const GAUGES: i32 = RESULT + 12;
const COUNTERS: i32 = RESULT + 16;
const HISTOGRAMS: i32 = RESULT + 20;
const SUMMARIES: i32 = RESULT + 24;

/**
 * Parses at most `limit` items, no more than 4,095, from the first byte of an item at `i`.
 *
 * Results, from RESULT on: the address after the last item, the address after its line, 1 if the next item was refused,
 * and the numbers of gauges, counters, histograms and summaries in all runs of the body.
 * @param end address of the NUL after the body
 * @param o address of the first line; stores reach up to 31 bytes past the last one
 * @param receiptBytes length of the text at RECEIPT
 * @param isNdjson 1 if a newline separates items, 0 if a comma does
 * @param isFirst 1 for the first run of a body
 * @returns the number of items parsed
 */
export function run(
  i: i32,
  end: i32,
  o: i32,
  limit: i32,
  receiptBytes: i32,
  isNdjson: i32,
  isFirst: i32,
): i32 {
  setSpace(isNdjson !== 0);
  if (isFirst !== 0) forgetTags();
  prepareItems(isNdjson !== 0 ? 1 : 3, receiptBytes);
  let counts: u64 = 0;
  let items = 0;
  let after = i;
  let refused = 0;
  while (items < limit) {
    const next = byteAt(i) === OPEN_BRACE ? parseItem(i) : 0;
    if (next === 0 || (isNdjson !== 0 && !endsLine(next, end))) {
      refused = 1;
      break;
    }
    o = putLine(o);
    counts += (<u64>1) << ((<u64>(byteAt(typeStart + 1) & LETTER_MASK) * COUNT_BITS) >> 2);
    items++;
    after = next;
    i = isNdjson !== 0 ? skipLineEnds(next) : skipComma(next);
    if (i === 0 || i === end) break;
  }
  store<i32>(RESULT, after);
  store<i32>(RESULT, o, 4);
  store<i32>(RESULT, refused, 8);
  addCount(GAUGES, counts, 0x67, isFirst);
  addCount(COUNTERS, counts, 0x63, isFirst);
  addCount(HISTOGRAMS, counts, 0x68, isFirst);
  addCount(SUMMARIES, counts, 0x73, isFirst);
  return items;
}

/** Adds the count of the type with this first letter to those of earlier runs. */
@inline
function addCount(result: i32, counts: u64, letter: u32, isFirst: i32): void {
  const count = <i32>((counts >> ((<u64>(letter & LETTER_MASK) * COUNT_BITS) >> 2)) & COUNT_MASK);
  store<i32>(<usize>result, isFirst !== 0 ? count : count + load<i32>(<usize>result));
}

/** Whether only white space follows until the end of the line. */
function endsLine(i: i32, end: i32): bool {
  i = skipAnySpace(i);
  return byteAt(i) === NEWLINE || i === end;
}

/** Address of the first byte after line ends and empty lines. */
function skipLineEnds(i: i32): i32 {
  i = skipAnySpace(i);
  while (byteAt(i) === NEWLINE) i = skipSpace(i + 1);
  return i;
}

/** Address of the next item, or 0 if no comma follows. */
@inline
function skipComma(i: i32): i32 {
  i = skipAnySpace(i);
  return byteAt(i) === COMMA ? skipAnySpace(i + 1) : 0;
}

/** Writes the line of the last item; returns the address after it. */
@inline
function putLine(o: i32): i32 {
  store<u64>(<usize>o, OPEN_TIMEST);
  store<u64>(<usize>(o + 5), ESTAMP_COLON);
  putVector(o + 13, vectorAt(timestampStart));
  o += 13 + timestampEnd - timestampStart;
  store<u64>(<usize>o, NAME_KEY);
  store<u8>(<usize>(o + 8), QUOTE);
  o = copy(o + 9, nameStart, nameEnd - nameStart);
  store<u64>(<usize>o, VALUE_KEY);
  store<u16>(<usize>(o + 8), QUOTE_COLON);
  putVector(o + 10, vectorAt(valueStart));
  putVector(o + 26, vectorAt(valueStart + 16));
  o += 10 + valueEnd - valueStart;
  store<u64>(<usize>o, TYPE_KEY);
  putVector(o + 8, vectorAt(typeStart));
  o += 8 + typeEnd - typeStart;
  if (tagsStart !== 0) {
    store<u64>(<usize>o, TAGS_KEY);
    o = putTags(o + 8, tagsStart, tagsEnd);
  }
  store<u16>(<usize>o, LINE_END);
  return o + 2;
}
