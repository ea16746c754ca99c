/** Growing pauses between tries. */
import { setTimeout as sleep } from 'node:timers/promises';

const FIRST_MS = 100;
const LONGEST_MS = 10_000;
/** Several exporters that lost the same sink should not return in step. */
const JITTER = 0.2;

export class Backoff {
  /** Failures since the last success. */
  failures = 0;
  private readonly longestMs: number;

  constructor(longestMs = LONGEST_MS) {
    this.longestMs = longestMs;
  }

  reset(): void {
    this.failures = 0;
  }

  /** Counts a failure; returns the ms to wait. */
  next(): number {
    const delayMs = Math.min(this.longestMs, FIRST_MS * 2 ** this.failures);
    this.failures++;
    return delayMs * (1 - JITTER * Math.random());
  }

  /** Returns early when `signal` aborts. */
  async wait(delayMs: number, signal: AbortSignal): Promise<void> {
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }
}
