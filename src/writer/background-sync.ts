/** The background sync of group commit: on the thread pool, while writing continues. */
import { monotonicMs } from '../base/clock.ts';
import type { FileOps } from '../storage/file-ops.ts';
import type { Segment } from '../storage/segment.ts';

export interface BackgroundSyncOutcome {
  readonly segment: Segment;
  readonly error: Error | null;
  readonly startMs: number;
}

export class BackgroundSync {
  private readonly ops: FileOps;
  /** The segment whose descriptor the thread pool uses, and whether to close it afterwards. */
  private segment: Segment | null = null;
  private closeAfterwards = false;

  constructor(ops: FileOps) {
    this.ops = ops;
  }

  get running(): boolean {
    return this.segment !== null;
  }

  /** @param done called in a later turn of the event loop */
  start(segment: Segment, done: (outcome: BackgroundSyncOutcome) => void): void {
    const startMs = monotonicMs();
    this.segment = segment;
    this.ops.fdatasyncInBackground(segment.fd, (error) => {
      this.segment = null;
      done({ segment, error, startMs });
      if (this.closeAfterwards) segment.close();
      this.closeAfterwards = false;
    });
  }

  /** Closes a segment, after the sync that still uses its descriptor if there is one. */
  closeWhenIdle(segment: Segment): void {
    if (this.segment === segment) this.closeAfterwards = true;
    else segment.close();
  }
}
