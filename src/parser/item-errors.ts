/**
 * Items that broke a rule: counted all, the first ERRORS_MAX kept as codes and offsets. Texts are built when an
 * answer needs them.
 */
import { inputBytes } from './input-buffer.ts';
import { ERRORS_MAX, type ItemError } from './parser.ts';
import { REASONS, type Reason } from './reasons.ts';

const B = inputBytes;

/** A key is shown up to about this many bytes. */
const SHOWN_KEY_BYTES = 100;

export type ItemField = '' | 'name' | 'value' | 'type' | 'timestamp' | 'tags';

interface KeptError {
  index: number;
  offset: number;
  field: ItemField;
  reason: Reason;
  /** The line is no JSON: the reason is the grammar's. */
  broken: boolean;
  /** Span of the tag's key, still escaped; empty where the error is not about one tag. */
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

/** Items rejected so far. */
export let rejected = 0;
/** Index of the item being parsed, and whether it was rejected already. */
let current = -1;
let currentRejected = false;

export function resetItemErrors(): void {
  rejected = 0;
  current = -1;
  currentRejected = false;
}

/** Marks the item being parsed as invalid; of several errors of one item the first is kept. */
export function rejectItem(index: number, offset: number, field: ItemField, reason: Reason): void {
  keep(index, offset, field, reason, false, 0, 0);
}

/** An error of one tag, named by its key's span. */
export function rejectTag(
  index: number,
  offset: number,
  reason: Reason,
  keyStart: number,
  keyEnd: number,
): void {
  keep(index, offset, 'tags', reason, false, keyStart, keyEnd);
}

/** A line that is no JSON; takes the place of an earlier error of the same item. */
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

/** A key as the client meant it, cut between characters when it is long. */
function shownKey(start: number, end: number): string {
  let cut = end;
  if (end - start > SHOWN_KEY_BYTES) {
    cut = start;
    while (cut - start < SHOWN_KEY_BYTES) cut += characterBytes(cut);
  }
  const raw = Buffer.from(B.buffer, B.byteOffset + start, cut - start).toString('utf8');
  return JSON.parse(`"${raw}"`) + (cut < end ? '…' : '');
}

/** Bytes of the escape or character at `i` in a validated string; a pair of escaped surrogates counts as two. */
function characterBytes(i: number): number {
  const c = B[i]!;
  if (c === 0x5c) return B[i + 1] === 0x75 ? 6 : 2;
  return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}
