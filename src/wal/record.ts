/**
 * The record: one commit of one lane in its write-ahead file, in whole blocks.
 *
 * ```
 *  byte 0      magic            FF 'W' 'A' 'L': no UTF-8 text contains FF, so lines never look like a header
 *       4      lane             u32
 *       8      generation       u64, random for each start of the server
 *      16      sequence         u64, from 1 for each generation, without gaps
 *      24      bytes            u32, of the lines
 *      28      lines            u32
 *      32..59  zero
 *      60      crc32            u32, of bytes 0 to 59 and of the lines (zlib, IEEE 802.3)
 *      64      lines, then zeros up to the next block
 * ```
 * All numbers are little endian. Blocks are reused round robin, so a block of an earlier run can lie exactly where
 * the next record is expected. The generation tells them apart: sequence and CRC alone would accept the stale one.
 */

import { combineCrc } from '../base/crc-combine.ts';
import { crc32 } from '../base/crc32.ts';

export const BLOCK_BYTES = 4096;
export const RECORD_HEADER_BYTES = 64;
const CRC_OFFSET = 60;
/** FF 'W' 'A' 'L' as a little-endian word. */
const MAGIC = 0x4c41_57ff;
const TWO_32 = 2 ** 32;

/** A random number that names one run of the server, below 2^53. */
export type Generation = number;

export interface RecordHeader {
  readonly lane: number;
  readonly generation: Generation;
  readonly sequence: number;
  /** Bytes of the lines, without header and padding. */
  readonly bytes: number;
  readonly lines: number;
}

export function alignToBlock(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Bytes that a record of `bytes` of lines takes in a file: a multiple of BLOCK_BYTES. */
export function recordBytes(bytes: number): number {
  return alignToBlock(RECORD_HEADER_BYTES + bytes);
}

function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % TWO_32, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
}

function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * TWO_32;
}

/**
 * Writes the header before the lines at `offset + RECORD_HEADER_BYTES`, and zeros from their end to the next block.
 * @param bytes the memory that `view` shows
 * @returns the CRC of the lines, for the seal of the segment that will hold them
 */
export function sealRecord(bytes: Uint8Array, view: DataView, offset: number, header: RecordHeader): number {
  const linesAt = offset + RECORD_HEADER_BYTES;
  bytes.fill(0, offset, linesAt);
  view.setUint32(offset, MAGIC, true);
  view.setUint32(offset + 4, header.lane, true);
  setU64(view, offset + 8, header.generation);
  setU64(view, offset + 16, header.sequence);
  view.setUint32(offset + 24, header.bytes, true);
  view.setUint32(offset + 28, header.lines, true);
  bytes.fill(0, linesAt + header.bytes, offset + recordBytes(header.bytes));
  const headCrc = crc32(bytes.subarray(offset, offset + CRC_OFFSET));
  const linesCrc = crc32(bytes.subarray(linesAt, linesAt + header.bytes));
  view.setUint32(offset + CRC_OFFSET, combineCrc(headCrc, linesCrc, header.bytes), true);
  return linesCrc;
}

function crcOf(bytes: Uint8Array, offset: number, lineBytes: number): number {
  const crc = crc32(bytes.subarray(offset, offset + CRC_OFFSET));
  const linesAt = offset + RECORD_HEADER_BYTES;
  return crc32(bytes.subarray(linesAt, linesAt + lineBytes), crc);
}

/** The header at `offset`, or null when the bytes there are not the start of a record. Does not check the CRC. */
export function readRecordHeader(view: DataView, offset: number): RecordHeader | null {
  if (view.getUint32(offset, true) !== MAGIC) return null;
  return {
    lane: view.getUint32(offset + 4, true),
    generation: getU64(view, offset + 8),
    sequence: getU64(view, offset + 16),
    bytes: view.getUint32(offset + 24, true),
    lines: view.getUint32(offset + 28, true),
  };
}

/** True when the CRC of the record at `offset`, which `bytes` holds whole, proves header and lines. */
export function recordIsWhole(bytes: Uint8Array, view: DataView, offset: number, lineBytes: number): boolean {
  return view.getUint32(offset + CRC_OFFSET, true) === crcOf(bytes, offset, lineBytes);
}
