/**
 * Addresses in the module's memory, and loads and stores on them.
 *
 * The module has no data, no heap and no stack: all its state is in WebAssembly globals and in the first 4 KiB of the
 * memory, which docs/memory-layout.md describes. All other addresses come from the caller.
 */

/**
 * Returned instead of an address if the module does not handle an item. Address 0 holds a NUL, so scanning from it
 * refuses again.
 */
export const REFUSED: i32 = 0;

/** Results of `run`, as 32-bit words: see `run.ts`. */
export const RESULT: i32 = 1024;
/** Text of the time of receipt, padded to 16 bytes. */
export const RECEIPT: i32 = 1088;
/** Text of the default type, with its quotes. */
export const GAUGE: i32 = 1104;

/** Tables with one 32-bit word for each position in a tags object. */
export const OPENING: i32 = 1280;
export const OPENING_BYTES: i32 = 1536;
export const OPENING_SPACED: i32 = 1792;
export const KEY_START: i32 = 2048;
export const KEY_END: i32 = 2304;
export const KEY_HASH: i32 = 2560;
export const TEXT_START: i32 = 2816;
export const TEXT_END: i32 = 3072;

@inline
export function byteAt(i: i32): u32 {
  return load<u8>(<usize>i);
}

@inline
export function wordAt(i: i32): u32 {
  return load<u32>(<usize>i);
}

@inline
export function longAt(i: i32): u64 {
  return load<u64>(<usize>i);
}

@inline
export function vectorAt(i: i32): v128 {
  return v128.load(<usize>i);
}

@inline
export function putVector(o: i32, vector: v128): void {
  v128.store(<usize>o, vector);
}

@inline
export function entryOf(table: i32, place: i32): i32 {
  return load<i32>(<usize>(table + (place << 2)));
}

@inline
export function putEntry(table: i32, place: i32, value: i32): void {
  store<i32>(<usize>(table + (place << 2)), value);
}

/** One bit for each of 16 bytes: 1 if they are equal. */
@inline
export function equalBytes(a: v128, b: v128): u32 {
  return i8x16.bitmask(i8x16.eq(a, b));
}

/** Copies `bytes` in blocks of 32; returns the address after the copy. It stores up to 31 bytes more. */
@inline
export function copy(o: i32, i: i32, bytes: i32): i32 {
  for (let at = 0; at < bytes; at += 32) {
    const low = vectorAt(i + at);
    const high = vectorAt(i + at + 16);
    putVector(o + at, low);
    putVector(o + at + 16, high);
  }
  return o + bytes;
}
