/** Counts the metrics of each type in a request. */

/** Maximum count of one 8-bit lane. */
const BLOCK = 255;

/**
 * Counts the first `count` type codes (0 to 3) into `counts[code]`.
 *
 * It uses four 8-bit lanes of one word and empties them after each block. Counters in memory would be slower: most
 * neighbours have the same type, so each increment would wait for the previous store.
 */
export function countTypes(types: Uint8Array, count: number, counts: Int32Array): void {
  counts.fill(0);
  for (let begin = 0; begin < count; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, count);
    let lanes = 0;
    for (let index = begin; index < end; index++) lanes = (lanes + (1 << (types[index]! << 3))) | 0;
    counts[0]! += lanes & 0xff;
    counts[1]! += (lanes >>> 8) & 0xff;
    counts[2]! += (lanes >>> 16) & 0xff;
    counts[3]! += lanes >>> 24;
  }
}
