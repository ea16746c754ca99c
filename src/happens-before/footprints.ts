/**
 * The operations that were seen to follow a thread's history in the executions up to now. A history includes the operations
 * of all histories that continue it.
 */
import { ANY_WORD, areIndependent, type NextOperation } from './model-thread.ts';

const WORD_BITS = 32;
/** This many different operations have a bit each. All others share a bit, and count as dependent on everything. */
const KINDS_MAX = 2 * WORD_BITS;
const ANYTHING: NextOperation = { word: ANY_WORD, writes: true };

export class Footprints {
  /** Grows when a history gets an operation that it did not have. */
  version = 0;
  private readonly kinds: NextOperation[] = [ANYTHING];
  private readonly numbers = new Map<number, number>();
  private readonly parents: number[] = [0];
  /** By history, a bit for each kind: the first 32, and the others. */
  private readonly first: number[] = [0];
  private readonly others: number[] = [0];

  /** A new history, which continues `parent`; 0 is the empty one. */
  link(history: number, parent: number): void {
    this.parents[history] = parent;
    this.first[history] = this.others[history] = 0;
  }

  /** The operation may come after `history`, and so after each shorter one. */
  add(history: number, operation: NextOperation): void {
    const kind = this.kindOf(operation);
    const bits = kind < WORD_BITS ? this.first : this.others;
    const bit = 1 << (kind % WORD_BITS);
    for (let at = history; at !== 0; at = this.parents[at]!) {
      if ((bits[at]! & bit) !== 0) return;
      bits[at]! |= bit;
      this.version++;
    }
  }

  /** Whether an operation after `history` may depend on this one. */
  mayDepend(history: number, operation: NextOperation): boolean {
    const [first, others] = [this.first[history] ?? 0, this.others[history] ?? 0];
    return this.kinds.some((kind, number) => {
      const bits = number < WORD_BITS ? first : others;
      return (bits & (1 << (number % WORD_BITS))) !== 0 && !areIndependent(kind, operation);
    });
  }

  private kindOf({ word, writes }: NextOperation): number {
    const key = 2 * word + (writes ? 1 : 0);
    let kind = this.numbers.get(key);
    if (kind === undefined) {
      kind = this.kinds.length < KINDS_MAX ? this.kinds.push({ word, writes }) - 1 : 0;
      this.numbers.set(key, kind);
    }
    return kind;
  }
}
