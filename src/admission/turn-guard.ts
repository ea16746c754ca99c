/**
 * Sheds load that a worker's own thread cannot serve: when its event-loop turns have all been longer than the target
 * for a whole interval, what is still to be served of a turn that has lasted that long is refused.
 *
 * The rule is CoDel's (RFC 8289): the least over an interval counts, since a burst makes some turns long and only a
 * standing queue makes all of them long. The clock is read by others: each request carries when it was complete.
 */

const INTERVAL_MS = 500;
/** A turn serves this many requests in any case: a few large ones take their time without being overload. */
const SERVED_LEAST = 32;

export class TurnGuard {
  /** True from the first request shed to the end of the turn. */
  shedding = false;
  private readonly targetMs: number;
  private startMs = 0;
  private lastMs = 0;
  private served = 0;
  private open = false;
  /** When last the thread was idle, or a turn was short. */
  private shortAtMs = 0;

  constructor(targetMs: number) {
    this.targetMs = targetMs;
  }

  /** A request is complete. @returns false when it is to be refused */
  admits(nowMs: number): boolean {
    if (!this.open) this.begin(nowMs);
    this.lastMs = nowMs;
    if (
      nowMs - this.startMs > this.targetMs &&
      this.served >= SERVED_LEAST &&
      this.startMs - this.shortAtMs >= INTERVAL_MS
    ) {
      this.shedding = true;
      return false;
    }
    this.served++;
    return true;
  }

  private begin(nowMs: number): void {
    if (nowMs - this.lastMs > this.targetMs) this.shortAtMs = nowMs;
    this.open = true;
    this.startMs = nowMs;
    this.served = 0;
  }

  /** @param nowMs any time known to be no earlier than the last request was done */
  turnEnded(nowMs: number): void {
    if (!this.open) return;
    this.lastMs = Math.max(this.lastMs, nowMs);
    if (this.lastMs - this.startMs <= this.targetMs) this.shortAtMs = this.lastMs;
    this.open = false;
    this.shedding = false;
  }
}
