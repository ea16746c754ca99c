/**
 * The log that both writers append to: which commits it accepts, how segments rotate, and what a failure means.
 *
 * ```
 *  store ─► accepts? ─► rotate if full or aged ─► seal ─► append ─► sync (synced) ─► STORED
 *              │ no          │ sync failed          │ write failed       │ sync failed
 *              ▼             ▼                      ▼                    ▼
 *           REFUSED       REFUSED, fatal         REFUSED, cut back    UNKNOWN, fatal
 * ```
 * A failed write is cut back, so the file is as it was before. ENOSPC and EDQUOT stop all commits until a probe
 * succeeds; the breaker counts other errors. A failed sync is final: the kernel reports a lost page once and then
 * calls it clean, so a second sync of that file would lie. It leaves in doubt all bytes written since the last sync.
 *
 * Where several threads share a log, the caller holds the lock that guards the state.
 */
import { monotonicMs } from '../base/clock.ts';
import { type Control, DISK_FAILED, DISK_OK, DISK_REFUSING } from '../base/control.ts';
import { NS_PER_MS } from '../base/units.ts';
import { type Breaker, OPEN } from '../breaker/breaker.ts';
import { type Outcome, REFUSED, STORED, UNKNOWN } from '../journal/journal.ts';
import type { CommitBuffer } from '../storage/commit-buffer.ts';
import type { FileId } from '../storage/directory-identity.ts';
import { codeOf, type FileOps, isFileError } from '../storage/file-ops.ts';
import type { RecoveryReport } from '../storage/recovery.ts';
import { isUnwritable, UndoFailed } from '../storage/segment.ts';
import { segmentName } from '../storage/segment-name.ts';
import { DirectoryLost, DirectorySyncFailed, type SegmentStore } from '../storage/segment-store.ts';
import { isDiskFull, lackOfSpace, SPACE_CHECK_BYTES, SPACE_CHECK_MS } from '../storage/space-guard.ts';
import { WRITER } from '../telemetry/counters.ts';
import { type Histograms, WRITER_HISTOGRAMS } from '../telemetry/histogram.ts';
import type { LogEvents } from './log-events.ts';
import { type LogIdentity, LogRecorder } from './log-recorder.ts';
import type { LogState } from './log-state.ts';
import type { DoubtfulRange, WriterConfig } from './writer.ts';

const ROTATE_AGAIN_AFTER_MS = 1_000;
/** Unsynced bytes that start a background sync early, so that no sync takes long. */
const SYNC_EARLY_BYTES = 32 << 20;

/** A commit is written at most this often, if its file is lost before the acknowledgement. */
const ATTEMPTS = 2;

export interface CommitLogParts {
  readonly config: WriterConfig;
  readonly control: Control;
  readonly breaker: Breaker;
  readonly counters: Float64Array;
  readonly histograms: Histograms;
  readonly ops: FileOps;
}

export class CommitLog {
  readonly record: LogRecorder;
  /** How long the last stored commit took to append and sync. */
  lastStoreMs = 0;
  readonly state: LogState;
  private readonly segments: SegmentStore;
  private readonly parts: CommitLogParts;
  private readonly events: LogEvents;

  constructor(
    state: LogState,
    segments: SegmentStore,
    parts: CommitLogParts,
    events: LogEvents,
    identity: () => LogIdentity,
  ) {
    this.state = state;
    this.segments = segments;
    this.parts = parts;
    this.events = events;
    const place = { ops: parts.ops, dataDir: parts.config.dataDir };
    this.record = new LogRecorder(state, place, identity, (code) => events.recordFailed(code));
  }

  /** Writer thread, before anybody stores. */
  start(recovered: RecoveryReport, directory: FileId): void {
    const { state } = this;
    state.nextCommit = recovered.nextCommit;
    state.nextSequence = recovered.nextSegment;
    this.record.start(recovered);
    state.dev = directory.dev;
    state.ino = directory.ino;
    state.spaceCheckedMs = Number.NEGATIVE_INFINITY;
    state.running = true;
  }

