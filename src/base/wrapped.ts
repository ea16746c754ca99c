/**
 * Arithmetic on cursors and times that count modulo 2^32 in Int32 words.
 *
 * `difference(a, b)` is a − b if the two are less than 2^31 apart, whether or not the count wrapped between them. It is
 * negative if `a` comes before `b`. A plain `a < b` is wrong across the wrap.
 */
export function difference(a: number, b: number): number {
  return (a - b) | 0;
}
