/**
 * Parses a metric's tags: an object of string → string with distinct keys.
 *
 * Metrics of one body usually have the same keys in the same order, so the parser remembers the keys of the last object.
 * While a member opens with the same bytes as the remembered one, `"key":"`, the parser neither scans its key nor
 * checks for duplicates: the remembered keys are distinct. From the first member that differs on, it scans each key and
 * compares it with all earlier ones: at most 63 comparisons per key, most of them decided by a hash.
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

/** By position in the object: the unescaped key, its hash, and the bytes that open the member, from quote to quote. */
const KEY_START = new Int32Array(MAX);
const KEY_END = new Int32Array(MAX);
const KEY_HASH = new Int32Array(MAX);
const OPENING = new Int32Array(MAX);
const OPENING_BYTES = new Int32Array(MAX);
/** 1 if the opening is `"key":"` without white space. */
const OPENING_COMPACT = new Uint8Array(MAX);
/** Number of remembered keys. They are pairwise distinct. */
let remembered = 0;

/** Call before each body: the remembered offsets refer to the previous one. */
export function forgetTags(): void {
  remembered = 0;
}

/**
 * Parses the object at `start` into the tags columns of `row`.
 * @param index of the item, for errors
 * @param depth number of containers open around the object
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
    if (place < known && sameBytes(i, OPENING[place]!, OPENING_BYTES[place]!)) {
      i += OPENING_BYTES[place]!;
    } else {
      const value = openMember(i, place, index);
      if (value < 0) {
        remembered = place;
        return value === ERR ? ERR : skipMembers(i, depth + 1);
      }
      known = place + 1;
      remembered = known;
      i = value;
    }
    compact &= OPENING_COMPACT[place]!;
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

/** The member violates a rule; the item is rejected. */
const REJECTED = -1;

/** Scans a member's key and remembers it; returns the offset after the value's opening quote. */
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
  OPENING_BYTES[place] = value + 1 - i;
  OPENING_COMPACT[place] = value === end + 2 ? 1 : 0;
  return value + 1;
}

/** Hash of the length and the first and last bytes; equal hashes are resolved by comparing the keys. */
function hashKey(start: number, end: number): number {
  const bytes = end - start;
  if (bytes < 4) return bytes === 0 ? 0 : (V.getInt32(start, true) << (32 - 8 * bytes)) ^ bytes;
  return (Math.imul(V.getInt32(start, true), 31) + V.getInt32(end - 4, true)) ^ Math.imul(bytes, 0x01000193);
}

/** Whether one of the first `places` keys equals this one. */
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

/** Compares at least four bytes, word by word; the last word may overlap the previous one. */
function sameBytes(a: number, b: number, bytes: number): boolean {
  const last = a + bytes - 4;
  const distance = b - a;
  while (a < last) {
    if (V.getInt32(a, true) !== V.getInt32(a + distance, true)) return false;
    a += 4;
  }
  return V.getInt32(last, true) === V.getInt32(last + distance, true);
}
