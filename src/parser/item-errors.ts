/**
 * Invalid items of the current body. All are counted; the first ERRORS_MAX are kept as codes and offsets, and their
 * texts are built only when a response needs them.
 */
import { inputBytes } from './input-buffer.ts';
import { BACKSLASH, LOWER_U } from './json/bytes.ts';
import { ERRORS_MAX, type ItemError } from './parser.ts';
import { REASONS, type Reason } from './reasons.ts';

const B = inputBytes;

/** An error shows about this many bytes of a key. */
const SHOWN_KEY_BYTES = 100;

export type ItemField = '' | 'name' | 'value' | 'type' | 'timestamp' | 'tags';

interface KeptError {
  index: number;
  offset: number;
  field: ItemField;
  reason: Reason;
  /** The line is not JSON: the reason describes a syntax error. */
  broken: boolean;
  /** Span of the tag's key, still escaped; empty if the error does not concern one tag. */
  keyStart: number;
  keyEnd: number;
}

const kept: KeptError[] = Array.from({ length: ERRORS_MAX }, () => ({
  index: 0,
  offset: 0,
  field: '',
  reason: 'END',
  broken: false,
  keyStart: 0,
  keyEnd: 0,
}));

/** Invalid items so far. */
export let rejected = 0;
/** Index of the item being parsed, and whether it is already rejected. */
let current = -1;
let currentRejected = false;

export function resetItemErrors(): void {
  rejected = 0;
  current = -1;
  currentRejected = false;
}

/** Rejects the item being parsed. An item keeps its first error. */
export function rejectItem(index: number, offset: number, field: ItemField, reason: Reason): void {
  keep(index, offset, field, reason, false, 0, 0);
}

/** Rejects the item being parsed because of the tag with this key. */
export function rejectTag(
  index: number,
  offset: number,
  reason: Reason,
  keyStart: number,
  keyEnd: number,
): void {
  keep(index, offset, 'tags', reason, false, keyStart, keyEnd);
}

/** Rejects an NDJSON line that is not JSON. This error replaces an earlier one of the same item. */
export function rejectBroken(index: number, offset: number, reason: Reason): void {
  if (current === index && currentRejected) {
    rejected--;
    currentRejected = false;
  }
  keep(index, offset, '', reason, true, 0, 0);
}

function keep(
  index: number,
  offset: number,
  field: ItemField,
  reason: Reason,
  broken: boolean,
  keyStart: number,
  keyEnd: number,
): void {
  if (current === index && currentRejected) return;
  current = index;
  currentRejected = true;
  const slot = kept[rejected++];
  if (slot === undefined) return;
  slot.index = index;
  slot.offset = offset;
  slot.field = field;
  slot.reason = reason;
  slot.broken = broken;
  slot.keyStart = keyStart;
  slot.keyEnd = keyEnd;
}

export function describeItemErrors(): ItemError[] {
  return kept.slice(0, rejected).map(({ index, offset, field, reason, broken, keyStart, keyEnd }) => ({
    index,
    offset,
    field: keyEnd > 0 ? `${field}.${shownKey(keyStart, keyEnd)}` : field,
    reason: broken ? `malformed JSON: ${REASONS[reason]}` : REASONS[reason],
  }));
}

/** The unescaped key; a long one is cut between two characters. */
function shownKey(start: number, end: number): string {
  let cut = end;
  if (end - start > SHOWN_KEY_BYTES) {
    cut = start;
    while (cut - start < SHOWN_KEY_BYTES) cut += characterBytes(cut);
  }
  const raw = Buffer.from(B.buffer, B.byteOffset + start, cut - start).toString('utf8');
  return JSON.parse(`"${raw}"`) + (cut < end ? '…' : '');
}

/** Bytes of the escape or character at `i` of a validated string; an escaped surrogate pair counts as two escapes. */
function characterBytes(i: number): number {
  const c = B[i]!;
  if (c === BACKSLASH) return B[i + 1] === LOWER_U ? 6 : 2;
  return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}
