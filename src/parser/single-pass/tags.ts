/**
 * A metric's tags: an object of string → string with distinct keys.
 *
 * Metrics of one body mostly carry the same keys in the same order. The keys of the last object are remembered, and
 * while a member opens with the same bytes as the one in its place there, `"key":"`, it needs no scan, and no check
 * for duplicates, because those keys were distinct. From the first that differs on, each key is scanned and compared
 * with those before it: at most 63 comparisons a key, nearly all settled by a hash of length and ends.
 */
import { columns } from '../columns.ts';
import { inputBytes, inputView } from '../input-buffer.ts';
import { rejectItem, rejectTag } from '../item-errors.ts';
import { skipColon, skipMembers } from '../json/skip.ts';
import { skipSpace } from '../json/space.ts';
import { droppedBytes, scanString, scratchTop, unescapeToScratch } from '../json/strings.ts';
import { TAGS_MAX } from '../parser.ts';
import { BROKEN, fail } from '../reasons.ts';

const B = inputBytes;
const V = inputView;
const ERR = BROKEN;
const MAX = TAGS_MAX;
const TAGS_START = columns.tagsStart;
const TAGS_END = columns.tagsEnd;
const TAGS_COMPACT = columns.tagsCompact;

const LAST_SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const CLOSE_BRACE = 0x7d;

/** By place in the object: the key after unescaping, its hash, and the bytes `"key":"` that open the member. */
const KEY_START = new Int32Array(MAX);
const KEY_END = new Int32Array(MAX);
const KEY_HASH = new Int32Array(MAX);
const OPENING = new Int32Array(MAX);
/** 0 where the opening has white space. */
const OPENING_BYTES = new Int32Array(MAX);
/** Places filled. Their keys are pairwise distinct. */
let remembered = 0;

/** Call before each body: what is remembered are offsets into the last one. */
export function forgetTags(): void {
  remembered = 0;
}

/**
 * Parses the object that opens at `start` and fills the tags columns of `row`.
 * @param index of the item, for errors
 * @param depth containers open around the object
 * @returns the offset after the closing brace, or BROKEN
 */
export function parseTags(start: number, row: number, index: number, depth: number): number {
  let known = remembered;
  let compact = 1;
  let i = start + 1;
  if (B[i]! <= LAST_SPACE) {
    i = skipSpace(i);
    compact = 0;
  }
  if (B[i] === CLOSE_BRACE) return i + 1;
  for (let place = 0; ; place++) {
    const opening = place < known ? OPENING_BYTES[place]! : 0;
    if (opening !== 0 && sameBytes(i, OPENING[place]!, opening)) {
      i += opening;
    } else {
      const value = openMember(i, place, index);
      if (value < 0) {
        remembered = place;
        return value === ERR ? ERR : skipMembers(i, depth + 1);
      }
      known = place + 1;
      remembered = known;
      if (OPENING_BYTES[place] === 0) compact = 0;
      i = value;
    }
    let end = scanString(i);
    if (end < 0) {
      if (end === ERR) return ERR;
      end = ~end;
    }
    i = end + 1;
    let c = B[i]!;
    if (c <= LAST_SPACE) {
      i = skipSpace(i);
      c = B[i]!;
      compact = 0;
    }
    if (c === COMMA) {
      i++;
      if (B[i]! <= LAST_SPACE) {
        i = skipSpace(i);
        compact = 0;
      }
      continue;
    }
    if (c !== CLOSE_BRACE) return fail(i, 'COMMA_OR_BRACE');
    TAGS_START[row] = start;
    TAGS_END[row] = i + 1;
    TAGS_COMPACT[row] = compact;
    return i + 1;
  }
}

/** The member breaks a rule: the item was rejected. */
const REJECTED = -1;

/** Scans a member's key and puts it in its place; returns the offset after the value's opening quote. */
function openMember(i: number, place: number, index: number): number {
  if (B[i] !== QUOTE) return fail(i, 'KEY');
  const start = i + 1;
  let end = scanString(start);
  if (end === ERR) return ERR;
  const plain = end >= 0;
  if (!plain) end = ~end;
  let keyStart = start;
  let keyEnd = end;
  if (!plain && droppedBytes > 0) {
    keyStart = unescapeToScratch(start, end);
    keyEnd = scratchTop();
  }
  const value = skipColon(end + 1);
  if (value < 0) return ERR;
  if (place === MAX) {
    rejectItem(index, i, 'tags', 'TAGS');
    return REJECTED;
  }
  if (B[value] !== QUOTE) {
    rejectTag(index, value, 'STRING', start, end);
    return REJECTED;
  }
  const hash = hashKey(keyStart, keyEnd);
  if (isTaken(keyStart, keyEnd, hash, place)) {
    rejectTag(index, i, 'TWICE', start, end);
    return REJECTED;
  }
  KEY_START[place] = keyStart;
  KEY_END[place] = keyEnd;
  KEY_HASH[place] = hash;
  OPENING[place] = i;
  OPENING_BYTES[place] = value === end + 2 ? value + 1 - i : 0;
  return value + 1;
}

/** Length, first and last bytes: tells keys apart unless they were made to collide. */
function hashKey(start: number, end: number): number {
  const bytes = end - start;
  if (bytes < 4) return bytes === 0 ? 0 : (V.getInt32(start, true) << (32 - 8 * bytes)) ^ bytes;
  return (Math.imul(V.getInt32(start, true), 31) + V.getInt32(end - 4, true)) ^ Math.imul(bytes, 0x01000193);
}

/** Whether one of the first `places` keys is the same. */
function isTaken(start: number, end: number, hash: number, places: number): boolean {
  for (let place = 0; place < places; place++) {
    if (KEY_HASH[place] !== hash) continue;
    const other = KEY_START[place]!;
    if (KEY_END[place]! - other !== end - start) continue;
    if (sameSpan(start, other, end - start)) return true;
  }
  return false;
}

function sameSpan(a: number, b: number, bytes: number): boolean {
  if (bytes >= 4) return sameBytes(a, b, bytes);
  for (let at = 0; at < bytes; at++) if (B[a + at] !== B[b + at]) return false;
  return true;
}

/** Compares at least four bytes, word by word; the last word may overlap the one before. */
function sameBytes(a: number, b: number, bytes: number): boolean {
  const last = a + bytes - 4;
  const distance = b - a;
  while (a < last) {
    if (V.getInt32(a, true) !== V.getInt32(a + distance, true)) return false;
    a += 4;
  }
  return V.getInt32(last, true) === V.getInt32(last + distance, true);
}