  /** Stores a commit that is not yet sealed, to the configured level. @param mark for its seal; see storage/seal.ts */
  store(buffer: CommitBuffer, nowMs: number, mark = ''): Outcome {
    return this.accepts(buffer.bytes, nowMs) ? this.storeCommit(buffer, nowMs, mark) : REFUSED;
  }

  /** A refused commit is lost. */
  countRefused(lines: number): void {
    const { counters, config } = this.parts;
    const slot = config.ack === 'received' ? WRITER.lost_acknowledged_lines : WRITER.refused_lines;
    counters[slot]! += lines;
  }

  /** Whether commits are accepted now; reads free space when a check is due. */
  accepts(bytes: number, nowMs: number): boolean {
    const { state } = this;
    const { control, breaker, ops, config, counters } = this.parts;
    if (!state.running || control.disk !== DISK_OK) return false;
    state.bytesSinceSpaceCheck += bytes;
    if (nowMs - state.spaceCheckedMs >= SPACE_CHECK_MS || state.bytesSinceSpaceCheck >= SPACE_CHECK_BYTES) {
      state.spaceCheckedMs = nowMs;
      state.bytesSinceSpaceCheck = 0;
      const lack = lackOfSpace(ops, config, counters);
      if (lack !== null) this.refuse(lack);
    }
    return control.disk === DISK_OK && breaker.state !== OPEN;
  }

  private storeCommit(buffer: CommitBuffer, nowMs: number, mark: string): Outcome {
    const { breaker, config, control } = this.parts;
    const { episode } = breaker;
    let startMs = nowMs;
    let isSealed = false;
    try {
      // A commit whose file was lost before it is acknowledged goes to a new file, once.
      for (let attempt = 1; ; attempt++) {
        this.abandonIfDamaged();
        if (this.isFullFor(buffer.bytes, nowMs)) this.rotate(nowMs);
        // The rotation failed for good.
        if (control.disk === DISK_FAILED) return REFUSED;
        if (!isSealed) buffer.seal(this.state.nextCommit, mark);
        isSealed = true;
        startMs = monotonicMs();
        this.append(buffer, nowMs);
        //> 2.6 synced before it counts as stored
        if (config.ack === 'synced' && !this.sync()) {
          this.count(buffer);
          return UNKNOWN;
        }
        //<
        if (this.isKept()) break;
        if (attempt === ATTEMPTS) return REFUSED;
      }
    } catch (error) {
      this.storeFailed(error, nowMs, episode);
      return REFUSED;
    }
    this.count(buffer);
    if (this.unsyncedBytes >= SYNC_EARLY_BYTES) this.events.syncIsDue();
    breaker.succeeded(episode, nowMs);
    this.lastStoreMs = monotonicMs() - startMs;
    if (this.record.isDue) this.record.write(false);
    return STORED;
  }

  /** After a commit was written: whether its file still has a name and holds all of it. Abandons the file if not. */
  private isKept(): boolean {
    const how = this.segments.loss(this.state);
    if (how === null) return true;
    this.abandon(how);
    return false;
  }

  private abandonIfDamaged(): void {
    const how = this.segments.damage(this.state);
    if (how !== null) this.abandon(how);
  }

  /** Writer thread, about once a second: notices an open segment whose name is gone or leads elsewhere. */
  inspect(): void {
    const how = this.segments.damage(this.state) ?? this.segments.displacement(this.state);
    if (how !== null) this.abandon(how);
  }

  /** Another process deleted or changed the open segment: the next commit begins another. */
  private abandon(how: string): void {
    const { state } = this;
    const { counters } = this.parts;
    const segment = segmentName(state.sequence);
    // A file that was moved keeps what it holds.
    if (!this.segments.isOpen(state) || this.sync()) state.unsyncedLines = 0;
    state.abandoned = state.sequence;
    this.close();
    this.updateGauges();
    counters[WRITER.segments_touched]! += 1;
    this.events.segmentLost(segment, how);
  }

  /** The directory was replaced by another that this process has locked: the log continues there. */
  moveTo({ dev, ino }: FileId): void {
    const { state } = this;
    if (state.sequence !== 0) this.abandon('left behind in the old directory');
    state.dev = dev;
    state.ino = ino;
    this.record.write(false);
  }

