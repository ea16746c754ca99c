/**
 * Parses one metric object into spans, held in globals until its line is written.
 *
 * The first four fields are tried in the order in which most clients write them; the rest of the item, and any other
 * order, goes through `parseMembers`.
 */
import { byteAt, GAUGE, longAt, RECEIPT, REFUSED, wordAt } from './memory.ts';
import { scanNumber, scanTimestamp } from './numbers.ts';
import { skipValue } from './skip.ts';
import { skipAnySpace, skipSpace } from './space.ts';
import { scanName, scanPlain } from './strings.ts';
import { parseTags, tagCount } from './tags.ts';

const BLANK: u32 = 0x20;
const QUOTE: u32 = 0x22;
const COMMA: u32 = 0x2c;
const COLON: u32 = 0x3a;
const CLOSE_BRACE: u32 = 0x7d;

/** The fields as bits of a set; 0 for unknown keys. */
const OTHER: i32 = 0;
const NAME: i32 = 1;
const VALUE: i32 = 2;
const TYPE: i32 = 4;
const TIMESTAMP: i32 = 8;
const TAGS: i32 = 16;
const REQUIRED: i32 = NAME | VALUE;

// Up to eight bytes as a little-endian word, with quotes and colon; the low seven bytes where SEVEN is applied.
const SEVEN: u64 = 0x00ffffffffffffff;
const NAME_KEY: u64 = 0x003a22656d616e22;
const VALUE_KEY: u64 = 0x3a2265756c617622;
const TYPE_KEY: u64 = 0x003a226570797422;
const TAGS_KEY: u64 = 0x003a227367617422;
const TIMESTA_KEY: u64 = 0x617473656d697422;
const MP_KEY: u32 = 0x3a22706d;
const GAUGE_TEXT: u64 = 0x0022656775616722;
const COUNTER_TEXT: u64 = 0x7265746e756f6322;
const SUMMARY_TEXT: u64 = 0x7972616d6d757322;
const HISTOGR_TEXT: u64 = 0x72676f7473696822;
const AM_TEXT: u32 = 0x00226d61;
/** Length of each type with its quotes in 4 bits, at bits 2 to 4 of its first letter. */
const TYPE_BYTES: u32 = 0x00090b79;
// Field names without quotes, for keys in another spelling.
const NAME_WORD: u32 = 0x656d616e;
const TYPE_WORD: u32 = 0x65707974;
const TAGS_WORD: u32 = 0x73676174;
const VALU_WORD: u32 = 0x756c6176;
const TIMESTAM_WORD: u64 = 0x6d617473656d6974;

/** Spans of the last item. The type includes its quotes; a tags span that starts at 0 means none. */
export let nameStart: i32 = 0;
export let nameEnd: i32 = 0;
export let valueStart: i32 = 0;
export let valueEnd: i32 = 0;
export let typeStart: i32 = 0;
export let typeEnd: i32 = 0;
export let timestampStart: i32 = 0;
export let timestampEnd: i32 = 0;
export let tagsStart: i32 = 0;
export let tagsEnd: i32 = 0;
let fields: i32 = 0;

/** Depth of containers around an item's members, and the text that replaces an absent timestamp. */
let memberDepth: i32 = 0;
let receiptEnd: i32 = 0;

export function prepareItems(depth: i32, receiptBytes: i32): void {
  memberDepth = depth;
  receiptEnd = RECEIPT + receiptBytes;
}

/** Parses the object at `i`; returns the address after its closing brace, or REFUSED. */
@inline
export function parseItem(i: i32): i32 {
  typeStart = GAUGE;
  typeEnd = GAUGE + 7;
  timestampStart = RECEIPT;
  timestampEnd = receiptEnd;
  tagsStart = 0;
  fields = 0;
  const end = parseUsualOrder(skipAnySpace(i + 1));
  return end < 0 && (fields & REQUIRED) === REQUIRED ? ~end : REFUSED;
}

/** Returns the complement of the address after the closing brace, or REFUSED. */
@inline
function parseUsualOrder(i: i32): i32 {
  if ((longAt(i) & SEVEN) === NAME_KEY) {
    fields = NAME;
    i = nextMember(parseName(skipAnySpace(i + 7)));
    if (i <= 0) return i;
  }
  if (longAt(i) === VALUE_KEY) {
    fields |= VALUE;
    i = nextMember(parseMetricValue(skipAnySpace(i + 8)));
    if (i <= 0) return i;
  }
  if ((longAt(i) & SEVEN) === TYPE_KEY) {
    fields |= TYPE;
    i = nextMember(parseType(skipAnySpace(i + 7)));
    if (i <= 0) return i;
  }
  if (longAt(i) === TIMESTA_KEY && wordAt(i + 8) === MP_KEY) {
    fields |= TIMESTAMP;
    i = nextMember(parseTimestamp(skipAnySpace(i + 12)));
    if (i <= 0) return i;
  }
  return parseMembers(i);
}

