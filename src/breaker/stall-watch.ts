/**
 * Opens the breaker while a sync stalls. Main checks a few times a second, because the syncing thread is inside a system
 * call. Without this watch each request would wait for its whole timeout.
 */
import { difference } from '../base/wrapped.ts';
import { type Breaker, SYNC_KINDS } from './breaker.ts';

export class StallWatch {
  private readonly breaker: Breaker;
  private readonly timeoutMs: number;
  /** Start time of the last counted stall, by kind of sync. */
  private readonly counted = new Int32Array(SYNC_KINDS);

  /** @param timeoutMs a sync that runs longer is a stall */
  constructor(breaker: Breaker, timeoutMs: number) {
    this.breaker = breaker;
    this.timeoutMs = timeoutMs;
  }

  /** @param nowMs monotonic */
  check(nowMs: number): void {
    for (let kind = 0; kind < SYNC_KINDS; kind++) {
      const since = this.breaker.syncSince(kind);
      const tookMs = difference(nowMs, since);
      if (since === 0 || tookMs < this.timeoutMs) continue;
      if (this.counted[kind] !== since) {
        this.counted[kind] = since;
        this.breaker.countStall();
      }
      this.breaker.trip(`a sync has not returned for ${tookMs} ms`, nowMs);
    }
  }
}
