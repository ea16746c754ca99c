/** The names by which a census knows clients, and the selection of the busiest ones. */

interface Ranked {
  /** Whatever identifies a slot to the census. */
  readonly slot: number;
  readonly count: number;
}

/** The slots with the highest counts offered, highest first. */
export class BusiestSlots {
  private readonly ranked: Ranked[] = [];
  private readonly limit: number;
  /** A count must exceed this to be listed. */
  private threshold: number;

  constructor(limit: number) {
    this.limit = limit;
    this.threshold = limit > 0 ? 0 : Number.POSITIVE_INFINITY;
  }

  get slots(): number[] {
    return this.ranked.map(({ slot }) => slot);
  }

  offer(slot: number, count: number): void {
    if (count <= this.threshold) return;
    const { ranked, limit } = this;
    let rank = ranked.length;
    while (rank > 0 && ranked[rank - 1]!.count < count) rank--;
    ranked.splice(rank, 0, { slot, count });
    if (ranked.length > limit) ranked.pop();
    if (ranked.length === limit) this.threshold = ranked[limit - 1]!.count;
  }
}

/** The name of a client in metrics: 16 hexadecimal digits of its keyed hash. */
export function clientName(high: number, low: number): string {
  return hexWord(high) + hexWord(low);
}

function hexWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