  /** The commit was not stored, and the file is as it was before. */
  private storeFailed(error: unknown, nowMs: number, episode: number): void {
    if (!isFileError(error)) throw error;
    this.parts.counters[WRITER.write_errors]! += 1;
    if (error instanceof UndoFailed) return this.fail(`${error.message} (${codeOf(error.cause)})`);
    const code = codeOf(error);
    this.parts.breaker.failed(episode, nowMs, code);
    if (this.state.sequence > 0 && isUnwritable(error)) this.abandon(`no longer writable: ${code}`);
    if (error instanceof DirectoryLost) this.refuse(error.message);
    else if (isDiskFull(error)) this.refuse(`a write failed: ${code}`);
    else this.events.writeFailed(code);
  }

  /** True when a commit of that size needs another segment. */
  isFullFor(bytes: number, nowMs: number): boolean {
    const { state } = this;
    if (state.sequence === 0) return true;
    if (state.bytes === 0) return false;
    return state.bytes + bytes > this.parts.config.segmentBytes || this.isAged(nowMs);
  }

  /** True when the open segment has commits and is past its age. */
  isAged(nowMs: number): boolean {
    const { state } = this;
    if (state.sequence === 0 || state.bytes === 0) return false;
    return nowMs - state.openedMs >= this.parts.config.segmentAgeMs;
  }

  private append(buffer: CommitBuffer, nowMs: number): void {
    const { state } = this;
    const { counters, histograms } = this.parts;
    const segment = this.segments.open(state)!;
    const startMs = monotonicMs();
    segment.append(buffer);
    histograms.record(WRITER_HISTOGRAMS.write_ns, Math.round((monotonicMs() - startMs) * NS_PER_MS));
    histograms.record(WRITER_HISTOGRAMS.commit_bytes, buffer.bytes);
    histograms.record(WRITER_HISTOGRAMS.commit_lines, buffer.lines);
    // The first bytes after a quiet time start the sync interval.
    if (state.unsyncedLines === 0) state.unsyncedSinceMs = nowMs;
    state.bytes = segment.bytes;
    state.unsyncedLines += buffer.lines;
    counters[WRITER.segment_bytes_now] = segment.bytes;
    this.updateGauges();
  }

  private count({ lines, bytes }: CommitBuffer): void {
    const { counters } = this.parts;
    this.state.nextCommit += 1;
    counters[WRITER.commits]! += 1;
    counters[WRITER.lines_written]! += lines;
    counters[WRITER.bytes_written]! += bytes;
  }

  /** Syncs the open segment and creates the next. If that fails, the open one stays in use for a while. */
  private rotate(nowMs: number): void {
    const { state } = this;
    const isOpen = state.sequence > 0;
    if (isOpen && nowMs < state.rotateAgainMs) return;
    if (!this.sync()) return;
    try {
      this.beginSegment(nowMs);
    } catch (error) {
      if (error instanceof DirectorySyncFailed) return this.failSync(error.cause);
      if (!isOpen || error instanceof DirectoryLost || !isFileError(error)) throw error;
      state.rotateAgainMs = nowMs + ROTATE_AGAIN_AFTER_MS;
      this.parts.counters[WRITER.rotation_failures]! += 1;
      this.events.rotationFailed(codeOf(error));
    }
  }

  private beginSegment(nowMs: number): void {
    const { state } = this;
    const { counters } = this.parts;
    const { segment, inode } = this.segments.create(state.nextSequence, state, nowMs);
    const { sequence } = segment;
    state.inode = inode;
    state.nextSequence = sequence + 1;
    state.sequence = sequence;
    state.openedMs = nowMs;
    state.bytes = 0;
    state.syncedBytes = 0;
    state.durableCommit = state.nextCommit - 1;
    counters[WRITER.segments_created]! += 1;
    counters[WRITER.segment_sequence_now] = sequence;
    this.events.segmentCreated();
  }

