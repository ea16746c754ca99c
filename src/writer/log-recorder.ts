/** Keeps the log record (storage/log-record.ts) ahead of what is acknowledged. */
import { directoryChange } from '../storage/directory-identity.ts';
import { codeOf, type FileOps, isFileError } from '../storage/file-ops.ts';
import { hasLogRecord, type LogRecord, RESERVED_COMMITS, writeLogRecord } from '../storage/log-record.ts';
import type { RecoveryReport } from '../storage/recovery.ts';
import type { LogState } from './log-state.ts';

/** Members that do not change while the process runs. */
export type LogIdentity = Pick<LogRecord, 'id' | 'createdAt' | 'startSegment'>;

/** While the record cannot be written, commits continue: it is tried again after so many, and each second. */
const RETRY_COMMITS = 1_000;
/** No commit has this number: the record counts as stale. */
const NEVER = -1;

export class LogRecorder {
  private readonly state: LogState;
  private readonly ops: FileOps;
  private readonly dataDir: string;
  private readonly identity: () => LogIdentity;
  private readonly failed: (code: string) => void;

  /**
   * @param identity called for each write
   * @param failed called with the error's code when the record cannot be written
   */
  constructor(
    state: LogState,
    { ops, dataDir }: { readonly ops: FileOps; readonly dataDir: string },
    identity: () => LogIdentity,
    failed: (code: string) => void,
  ) {
    this.state = state;
    this.ops = ops;
    this.dataDir = dataDir;
    this.identity = identity;
    this.failed = failed;
  }

  /** Continues from what recovery has just written. */
  start({ nextCommit, nextSegment, deletedCommit, isRecorded }: RecoveryReport): void {
    const { state } = this;
    state.deletedCommit = deletedCommit;
    state.recordedSegment = nextSegment - 1;
    state.durableCommit = nextCommit - 1;
    state.recordedCommit = isRecorded ? nextCommit - 1 : NEVER;
    state.reservedCommit = nextCommit - 1 + RESERVED_COMMITS;
  }

  /** True when the last commit was the first of its segment or used up the reserve: record it before acknowledging. */
  get isDue(): boolean {
    const { state } = this;
    return state.recordedSegment !== state.sequence || state.nextCommit > state.reservedCommit;
  }

  /** Retention is about to delete all commits up to this number. */
  deleting(commit: number): void {
    if (commit <= this.state.deletedCommit) return;
    this.state.deletedCommit = commit;
    this.write(false);
  }

  /** True when commits were stored since the record was written. */
  get isStale(): boolean {
    return this.state.recordedCommit !== this.state.nextCommit - 1;
  }

  /** False when another process deleted a copy. */
  exists(): boolean {
    return hasLogRecord(this.ops, this.dataDir);
  }

  /**
   * Writes the record; false when that failed.
   * @param clean no commit follows: the server is about to end
   */
  write(clean: boolean): boolean {
    const { state } = this;
    const last = state.nextCommit - 1;
    // A power loss may take commits that are not synced: the record must not know of them.
    // That includes those of a segment that was abandoned after its sync had failed.
    const isOpenSynced = state.sequence === 0 || state.bytes === state.syncedBytes;
    const isDurable = isOpenSynced && !state.syncFailed;
    const commit = isDurable ? last : Math.max(state.durableCommit, state.recordedCommit);
    const segment = state.nextSequence - 1;
    const reserved = last + RESERVED_COMMITS;
    const { deletedCommit } = state;
    if (directoryChange(this.ops, this.dataDir, state) !== null) {
      // The record of another log may be there.
      state.reservedCommit = Math.max(state.reservedCommit, last + RETRY_COMMITS);
      return false;
    }
    state.recordedSegment = segment;
    try {
      writeLogRecord(this.ops, this.dataDir, {
        ...this.identity(),
        segment,
        commit,
        reserved,
        deletedCommit,
        clean,
      });
      state.recordedCommit = commit;
      state.reservedCommit = reserved;
      return true;
    } catch (error) {
      if (!isFileError(error)) throw error;
      state.reservedCommit = Math.max(state.reservedCommit, last + RETRY_COMMITS);
      this.failed(codeOf(error));
      return false;
    }
  }
}
