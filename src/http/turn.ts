/**
 * One turn of a thread's event loop. Requests of a turn share one clock reading, because reading a clock costs more
 * than their times differ. The turn's end comes once, after everything that arrived in it.
 */
import { monotonicMs } from '../base/clock.ts';

export class Turn {
  /** True from the first `open` to the end of the turn. */
  isOpen = false;
  /** Both are 0 until a request of this turn asks. */
  private startMs = 0;
  private wallMs = 0;
  private readonly end: () => void;

  /** @param ended called at the end of each turn that was opened */
  constructor(ended: () => void) {
    this.end = () => {
      this.isOpen = false;
      this.startMs = 0;
      this.wallMs = 0;
      ended();
    };
  }

  /** Monotonic ms that counts as the start of a request that arrives now. */
  nowMs(): number {
    if (!this.isOpen || this.startMs === 0) this.startMs = monotonicMs();
    return this.startMs;
  }

  /** Unix ms of this turn. The caller opens the turn, or has opened it. */
  unixMs(): number {
    if (this.wallMs === 0) this.wallMs = Date.now();
    return this.wallMs;
  }

  /** Makes sure that the end of this turn comes. */
  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    setImmediate(this.end);
  }
}
