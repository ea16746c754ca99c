/**
 * Opens the breaker while a sync stalls. Main looks a few times a second, since the thread that waits for the sync
 * waits in a system call: without this, each request would wait for its whole timeout to learn the same.
 */
import { difference } from '../base/wrapped.ts';
import { BACKGROUND, type Breaker, FOREGROUND } from './breaker.ts';

export class StallWatch {
  private readonly breaker: Breaker;
  private readonly timeoutMs: number;
  /** When the sync that was counted last began, by kind. */
  private readonly counted = [0, 0];

  /** @param timeoutMs a sync that takes longer is a stall */
  constructor(breaker: Breaker, timeoutMs: number) {
    this.breaker = breaker;
    this.timeoutMs = timeoutMs;
  }

  /** @param nowMs monotonic */
  look(nowMs: number): void {
    for (const kind of [FOREGROUND, BACKGROUND] as const) {
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
