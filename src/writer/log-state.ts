/**
 * The state of the log: plain fields if one thread appends, shared memory if several do
 * (synchronous/memory.ts). Times are monotonic ms.
 */
export interface LogState {
  /** False before the writer thread starts and after it stops: commits are refused then. */
  running: boolean;
  /** Sequence of the open segment. While it is 0 no segment is open, and the five fields below mean nothing. */
  sequence: number;
  openedMs: number;
  /** End of the last whole commit in the open segment. */
  bytes: number;
  /** How much of it is durable. */
  syncedBytes: number;
  /** Lines written and not yet covered by a sync, and when the first of them was written. */
  unsyncedLines: number;
  unsyncedSinceMs: number;
  nextSequence: number;
  nextCommit: number;
  /** Earliest time to retry a rotation that failed. */
  rotateAgainMs: number;
  /** When free space was last read, and how many bytes were written since. */
  spaceCheckedMs: number;
  bytesSinceSpaceCheck: number;
  /** True after a failed sync: the file can no longer be trusted. */
  syncFailed: boolean;
  /** Inode of the open segment, to recognise a file that another process put in its place. */
  inode: number;
  /** The last segment that was lost while it was open, or 0. */
  abandoned: number;
  /** The directory that segments belong into. */
  dev: number;
  ino: number;
  /** The log record as last written: see log-record.ts. */
  recordedSegment: number;
  recordedCommit: number;
  /** The last commit before the open segment, which is durable. */
  durableCommit: number;
  reservedCommit: number;
  deletedCommit: number;
}

export function plainLogState(): LogState {
  return {
    running: false,
    sequence: 0,
    openedMs: 0,
    bytes: 0,
    syncedBytes: 0,
    unsyncedLines: 0,
    unsyncedSinceMs: 0,
    nextSequence: 0,
    nextCommit: 0,
    rotateAgainMs: 0,
    spaceCheckedMs: 0,
    bytesSinceSpaceCheck: 0,
    syncFailed: false,
    inode: 0,
    abandoned: 0,
    dev: 0,
    ino: 0,
    recordedSegment: 0,
    recordedCommit: 0,
    durableCommit: 0,
    reservedCommit: 0,
    deletedCommit: 0,
  };
}
