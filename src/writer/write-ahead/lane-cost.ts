/** The cost of the records of one lane, measured by the thread that writes them. */
import type { StorageCost } from '../../journal/journal.ts';
import { CommitCost } from '../commit-cost.ts';

export class LaneCost implements StorageCost {
  storedAtMs = 0;
  private readonly commits = new CommitCost();

  get fixedMs(): number {
    return this.commits.fixedMs;
  }

  get bytesPerMs(): number {
    return this.commits.bytesPerMs;
  }

  /** A record of `bytes` became durable. */
  stored(bytes: number, submittedMs: number, nowMs: number): void {
    this.storedAtMs = nowMs;
    this.commits.add(bytes, nowMs - submittedMs);
  }
}
