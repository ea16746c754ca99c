/**
 * Memory that a serving thread (the producer of a lane) shares with the writer thread, which copies the lane's
 * records into segments.
 *
 * ```
 *  Int32 words (lines of 64 bytes)
 *  line 0      PUBLISHED    records durable in the write-ahead file   written by the producer
 *  line 1      FAILED       errno of the write that failed, or 0      written by the producer
 *  line 2      COPIED       records copied to segments                written by the copier
 *              RELEASED     byte cursor after the last of them
 *  line 3      CHECKPOINT   records whose segments are synced         written by the copier
 *  line 4      WANTED       1: the file is running full, sync soon    written by both
 *  line 5      REOPEN       times the file was replaced on disk       written by the copier
 *  line 6      IDLE         1: the copier sleeps until the bell rings written by the copier
 *  line 7, 8   the producer's state between two holders of the lane, and what it counts (Float64)
 *  line 10..   entries      8192 × { offset of the lines, bytes, lines, end cursor, end in the file (Float64),
 *                               CRC of the lines, - }
 *  DATA_OFFSET data         capacity bytes (a power of two), records on block boundaries
 * ```
 * Cursors and counts go up modulo 2^32 and are compared by wrapped difference. The memory is a WebAssembly memory:
 * only that is page aligned, which direct I/O needs.
 */
import { assert } from '../base/errors.ts';
import { LINE_BYTES, LINE_I32 } from '../base/shared-memory.ts';
import { alignToBlock, BLOCK_BYTES, recordBytes } from './record.ts';

declare const WebAssembly: {
  Memory: new (pages: {
    initial: number;
    maximum: number;
    shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
};
const WASM_PAGE_BYTES = 65_536;

export const PUBLISHED = 0;
export const FAILED = LINE_I32;
export const COPIED = 2 * LINE_I32;
export const RELEASED = 2 * LINE_I32 + 1;
export const CHECKPOINT = 3 * LINE_I32;
export const WANTED = 4 * LINE_I32;
export const REOPEN = 5 * LINE_I32;
export const IDLE = 6 * LINE_I32;
const STATE_BYTES_OFFSET = 7 * LINE_BYTES;
const ENTRIES = 10 * LINE_I32;
const ENTRY_I32 = 8;
/** Of an entry, in Int32 words; ENTRY_FILE_END in Float64 words. */
export const ENTRY_OFFSET = 0;
export const ENTRY_BYTES = 1;
export const ENTRY_LINES = 2;
export const ENTRY_END = 3;
export const ENTRY_CRC = 6;
const ENTRY_F64 = ENTRY_I32 / 2;
const ENTRY_FILE_END = 2;
export const ENTRY_SLOTS = 8192;
export const DATA_OFFSET = alignToBlock((ENTRIES + ENTRY_SLOTS * ENTRY_I32) * Int32Array.BYTES_PER_ELEMENT);

/** Float64 words of the producer's state, for the next holder of the lane. */
export const STATE_SEQUENCE = 0;
export const STATE_FILE_HEAD = 1;
export const STATE_HEAD = 2;
/** Counts of the producer: bytes and records written to the file, and the share of the file in use. */
export const STATE_BYTES = 3;
export const STATE_RECORDS = 4;
export const STATE_FILL = 5;
/** Of a write that failed: the range of the file in doubt, and its lines. */
export const STATE_DOUBT_FROM = 6;
export const STATE_DOUBT_TO = 7;
export const STATE_DOUBT_LINES = 8;
const STATE_SLOTS = 16;

/** @param capacityBytes a power of two, at least twice the largest claim */
export function createLaneMemory(capacityBytes: number): SharedArrayBuffer {
  assert(capacityBytes > 0 && (capacityBytes & (capacityBytes - 1)) === 0, 'lane capacity is a power of two');
  const pages = Math.ceil((DATA_OFFSET + capacityBytes) / WASM_PAGE_BYTES);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer;
}

export interface LaneViews {
  readonly words: Int32Array;
  readonly state: Float64Array;
  /** The same memory as `words`, for the Float64 word of entries. */
  readonly doubles: Float64Array;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly capacityBytes: number;
}

export function viewsOf(memory: SharedArrayBuffer): LaneViews {
  // The memory is whole WebAssembly pages; the capacity is the largest power of two that fits behind the header.
  const capacityBytes = 2 ** Math.floor(Math.log2(memory.byteLength - DATA_OFFSET));
  return {
    words: new Int32Array(memory, 0, DATA_OFFSET / Int32Array.BYTES_PER_ELEMENT),
    state: new Float64Array(memory, STATE_BYTES_OFFSET, STATE_SLOTS),
    doubles: new Float64Array(memory, 0, DATA_OFFSET / Float64Array.BYTES_PER_ELEMENT),
    bytes: new Uint8Array(memory, DATA_OFFSET, capacityBytes),
    view: new DataView(memory, DATA_OFFSET, capacityBytes),
    capacityBytes,
  };
}

/** Index into `words` of the entry of record `sequence`. */
export function entryOf(sequence: number): number {
  return ENTRIES + (sequence % ENTRY_SLOTS) * ENTRY_I32;
}

/** Index into `doubles` of the file cursor after record `sequence`. */
export function fileEndOf(sequence: number): number {
  return ENTRIES / 2 + (sequence % ENTRY_SLOTS) * ENTRY_F64 + ENTRY_FILE_END;
}

/** Names records `first` to `last`, which may be on disk or not, for `LaneConsumer.doubt`. */
export function recordDoubt(views: LaneViews, first: number, last: number, usableBytes: number): void {
  if (first > last) return;
  const { words, doubles, state } = views;
  let lines = 0;
  for (let sequence = first; sequence <= last; sequence++) lines += words[entryOf(sequence) + ENTRY_LINES]!;
  const bytes = recordBytes(words[entryOf(first) + ENTRY_BYTES]!);
  state[STATE_DOUBT_FROM] = BLOCK_BYTES + ((doubles[fileEndOf(first)]! - bytes) % usableBytes);
  state[STATE_DOUBT_TO] = BLOCK_BYTES + ((doubles[fileEndOf(last)]! - 1) % usableBytes) + 1;
  state[STATE_DOUBT_LINES] = lines;
}

/** True when every record that the last holder of the lane submitted is durable: another may hold it. */
export function laneIsSettled(memory: SharedArrayBuffer): boolean {
  const { words, state } = viewsOf(memory);
  // Pairs with the store in `Lane.acknowledge`.
  return Atomics.load(words, PUBLISHED) === (state[STATE_SEQUENCE]! | 0);
}
