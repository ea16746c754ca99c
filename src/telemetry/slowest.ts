/** The slowest request of a while: that of the current window and the one before, so that it is forgotten in time. */
import type { SlowRequest } from './recorder.ts';
import type { Sample } from './sample.ts';

const WINDOW_MS = 10_000;

export class SlowestRequest {
  private windowEndsMs: number;
  private now: SlowRequest | null = null;
  private before: SlowRequest | null = null;

  constructor(nowMs: number) {
    this.windowEndsMs = nowMs + WINDOW_MS;
  }

  /** The slowest request of the last 10 to 20 seconds. */
  get slowest(): SlowRequest | null {
    const { now, before } = this;
    if (now === null || before === null) return now ?? before;
    return now.totalNs > before.totalNs ? now : before;
  }

  /** Begins a new window when the current one is over. */
  turn(nowMs: number): void {
    if (nowMs < this.windowEndsMs) return;
    this.before = this.now;
    this.now = null;
    this.windowEndsMs = nowMs + WINDOW_MS;
  }

  note({ clientHash, status, metrics, totalNs }: Sample): void {
    if (totalNs <= (this.now?.totalNs ?? 0)) return;
    const client = (clientHash >>> 0).toString(16).padStart(8, '0');
    this.now = { client, status, metrics, totalNs };
  }
}
