/**
 * Where ranges ended that were sent and are not durable yet. Ranges that are sent again end at the same commits.
 *
 * A stream names a message by a number. After an election it may not hold a message that a consumer got already, and gives
 * its number to the next one. If the two hold the same commits, nothing is lost.
 */
export class SentRanges {
  /** Last commits, in ascending order. */
  private ends: number[] = [];

  /** A range up to `last` is on its way now. */
  add(last: number): void {
    if (last > (this.ends.at(-1) ?? 0)) this.ends.push(last);
  }

  /** Where the first of them ends that holds commits behind `after`; Infinity if none does. */
  endBehind(after: number): number {
    if (after >= (this.ends.at(-1) ?? 0)) return Number.POSITIVE_INFINITY;
    return this.ends.find((end) => end > after)!;
  }

  /** The sink cannot lose the commits up to this one any more. */
  settle(commit: number): void {
    if (commit >= (this.ends[0] ?? Number.POSITIVE_INFINITY))
      this.ends = this.ends.filter((end) => end > commit);
  }
}
