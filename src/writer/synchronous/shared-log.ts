/** A commit log that every thread of the process appends to, under one lock in shared memory. */
import type { Bell } from '../../base/bell.ts';
import { SegmentStore } from '../../storage/segment-store.ts';
import { CommitLog, type CommitLogParts } from '../commit-log.ts';
import type { LogEvents } from '../log-events.ts';
import {
  IDENTITY,
  INCIDENTS,
  REASON,
  RECORD_ERROR,
  ROTATION,
  SynchronousMemory,
  WRITE_ERROR,
} from './memory.ts';

export interface SharedLogParts extends CommitLogParts {
  readonly bell: Bell;
}

/** One thread's view of the log. Use `log` and `segments` inside `locked`. */
export class SharedLog {
  readonly memory: SynchronousMemory;
  readonly segments: SegmentStore;
  readonly log: CommitLog;

  constructor(common: SharedArrayBuffer, parts: SharedLogParts) {
    const { ops, counters, config, bell } = parts;
    this.memory = new SynchronousMemory(common, config.requestTimeoutMs);
    // One plain write for each commit, through the page cache.
    const context = { ops, counters, directBytes: 0, staging: Buffer.alloc(0), directRefused: () => {} };
    this.segments = new SegmentStore(context, config.dataDir, null);
    this.log = new CommitLog(this.memory.state, this.segments, parts, this.events(bell, config.ack), () => {
      const [id = '', createdAt = '', startSegment] = this.memory.text(IDENTITY).split(' ');
      return { id, createdAt, startSegment: Number(startSegment) };
    });
  }

  /** The thread that appends leaves texts for the writer thread, which logs them. */
  private events(bell: Bell, ack: SharedLogParts['config']['ack']): LogEvents {
    const { memory } = this;
    return {
      refusing: (reason) => {
        memory.setText(REASON, reason);
        bell.ring();
      },
      failed: (reason) => {
        memory.setText(REASON, reason);
        bell.ring();
      },
      writeFailed: (code) => {
        memory.setText(WRITE_ERROR, code);
        bell.ring();
      },
      rotationFailed: (code) => {
        memory.setText(ROTATION, code);
        bell.ring();
      },
      // The writer thread opens the file too: see `MaintenanceWriter`.
      segmentCreated: () => {
        if (ack !== 'synced') bell.ring();
      },
      segmentLost: (segment, how) => {
        memory.setText(INCIDENTS, `${memory.text(INCIDENTS)}${segment} ${how}\n`);
        bell.ring();
      },
      recordFailed: (code) => {
        memory.setText(RECORD_ERROR, code);
        bell.ring();
      },
      // A thread that appends syncs for itself.
      synced: () => {},
      syncIsDue: () => bell.ring(),
    };
  }

  /** Runs `work` under the lock; returns `otherwise` if the lock was not acquired. */
  locked<T>(work: () => T, otherwise: () => T): T {
    const { memory } = this;
    if (!memory.lock()) return otherwise();
    try {
      return work();
    } catch (error) {
      // A defect may have left anything behind: this thread ends with it, and no other may continue from here.
      memory.state.running = false;
      throw error;
    } finally {
      memory.unlock();
    }
  }
}