  /** Makes everything written durable. False when that failed, which is final. Throws if the file cannot be opened. */
  sync(): boolean {
    // Also after that file was abandoned: whatever follows would count its bytes as durable.
    if (this.state.syncFailed) return false;
    if (this.unsyncedBytes === 0) return true;
    const segment = this.segments.open(this.state)!;
    const startMs = monotonicMs();
    try {
      segment.sync();
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.failSync(error);
      return false;
    }
    this.recordSync(this.state.bytes, this.state.unsyncedLines, startMs);
    this.events.synced();
    return true;
  }

  /**
   * A sync covers the open segment up to `bytes`.
   * @param lines how many lines were unsynced when it started
   * @param startMs when it started
   */
  recordSync(bytes: number, lines: number, startMs: number): void {
    const { state } = this;
    const { counters, histograms } = this.parts;
    state.syncedBytes = bytes;
    state.unsyncedLines -= lines;
    counters[WRITER.syncs]! += 1;
    histograms.record(WRITER_HISTOGRAMS.sync_ns, Math.round((monotonicMs() - startMs) * NS_PER_MS));
    this.updateGauges();
  }

  get unsyncedBytes(): number {
    const { state } = this;
    return state.sequence === 0 ? 0 : state.bytes - state.syncedBytes;
  }

  /** Monotonic time of the next background sync: infinite if nothing is unsynced, in the past if too much is. */
  get syncDueMs(): number {
    const { unsyncedBytes } = this;
    if (unsyncedBytes === 0) return Number.POSITIVE_INFINITY;
    if (unsyncedBytes >= SYNC_EARLY_BYTES) return Number.NEGATIVE_INFINITY;
    return this.state.unsyncedSinceMs + this.parts.config.syncIntervalMs;
  }

  private updateGauges(): void {
    const { counters } = this.parts;
    counters[WRITER.unsynced_bytes_now] = this.unsyncedBytes;
    counters[WRITER.unsynced_lines_now] = this.state.unsyncedLines;
  }

  /** The range that a failed sync leaves unknown. */
  get doubtful(): DoubtfulRange | null {
    const { state } = this;
    if (this.unsyncedBytes === 0) return null;
    const segment = this.segments.pathOf(state.sequence);
    return { segment, from: state.syncedBytes, to: state.bytes, lines: state.unsyncedLines };
  }

  /** The first sequence that is not closed: that of the open segment, or of the next. */
  get firstOpen(): number {
    return this.state.sequence || this.state.nextSequence;
  }

  get openBytes(): number {
    return this.state.sequence === 0 ? 0 : this.state.bytes;
  }

  /** Closes the open segment, which is synced whole; the next commit creates another. */
  close(): void {
    this.state.sequence = 0;
    this.segments.close();
  }

  /** Writer thread, at its end: refuses commits from now on, syncs and closes. */
  stop(): void {
    this.state.running = false;
    const isWhole = this.sync();
    this.close();
    if (isWhole) this.record.write(true);
  }

  /** The path of the data directory leads elsewhere: refuses commits until a probe finds that it is back. */
  directoryLost(change: string): void {
    this.refuse(new DirectoryLost(this.parts.config.dataDir, change).message);
  }

  private refuse(reason: string): void {
    if (this.parts.control.changeDisk(DISK_OK, DISK_REFUSING)) this.events.refusing(reason);
  }

  /** The disk accepts bytes again. False when commits were not refused for that reason. */
  resume(): boolean {
    return this.parts.control.changeDisk(DISK_REFUSING, DISK_OK);
  }

  failSync(error: unknown): void {
    const { counters } = this.parts;
    counters[WRITER.sync_errors]! += 1;
    counters[WRITER.unknown_lines]! += this.state.unsyncedLines;
    //> 2.7 this file is never trusted again
    this.state.syncFailed = true;
    this.fail(`a sync failed: ${codeOf(error)}`);
    //<
  }

  private fail(reason: string): void {
    const { control } = this.parts;
    if (control.disk === DISK_FAILED) return;
    // Before any outcome: a thread that learns of one also learns that nothing more is accepted.
    control.disk = DISK_FAILED;
    this.events.failed(reason);
  }
}
