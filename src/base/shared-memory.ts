/** Bytes of a cache line. Words that different threads write are at least this far apart, against false sharing. */
export const LINE_BYTES = 64;
/** Int32 words of a cache line. */
export const LINE_I32 = LINE_BYTES / Int32Array.BYTES_PER_ELEMENT;

/** The smallest multiple of `unit` that is at least `value`. */
export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** The smallest power of two that is at least `value` (1 to 2^30). */
export function powerOfTwoAtLeast(value: number): number {
  return value <= 1 ? 1 : 2 ** (32 - Math.clz32(value - 1));
}
