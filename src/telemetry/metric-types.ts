/** Counts a request's metrics by type. */

/** The most that a lane of eight bits can count. */
const BLOCK = 255;

/**
 * Counts the first `count` type codes (0 to 3) into `into[code]`.
 *
 * Uses four lanes of eight bits in one word, added to the table once per block. Neighbours mostly have the same type, so
 * adding each metric to a table in memory would make it wait for the store of the one before.
 */
export function countTypes(types: Uint8Array, count: number, into: Int32Array): void {
  into.fill(0);
  for (let begin = 0; begin < count; begin += BLOCK) {
    const end = Math.min(begin + BLOCK, count);
    let lanes = 0;
    for (let index = begin; index < end; index++) lanes = (lanes + (1 << (types[index]! << 3))) | 0;
    into[0]! += lanes & 0xff;
    into[1]! += (lanes >>> 8) & 0xff;
    into[2]! += (lanes >>> 16) & 0xff;
    into[3]! += lanes >>> 24;
  }
}
