/** A set of commit numbers that grows one by one, so that each commit counts once wherever its lines are. */
import { type CommitRange, unite } from '../archive/commit-ranges.ts';

export class CommitSet {
  /** Ascending, neither overlapping nor adjacent. */
  private readonly ranges: { readonly first: number; last: number }[];

  /** @param ranges in any order; they may overlap */
  constructor(ranges: readonly CommitRange[] = []) {
    this.ranges = unite(ranges).map(([first, last]) => ({ first, last }));
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