/** Parses members in any order. */
@inline
function parseMembers(i: i32): i32 {
  do {
    const head = longAt(i);
    if ((head & SEVEN) === TAGS_KEY) i = parseMember(TAGS, i + 7);
    else if ((head & SEVEN) === NAME_KEY) i = parseMember(NAME, i + 7);
    else if (head === VALUE_KEY) i = parseMember(VALUE, i + 8);
    else i = parseOtherMember(i, head);
  } while (i > 0);
  return i;
}

function parseOtherMember(i: i32, head: u64): i32 {
  if ((head & SEVEN) === TYPE_KEY) return parseMember(TYPE, i + 7);
  if (head === TIMESTA_KEY && wordAt(i + 8) === MP_KEY) return parseMember(TIMESTAMP, i + 12);
  // Any other spelling, without escapes, or any other key.
  if (byteAt(i) !== QUOTE) return REFUSED;
  const end = scanPlain(i + 1);
  if (end < 0) return REFUSED;
  const colon = skipAnySpace(end + 1);
  return byteAt(colon) === COLON ? parseMember(fieldNamed(i + 1, end), colon + 1) : REFUSED;
}

function fieldNamed(start: i32, end: i32): i32 {
  const bytes = end - start;
  const word = wordAt(start);
  if (bytes === 4) return word === NAME_WORD ? NAME : word === TYPE_WORD ? TYPE : word === TAGS_WORD ? TAGS : OTHER;
  if (bytes === 5) return word === VALU_WORD && byteAt(start + 4) === 0x65 ? VALUE : OTHER;
  return bytes === 9 && longAt(start) === TIMESTAM_WORD && byteAt(start + 8) === 0x70 ? TIMESTAMP : OTHER;
}

/** Parses the value after a key's colon and the separator after it. */
@inline
function parseMember(field: i32, i: i32): i32 {
  if ((fields & field) !== 0) return REFUSED;
  fields |= field;
  i = skipAnySpace(i);
  if (field === TAGS) return nextMember(parseTagsField(i));
  if (field === NAME) return nextMember(parseName(i));
  if (field === VALUE) return nextMember(parseMetricValue(i));
  if (field === TYPE) return nextMember(parseType(i));
  if (field === TIMESTAMP) return nextMember(parseTimestamp(i));
  return nextMember(skipValue(i, memberDepth));
}

/**
 * Skips the comma after a value.
 * @returns the address of the next key; after a closing brace, the complement of the address after it; or REFUSED
 */
@inline
function nextMember(i: i32): i32 {
  let c = byteAt(i);
  if (c <= BLANK) {
    i = skipSpace(i);
    c = byteAt(i);
  }
  if (c === COMMA) return skipAnySpace(i + 1);
  return c === CLOSE_BRACE ? ~(i + 1) : REFUSED;
}

@inline
function parseName(i: i32): i32 {
  const end = scanName(i);
  nameStart = i + 1;
  nameEnd = end;
  return end === REFUSED ? REFUSED : end + 1;
}

@inline
function parseMetricValue(i: i32): i32 {
  valueStart = i;
  valueEnd = scanNumber(i);
  return valueEnd;
}

@inline
function parseTimestamp(i: i32): i32 {
  timestampStart = i;
  timestampEnd = scanTimestamp(i);
  return timestampEnd;
}

@inline
function parseType(i: i32): i32 {
  const bytes = typeBytes(i);
  typeStart = i;
  typeEnd = i + bytes;
  return bytes === 0 ? REFUSED : i + bytes;
}

/** Length of the type with its quotes; 0 for other texts. Without branches: types vary from item to item. */
@inline
function typeBytes(i: i32): i32 {
  const head = longAt(i);
  const nine = i32(byteAt(i + 8) === QUOTE);
  const isType =
    i32((head & SEVEN) === GAUGE_TEXT) |
    (i32(head === COUNTER_TEXT) & nine) |
    (i32(head === SUMMARY_TEXT) & nine) |
    (i32(head === HISTOGR_TEXT) & i32((wordAt(i + 8) & 0x00ffffff) === AM_TEXT));
  // The first letter gives the length sooner than the comparisons, which the next field need not wait for.
  return isType === 0 ? 0 : (TYPE_BYTES >> (byteAt(i + 1) & 0x1c)) & 0x0f;
}

@inline
function parseTagsField(i: i32): i32 {
  const end = parseTags(i);
  tagsStart = tagCount === 0 ? 0 : i;
  tagsEnd = end;
  return end;
}
