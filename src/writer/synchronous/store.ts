/**
 * Storing as it is done without a writer thread: take the lock, write one commit to the open segment, sync it, let go.
 *
 * Every thread of the process has a store over the same shared memory. Rotation happens where a commit asks for it;
 * what has no commit to hang on (time, probing a full disk, telling people) is the housekeeper's, who is rung for.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Bell } from '../../base/bell.ts';
import { monotonicMs } from '../../base/clock.ts';
import { type Control, DISK_FAILED, DISK_OK, DISK_REFUSING } from '../../base/control.ts';
import { NS_PER_MS } from '../../base/units.ts';
import { type Breaker, OPEN } from '../../breaker/breaker.ts';
import { type Outcome, REFUSED, STORED, UNKNOWN } from '../../journal/journal.ts';
import type { Batch } from '../../storage/commit-buffer.ts';
import type { DoubtfulRange } from '../../storage/durability.ts';
import { codeOf, type FileOps, isFileError } from '../../storage/file-ops.ts';
import { type AppendContext, type OpenFile, openNew, Segment, UndoFailed } from '../../storage/segment.ts';
import { segmentName } from '../../storage/segment-name.ts';
import { DirectorySyncFailed, syncDirectory } from '../../storage/segment-store.ts';
import {
  isLackOfSpace,
  LOOK_INTERVAL_BYTES,
  LOOK_INTERVAL_MS,
  lackOfSpace,
} from '../../storage/space-guard.ts';
import { WRITER } from '../../telemetry/counters.ts';
import { type Histograms, WRITER_HISTOGRAMS } from '../../telemetry/histogram.ts';
import type { WriterConfig } from '../writer.ts';
import {
  BYTES,
  BYTES_SINCE_LOOK,
  LOOKED_MS,
  NEXT_COMMIT,
  NEXT_SEQUENCE,
  OPENED_MS,
  REASON,
  ROTATE_AGAIN_MS,
  ROTATION,
  RUNNING,
  SEQUENCE,
  SYNC_FAILED,
  SYNCED_BYTES,
  SynchronousMemory,
  UNSYNCED_LINES_NOW,
  UNSYNCED_SINCE_MS,
  WRITE_ERROR,
} from './memory.ts';

const ROTATE_AGAIN_AFTER_MS = 1_000;
/** Unsynced bytes that call the writer thread before its time, so that no sync gets long. */
const SYNC_EARLY_BYTES = 32 << 20;
export interface StoreParts {
  readonly config: WriterConfig;
  readonly bell: Bell;
  readonly control: Control;
  readonly breaker: Breaker;
  readonly counters: Float64Array;
  readonly histograms: Histograms;
  readonly ops: FileOps;
}

/** One thread's store. All but `store` need the lock of `memory`. */
export class SynchronousStore {
  readonly memory: SynchronousMemory;
  private readonly state: Float64Array;
  private readonly parts: StoreParts;
  private readonly context: AppendContext;
  private readonly now: () => number;
  /** The segment that was open when this thread last looked. */
  private segment: Segment | null = null;

  /** @param now monotonic ms */
  constructor(memory: SharedArrayBuffer, parts: StoreParts, now: () => number = monotonicMs) {
    const { ops, counters } = parts;
    this.memory = new SynchronousMemory(memory);
    this.state = this.memory.state;
    this.parts = parts;
    this.now = now;
    // One plain write a commit, through the page cache.
    this.context = { ops, counters, directBytes: 0, staging: Buffer.alloc(0), directRefused: () => {} };
  }

  /** Writer thread, at its start. */
  start(nextCommit: number, nextSequence: number): void {
    const { state } = this;
    state[NEXT_COMMIT] = nextCommit;
    state[NEXT_SEQUENCE] = nextSequence;
    state[LOOKED_MS] = Number.NEGATIVE_INFINITY;
    state[RUNNING] = 1;
  }

