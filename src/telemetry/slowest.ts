/** The slowest request of the current window and the one before. Two windows, so that an old record expires. */
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

  /** Begins a new window if the current one has ended. */
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
