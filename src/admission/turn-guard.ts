/**
 * Sheds load that a worker's own thread cannot serve. If all its event-loop turns were longer than the target for a
 * whole interval, a turn that has lasted that long refuses its remaining requests.
 *
 * This is CoDel's rule (RFC 8289): the minimum over an interval counts, because a burst makes some turns long and only a
 * standing queue makes all of them long. The guard reads no clock: each request carries the time of its completion.
 */

const INTERVAL_MS = 500;
/** Requests that a turn always serves: a few large ones are slow without being overload. */
const SERVED_LEAST = 32;

export class TurnGuard {
  /** True from the first request shed to the end of the turn. */
  shedding = false;
  private readonly targetMs: number;
  private startMs = 0;
  private lastMs = 0;
  private served = 0;
  private open = false;
  /** Last time at which the thread was idle or a turn was short. */
  private shortAtMs = 0;

  constructor(targetMs: number) {
    this.targetMs = targetMs;
  }

  /** Call it for each complete request. @returns false to refuse it */
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