  /** Takes the lock and stores a batch, not yet sealed, as one commit to the configured level. */
  store(batch: Batch): Outcome {
    if (!this.memory.lock()) {
      this.memory.addUnlockedLines(batch.lines);
      this.parts.bell.ring();
      return REFUSED;
    }
    try {
      const nowMs = this.now();
      const outcome = this.takesCommits(batch.bytes, nowMs) ? this.storeCommit(batch, nowMs) : REFUSED;
      if (outcome === REFUSED) this.countRefused(batch.lines);
      return outcome;
    } catch (error) {
      // A defect, in the middle of anything: this thread dies of it, and no other may go on from here.
      this.state[RUNNING] = 0;
      throw error;
    } finally {
      this.memory.unlock();
    }
  }

  countRefused(lines: number): void {
    const { counters, config } = this.parts;
    const slot = config.ack === 'received' ? WRITER.lost_acknowledged_lines : WRITER.refused_lines;
    counters[slot]! += lines;
  }

  /** Whether commits are taken now; looks at free space when that is due. */
  takesCommits(bytes: number, nowMs: number): boolean {
    const { state } = this;
    const { control, breaker, ops, config, counters } = this.parts;
    if (state[RUNNING] === 0 || control.disk !== DISK_OK) return false;
    state[BYTES_SINCE_LOOK]! += bytes;
    const isDue =
      nowMs - state[LOOKED_MS]! >= LOOK_INTERVAL_MS || state[BYTES_SINCE_LOOK]! >= LOOK_INTERVAL_BYTES;
    if (isDue) {
      state[LOOKED_MS] = nowMs;
      state[BYTES_SINCE_LOOK] = 0;
      const lack = lackOfSpace(ops, config, counters);
      if (lack !== null) this.refuse(lack);
    }
    return control.disk === DISK_OK && breaker.state !== OPEN;
  }

  private storeCommit(batch: Batch, nowMs: number): Outcome {
    const { breaker } = this.parts;
    const { episode } = breaker;
    try {
      if (this.isFullFor(batch.bytes, nowMs)) this.rotate(nowMs);
      // Rotation failed for good.
      if (this.parts.control.disk === DISK_FAILED) return REFUSED;
      this.append(batch, nowMs);
    } catch (error) {
      this.storingFailed(error, nowMs, episode);
      return REFUSED;
    }
    if (this.parts.config.ack === 'synced') {
      if (!this.sync()) return UNKNOWN;
    } else if (this.unsyncedBytes >= SYNC_EARLY_BYTES) this.parts.bell.ring();
    breaker.succeeded(episode, nowMs);
    return STORED;
  }

  /** A commit was not stored, and the file is as it was before. */
  private storingFailed(error: unknown, nowMs: number, episode: number): void {
    if (!isFileError(error)) throw error;
    this.parts.counters[WRITER.write_errors]! += 1;
    if (error instanceof UndoFailed) return this.fail(`${error.message} (${codeOf(error.cause)})`);
    const code = codeOf(error);
    this.parts.breaker.failed(episode, nowMs, code);
    if (isLackOfSpace(error)) this.refuse(`a write failed: ${code}`);
    else {
      this.memory.setText(WRITE_ERROR, code);
      this.parts.bell.ring();
    }
  }

  private isFullFor(bytes: number, nowMs: number): boolean {
    const { state } = this;
    if (state[SEQUENCE] === 0) return true;
    if (state[BYTES] === 0) return false;
    return state[BYTES]! + bytes > this.parts.config.segmentBytes || this.isAged(nowMs);
  }

  isAged(nowMs: number): boolean {
    const { state } = this;
    if (state[SEQUENCE] === 0 || state[BYTES] === 0) return false;
    return nowMs - state[OPENED_MS]! >= this.parts.config.segmentAgeMs;
  }

