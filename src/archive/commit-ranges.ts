/** Sets of commit numbers, as ascending ranges that neither overlap nor touch. All functions return new sets. */

/** First and last number, both included. */
export type CommitRange = readonly [first: number, last: number];

/** The union of sets, or of any ranges in any order. */
export function unite(...sets: readonly (readonly CommitRange[])[]): CommitRange[] {
  const sorted = sets.flat().sort((a, b) => a[0] - b[0]);
  const united: [number, number][] = [];
  for (const [first, last] of sorted) {
    const before = united.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else united.push([first, last]);
  }
  return united;
}

/** The parts of a range that a set lacks. */
export function lacking(set: readonly CommitRange[], [first, last]: CommitRange): CommitRange[] {
  const parts: CommitRange[] = [];
  let next = first;
  for (let index = indexAtOrAfter(set, first); index < set.length && next <= last; index++) {
    const [from, to] = set[index]!;
    if (from > last) break;
    if (from > next) parts.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= last) parts.push([next, last]);
  return parts;
}

/** True when a set holds every number of a range. */
export function covers(set: readonly CommitRange[], range: CommitRange): boolean {
  return lacking(set, range).length === 0;
}

export function includes(set: readonly CommitRange[], commit: number): boolean {
  const index = indexAtOrAfter(set, commit);
  return index < set.length && set[index]![0] <= commit;
}

/** How many numbers a set holds. */
export function sizeOf(set: readonly CommitRange[]): number {
  return set.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** Index of the first range that ends at `commit` or after it. */
function indexAtOrAfter(set: readonly CommitRange[], commit: number): number {
  let low = 0;
  let high = set.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (set[middle]![1] < commit) low = middle + 1;
    else high = middle;
  }
  return low;
}
