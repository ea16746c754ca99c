/**
 * CRC-32 (IEEE 802.3, as zlib's): of seals and of records in the write-ahead log.
 *
 * native/crc32.c multiplies without carries, which reads 8 times as many bytes a second as the zlib in Node.js. Where the
 * addon was not built, or the processor has no such instruction, zlib computes the same.
 */
import { createRequire } from 'node:module';
import zlib from 'node:zlib';

/** Relative to the compiled file, dist/src/base. */
const ADDON = '../../native/crc32.node';

/** @param value CRC of the bytes before */
type Crc32 = (bytes: Uint8Array, value: number) => number;

function load(): Crc32 {
  try {
    return (createRequire(import.meta.url)(ADDON) as { crc32: Crc32 }).crc32;
  } catch {
    return zlib.crc32;
  }
}

const update = load();

/** @param value CRC of the bytes before these */
export function crc32(bytes: Uint8Array, value = 0): number {
  return update(bytes, value);
}

/** Eight hexadecimal digits. */
export function crcText(crc: number): string {
  return (crc + 0x100000000).toString(16).slice(1);
}