  private append(batch: Batch, nowMs: number): void {
    const { state } = this;
    const { counters, histograms } = this.parts;
    const segment = this.open()!;
    batch.seal(state[NEXT_COMMIT]!);
    const startMs = monotonicMs();
    segment.append(batch);
    histograms.record(WRITER_HISTOGRAMS.write_ns, Math.round((monotonicMs() - startMs) * NS_PER_MS));
    histograms.record(WRITER_HISTOGRAMS.commit_bytes, batch.bytes);
    histograms.record(WRITER_HISTOGRAMS.commit_lines, batch.lines);
    if (state[UNSYNCED_LINES_NOW] === 0) state[UNSYNCED_SINCE_MS] = nowMs;
    state[BYTES] = segment.bytes;
    state[UNSYNCED_LINES_NOW]! += batch.lines;
    state[NEXT_COMMIT]! += 1;
    counters[WRITER.commits]! += 1;
    counters[WRITER.lines_written]! += batch.lines;
    counters[WRITER.bytes_written]! += batch.bytes;
    counters[WRITER.segment_bytes_now] = segment.bytes;
    this.publishGauges();
  }

  /** The open segment, which another thread may have begun or written to since. Throws when it cannot be opened. */
  private open(): Segment | null {
    const { state, context } = this;
    const sequence = state[SEQUENCE]!;
    if (this.segment?.sequence !== sequence) this.forget();
    if (sequence === 0) return null;
    if (this.segment === null) {
      const path = this.pathOf(sequence);
      const file = { path, fd: context.ops.open(path, constants.O_WRONLY) };
      this.segment = new Segment(context, sequence, file, state[OPENED_MS]!);
    }
    this.segment.bytes = state[BYTES]!;
    return this.segment;
  }

  /** Closes this thread's descriptor of the segment. */
  private forget(): void {
    const { segment } = this;
    this.segment = null;
    segment?.close();
  }

  private pathOf(sequence: number): string {
    return join(this.parts.config.dataDir, segmentName(sequence));
  }

  /** Syncs the open segment and begins the next; when that cannot be made, goes on in the open one for a while. */
  private rotate(nowMs: number): void {
    const { state } = this;
    const { counters, bell } = this.parts;
    const isOpen = state[SEQUENCE]! > 0;
    if (isOpen && nowMs < state[ROTATE_AGAIN_MS]!) return;
    if (!this.sync()) return;
    try {
      this.begin(nowMs);
    } catch (error) {
      if (error instanceof DirectorySyncFailed) return this.failSync(error.cause);
      if (!isOpen || !isFileError(error)) throw error;
      state[ROTATE_AGAIN_MS] = nowMs + ROTATE_AGAIN_AFTER_MS;
      counters[WRITER.rotation_failures]! += 1;
      this.memory.setText(ROTATION, codeOf(error));
      bell.ring();
    }
  }

  private begin(nowMs: number): void {
    const { state, context } = this;
    const { config, counters, bell } = this.parts;
    const sequence = state[NEXT_SEQUENCE]!;
    const file = this.make(this.pathOf(sequence));
    state[NEXT_SEQUENCE] = sequence + 1;
    state[SEQUENCE] = sequence;
    state[OPENED_MS] = nowMs;
    state[BYTES] = state[SYNCED_BYTES] = 0;
    counters[WRITER.segments_created]! += 1;
    counters[WRITER.segment_sequence_now] = sequence;
    // The writer thread opens the file too: see `follow`.
    if (config.ack !== 'synced') bell.ring();
    this.forget();
    this.segment = new Segment(context, sequence, file, nowMs);
  }

  /** A new file whose name is durable. */
  private make(path: string): OpenFile {
    const { ops, config } = this.parts;
    // Opened first, so that a file is made only where its name can be synced as well.
    const directory = ops.open(config.dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const file = openNew(ops, path);
      syncDirectory(ops, directory, config.dataDir);
      return file;
    } finally {
      ops.close(directory);
    }
  }

