/** A set of commit numbers that grows one by one, so that each commit counts once wherever its lines are. */

interface CommitRange {
  readonly first: number;
  last: number;
}

export class CommitSet {
  /** Ascending, neither overlapping nor adjacent. */
  private ranges: CommitRange[] = [];

  /** @param ranges in any order, inclusive; they may overlap */
  constructor(ranges: readonly (readonly [first: number, last: number])[] = []) {
    for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) this.append(first, last);
  }

  private append(first: number, last: number): void {
    const end = this.ranges.at(-1);
    if (end !== undefined && first <= end.last + 1) end.last = Math.max(end.last, last);
    else this.ranges.push({ first, last });
  }

  /** Adds one number; false when the set has it already. */
  add(commit: number): boolean {
    const next = this.indexAfter(commit);
    const before = this.ranges[next - 1];
    if (before !== undefined && commit <= before.last) return false;
    const after = this.ranges[next];
    const joinsAfter = after !== undefined && after.first === commit + 1;
    if (before !== undefined && before.last === commit - 1) {
      before.last = joinsAfter ? after.last : commit;
      if (joinsAfter) this.ranges.splice(next, 1);
    } else if (joinsAfter) this.ranges[next] = { first: commit, last: after.last };
    else this.ranges.splice(next, 0, { first: commit, last: commit });
    return true;
  }

  /** Index of the first range that starts after `commit`. */
  private indexAfter(commit: number): number {
    const { ranges } = this;
    let low = 0;
    let high = ranges.length;
    // Most commits come in order.
    if (high > 0 && ranges[high - 1]!.first <= commit) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ranges[middle]!.first <= commit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The numbers that are missing between the first and the last. */
  gaps(): { readonly first: number; readonly last: number }[] {
    return this.ranges.slice(1).map(({ first }, index) => ({
      first: this.ranges[index]!.last + 1,
      last: first - 1,
    }));
  }
}
