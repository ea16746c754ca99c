/**
 * Parses a tags object of string → string with distinct, plain ASCII keys.
 *
 * As in `../../single-pass/tags.ts`, a member whose opening equals the remembered one at its position needs no scan and
 * no comparison with other keys. A tags object that equals the previous one byte for byte is not parsed at all.
 */
import {
  byteAt,
  copy,
  entryOf,
  equalBytes,
  KEY_END,
  KEY_HASH,
  KEY_START,
  OPENING,
  OPENING_BYTES,
  OPENING_SPACED,
  putEntry,
  REFUSED,
  TEXT_END,
  TEXT_START,
  vectorAt,
  wordAt,
} from './memory.ts';
import { skipAnySpace, skipSpace } from './space.ts';
import { scanPlain, scanString } from './strings.ts';

const BLANK: u32 = 0x20;
const QUOTE: u32 = 0x22;
const COMMA: u32 = 0x2c;
const COLON: u32 = 0x3a;
const OPEN_BRACE: u32 = 0x7b;
const CLOSE_BRACE: u32 = 0x7d;
const TAGS_MAX: i32 = 64;

/** Number of remembered openings. Their keys are pairwise distinct. */
let remembered: i32 = 0;
/** The previous tags object; no bytes if its members may not be repeated. */
let lastStart: i32 = 0;
let lastBytes: i32 = 0;
/** Members of the last parsed object, and whether it has white space between its tokens. */
export let tagCount: i32 = 0;
let spaced: bool = false;

/** Call before the first run of a body: the remembered addresses refer to the previous one. */
export function forgetTags(): void {
  remembered = 0;
  lastBytes = 0;
}

/** Parses the value of `tags`; returns the address after it, or REFUSED. */
@inline
export function parseTags(i: i32): i32 {
  if (byteAt(i) !== OPEN_BRACE) return REFUSED;
  if (lastBytes !== 0 && startsWith(i, lastStart, lastBytes)) return i + lastBytes;
  return parseObject(i);
}

function parseObject(start: i32): i32 {
  let i = skipAnySpace(start + 1);
  spaced = i !== start + 1;
  lastBytes = 0;
  tagCount = 0;
  if (byteAt(i) === CLOSE_BRACE) return i + 1;
  for (let place = 0; ; place++) {
    if (place < remembered && startsWith(i, entryOf(OPENING, place), entryOf(OPENING_BYTES, place))) {
      i += entryOf(OPENING_BYTES, place);
    } else {
      i = openMember(i, place);
      if (i === REFUSED) return REFUSED;
      remembered = place + 1;
    }
    if (entryOf(OPENING_SPACED, place) !== 0) spaced = true;
    putEntry(TEXT_START, place, i);
    i = scanString(i);
    if (i === REFUSED) return REFUSED;
    putEntry(TEXT_END, place, i++);
    if (byteAt(i) <= BLANK) {
      i = skipSpace(i);
      spaced = true;
    }
    if (byteAt(i) === COMMA) {
      i++;
      if (byteAt(i) > BLANK) continue;
      i = skipSpace(i);
      spaced = true;
      continue;
    }
    if (byteAt(i) !== CLOSE_BRACE) return REFUSED;
    tagCount = place + 1;
    lastStart = start;
    lastBytes = i + 1 - start;
    return i + 1;
  }
}

/** Scans a member's key, remembers its opening, and returns the address after the value's opening quote. */
function openMember(i: i32, place: i32): i32 {
  if (place === TAGS_MAX || byteAt(i) !== QUOTE) return REFUSED;
  const start = i + 1;
  const end = scanPlain(start);
  if (end < 0) return REFUSED;
  const colon = skipAnySpace(end + 1);
  if (byteAt(colon) !== COLON) return REFUSED;
  const value = skipAnySpace(colon + 1);
  if (byteAt(value) !== QUOTE) return REFUSED;
  const hash = hashKey(start, end);
  if (isTaken(start, end, hash, place)) return REFUSED;
  putEntry(KEY_START, place, start);
  putEntry(KEY_END, place, end);
  putEntry(KEY_HASH, place, hash);
  putEntry(OPENING, place, i);
  putEntry(OPENING_BYTES, place, value + 1 - i);
  putEntry(OPENING_SPACED, place, i32(value !== end + 2));
  return value + 1;
}

function hashKey(start: i32, end: i32): u32 {
  const bytes = end - start;
  if (bytes < 4) return bytes === 0 ? 0 : (wordAt(start) << (32 - 8 * bytes)) ^ bytes;
  return (wordAt(start) * 31 + wordAt(end - 4)) ^ (bytes * 0x01000193);
}

/** Whether one of the first `places` keys equals this one. */
function isTaken(start: i32, end: i32, hash: u32, places: i32): bool {
  const bytes = end - start;
  for (let place = 0; place < places; place++) {
    if (<u32>entryOf(KEY_HASH, place) !== hash) continue;
    const other = entryOf(KEY_START, place);
    if (entryOf(KEY_END, place) - other === bytes && startsWith(start, other, bytes)) return true;
  }
  return false;
}

/** Whether the bytes at `i` equal the `bytes` at `other`. */
@inline
function startsWith(i: i32, other: i32, bytes: i32): bool {
  const equal = equalBytes(vectorAt(i), vectorAt(other));
  if (bytes <= 16) return ((equal | ((<u32>-1) << bytes)) & 0xffff) === 0xffff;
  return equal === 0xffff && startsWithLong(i, other, bytes);
}

function startsWithLong(i: i32, other: i32, bytes: i32): bool {
  for (let at = 16; at < bytes; at += 16) {
    let equal = equalBytes(vectorAt(i + at), vectorAt(other + at));
    if (bytes - at < 16) equal |= (<u32>-1) << (bytes - at);
    if ((equal & 0xffff) !== 0xffff) return false;
  }
  return true;
}

/** Writes the last parsed object, which is `[start, end)`, without white space between its tokens. */
@inline
export function putTags(o: i32, start: i32, end: i32): i32 {
  return spaced ? putMembers(o) : copy(o, start, end - start);
}

function putMembers(o: i32): i32 {
  for (let place = 0; place < tagCount; place++) {
    store<u8>(<usize>o, place === 0 ? OPEN_BRACE : COMMA);
    // Quotes are copied with the text between them.
    const key = entryOf(KEY_START, place) - 1;
    o = copy(o + 1, key, entryOf(KEY_END, place) + 1 - key);
    store<u8>(<usize>o, COLON);
    const text = entryOf(TEXT_START, place) - 1;
    o = copy(o + 1, text, entryOf(TEXT_END, place) + 1 - text);
  }
  store<u8>(<usize>o, CLOSE_BRACE);
  return o + 1;
}