  /**
   * Opens the segment that others have begun. A file with unsynced bytes has to stay open in one thread at least: the
   * kernel may forget a file that nobody has open, and with it that a page of it could not be written.
   */
  follow(): void {
    this.open();
  }

  /** Makes everything written durable. False when that failed, which is final; throws when the file cannot be opened. */
  sync(): boolean {
    const { state } = this;
    const { counters, histograms } = this.parts;
    if (this.unsyncedBytes === 0) return true;
    const segment = this.open()!;
    const startMs = monotonicMs();
    try {
      segment.sync();
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.failSync(error);
      return false;
    }
    histograms.record(WRITER_HISTOGRAMS.sync_ns, Math.round((monotonicMs() - startMs) * NS_PER_MS));
    counters[WRITER.syncs]! += 1;
    state[SYNCED_BYTES] = state[BYTES]!;
    state[UNSYNCED_LINES_NOW] = 0;
    this.publishGauges();
    return true;
  }

  get unsyncedBytes(): number {
    const { state } = this;
    return state[SEQUENCE] === 0 ? 0 : state[BYTES]! - state[SYNCED_BYTES]!;
  }

  /** Monotonic time at which unsynced bytes are too old or, already, too many; infinite when there are none. */
  get syncDueMs(): number {
    const { unsyncedBytes } = this;
    if (unsyncedBytes === 0) return Number.POSITIVE_INFINITY;
    if (unsyncedBytes >= SYNC_EARLY_BYTES) return Number.NEGATIVE_INFINITY;
    return this.state[UNSYNCED_SINCE_MS]! + this.parts.config.syncIntervalMs;
  }

  private publishGauges(): void {
    const { counters } = this.parts;
    counters[WRITER.unsynced_bytes_now] = this.unsyncedBytes;
    counters[WRITER.unsynced_lines_now] = this.state[UNSYNCED_LINES_NOW]!;
  }

  get doubtful(): DoubtfulRange | null {
    const { state } = this;
    if (this.unsyncedBytes === 0) return null;
    return {
      segment: this.pathOf(state[SEQUENCE]!),
      from: state[SYNCED_BYTES]!,
      to: state[BYTES]!,
      lines: state[UNSYNCED_LINES_NOW]!,
    };
  }

  /** The first sequence that is not closed: that of the open segment, or of the next. */
  get firstUnclosed(): number {
    return this.state[SEQUENCE]! || this.state[NEXT_SEQUENCE]!;
  }

  get openBytes(): number {
    return this.state[SEQUENCE] === 0 ? 0 : this.state[BYTES]!;
  }

  /** Closes the open segment, which is synced whole; the next commit begins another. */
  close(): void {
    this.state[SEQUENCE] = 0;
    this.forget();
  }

  /** Writer thread, at its end: nothing is stored from here on. `close` comes next. */
  stop(): void {
    this.state[RUNNING] = 0;
    if (this.state[SYNC_FAILED] === 0) this.sync();
  }

  /** Takes no commits until the writer thread finds that the disk takes bytes again. */
  private refuse(reason: string): void {
    this.memory.setText(REASON, reason);
    this.parts.control.disk = DISK_REFUSING;
    this.parts.bell.ring();
  }

  resume(): void {
    this.parts.control.disk = DISK_OK;
  }

  private failSync(error: unknown): void {
    const { counters } = this.parts;
    counters[WRITER.sync_errors]! += 1;
    counters[WRITER.unknown_lines]! += this.state[UNSYNCED_LINES_NOW]!;
    this.state[SYNC_FAILED] = 1;
    this.fail(`a sync failed: ${codeOf(error)}`);
  }

  /** Stores nothing more; the writer thread has the process ended. */
  private fail(reason: string): void {
    const { control, bell } = this.parts;
    if (control.disk === DISK_FAILED) return;
    this.memory.setText(REASON, reason);
    control.disk = DISK_FAILED;
    bell.ring();
  }
}
