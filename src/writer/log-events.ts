/** Reports of a commit log to its writer thread, directly or through shared memory. */
export interface LogEvents {
  /** Commits are refused until the disk accepts bytes again. */
  refusing(reason: string): void;
  /** Nothing more is stored; the process has to end. */
  failed(reason: string): void;
  /** A commit was refused for another reason than a full disk. */
  writeFailed(code: string): void;
  rotationFailed(code: string): void;
  segmentCreated(): void;
  /** Everything appended is durable. */
  synced(): void;
  /** Another process deleted, moved, replaced or changed the open segment. */
  segmentLost(segment: string, how: string): void;
  /** The log record could not be written; it is tried again. */
  recordFailed(code: string): void;
  /** Enough bytes are unsynced that the background sync should not wait for its time. */
  syncIsDue(): void;
}
