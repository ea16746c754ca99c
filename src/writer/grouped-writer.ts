/**
 * The writer thread of a log that only this thread appends to: gather a commit from a source, store it, settle it.
 *
 * A turn gathers what the source has published, within bounds, stores it as one commit to the level of `ack`, and then
 * settles it with the source. Groups form by themselves: what arrives while one commit is written is the next.
 */
import { monotonicMs } from '../base/clock.ts';
import { DISK_FAILED } from '../base/control.ts';
import { type Outcome, REFUSED, STORED } from '../journal/journal.ts';
import { CommitBuffer } from '../storage/commit-buffer.ts';
import { codeOf } from '../storage/file-ops.ts';
import { pageAlignedBytes } from '../storage/segment.ts';
import { SegmentStore } from '../storage/segment-store.ts';
import { Spares } from '../storage/spares.ts';
import { BackgroundSync, type BackgroundSyncOutcome } from './background-sync.ts';
import { CommitLog } from './commit-log.ts';
import type { LogEvents } from './log-events.ts';
import { plainLogState } from './log-state.ts';
import { nextLoopTurn, runTurns } from './run-turns.ts';
import { MAINTENANCE_MS, Upkeep } from './upkeep.ts';
import type { RunningWriter, WriterParts } from './writer.ts';

const STAGING_BYTES = 1 << 20;
/** Rotations that need no descriptor. */
const SPARES = 8;
/** Sleep while a background sync runs, whose end does not ring the bell. */
const SHORT_SLEEP_MS = 2;

/** Where the writer's commits come from. */
export interface CommitSource {
  /** Adds what is published to the empty `buffer`, within bounds. */
  gather(buffer: CommitBuffer, nowMs: number): void;
  /** The mark for the commit's seal; '' for none. */
  mark(): string;
  /** The commit is stored, or an outcome says what became of it: releases its memory. */
  settle(outcome: Outcome, nowMs: number): void;
  /** Ms until `gather` is worth calling although the bell was not rung; infinite when the bell suffices. */
  pollInMs(nowMs: number): number;
  /** True when a refused commit is lost, as its requests are told; false when the source offers it again. */
  readonly losesRefused: boolean;
  /** The commit was stored in `tookMs`. */
  stored(bytes: number, tookMs: number): void;
  /** True once after the source asked that the log is synced before its time. */
  syncIsWanted(): boolean;
  /** Called before a background sync; `synced` gets the result back once it has succeeded. */
  syncStarts(): unknown;
  /** Everything settled before `token` was taken is durable; without a token, everything settled by now. */
  synced(token?: unknown): void;
  /** Called about once a second. */
  maintain(nowMs: number): void;
  /** Called at the end: the log is closed, and what was settled is durable unless `failed`. */
  close(failed: boolean): void;
}

export class GroupedWriter implements RunningWriter {
  private readonly upkeep: Upkeep;
  private readonly log: CommitLog;
  private readonly parts: WriterParts;
  private readonly source: CommitSource;
  private readonly state = plainLogState();
  private readonly spares: Spares;
  private readonly segments: SegmentStore;
  private readonly background: BackgroundSync;
  private readonly buffer = new CommitBuffer();
  private nowMs = 0;
  private maintenanceMs = 0;
  private loopTurnIsDue = false;

  constructor(parts: WriterParts, source: CommitSource) {
    const { ops, config, counters } = parts;
    this.parts = parts;
    this.source = source;
    this.background = new BackgroundSync(ops);
    this.spares = new Spares(ops, config.dataDir, SPARES);
    const context = {
      ops,
      staging: pageAlignedBytes(STAGING_BYTES),
      directBytes: config.directBytes,
      counters,
      directRefused: (error: unknown) => {
        this.upkeep.log(
          'info',
          { code: codeOf(error) },
          'no direct I/O here: writing through the page cache',
        );
      },
    };
    this.segments = new SegmentStore(context, config.dataDir, this.spares, (segment) =>
      this.background.closeWhenIdle(segment),
    );
    this.upkeep = new Upkeep(parts, this.spares);
    const { log: id, createdAt, startSegment } = parts.recovered;
    const identity = { id, createdAt, startSegment };
    this.log = new CommitLog(this.state, this.segments, parts, this.events(), () => identity);
    this.log.start(parts.recovered, parts.directory.get());
  }

  private events(): LogEvents {
    return {
      refusing: (reason) => this.upkeep.refusing(reason, this.nowMs),
      failed: (reason) => this.upkeep.failed(reason, this.log.doubtful),
      writeFailed: (code) => this.upkeep.writeFailed(code, this.nowMs),
      rotationFailed: (code) => this.upkeep.rotationFailed(code, this.state.sequence),
      segmentLost: (segment, how) => this.upkeep.segmentLost(segment, how),
      recordFailed: (code) => this.upkeep.recordFailed(code),
      segmentCreated: () => {
        // Where descriptors are scarce, other threads soon use those that were just closed.
        this.segments.prepareNext();
        this.retain();
      },
      // Beside a background sync, that one may get the error that belongs to this one: the next sync counts.
      synced: () => {
        if (!this.background.running) this.source.synced();
      },
      // The next turn starts the sync.
      syncIsDue: () => {},
    };
  }

  async run(): Promise<void> {
    await runTurns(this.parts, {
      turn: () => this.turn(monotonicMs()),
      needsEventLoop: () => this.background.running || this.loopTurnIsDue,
      idleMs: () => this.idleMs(monotonicMs()),
    });
    while (this.background.running) await nextLoopTurn();
    this.log.stop();
    this.source.close(this.state.syncFailed);
    this.spares.close();
  }

  /** One turn: what is due by time, then one group. True when a group was settled. */
  turn(nowMs: number): boolean {
    this.nowMs = nowMs;
    this.loopTurnIsDue = false;
    if (nowMs >= this.maintenanceMs) this.maintain(nowMs);
    if (!this.hasFailed) this.retryAndSync(nowMs);
    const { source, buffer } = this;
    if (buffer.lines === 0) source.gather(buffer, nowMs);
    if (buffer.lines === 0) return false;
    // The group stays for a later turn, also if this one should be the last.
    if (this.mustWait(nowMs)) return this.parts.control.writerShouldStop;
    const outcome = this.log.store(buffer, nowMs, source.mark());
    if (outcome === STORED) source.stored(buffer.bytes, this.log.lastStoreMs);
    if (outcome === REFUSED && source.losesRefused) this.log.countRefused(buffer.lines);
    source.settle(outcome, nowMs);
    buffer.clear();
    return true;
  }

  /**
   * A rotation syncs, too, and the kernel reports a failed write-back only once for each descriptor. Beside a background
   * sync that has failed it would succeed, and call lost bytes durable.
   */
  private mustWait(nowMs: number): boolean {
    return this.background.running && !this.hasFailed && this.log.isFullFor(this.buffer.bytes, nowMs);
  }

  private get hasFailed(): boolean {
    return this.parts.control.disk === DISK_FAILED;
  }

  private retryAndSync(nowMs: number): void {
    const { upkeep, log, background, source } = this;
    if (upkeep.diskRecovered(nowMs) && log.resume()) upkeep.log('info', {}, 'the disk accepts bytes again');
    upkeep.tryBreaker(nowMs);
    if (this.parts.config.ack === 'synced' || background.running) return;
    const isWanted = source.syncIsWanted();
    if (nowMs >= log.syncDueMs || (isWanted && log.unsyncedBytes > 0)) this.startSync(nowMs);
    // A segment that others took was synced beside a background sync, so the source does not know it yet.
    else if (isWanted) source.synced();
  }

  /** Syncs the open segment on the thread pool, while writing continues. */
  private startSync(nowMs: number): void {
    const { bytes, unsyncedLines } = this.state;
    const token = this.source.syncStarts();
    this.background.start(this.segments.open(this.state)!, (outcome) => {
      if (this.backgroundSynced(outcome, bytes, unsyncedLines, nowMs)) this.source.synced(token);
    });
  }

  private backgroundSynced(
    { segment, error, startMs }: BackgroundSyncOutcome,
    bytes: number,
    lines: number,
    nowMs: number,
  ): boolean {
    if (error !== null) {
      this.log.failSync(error);
      return false;
    }
    // A rotation may have synced more meanwhile, and opened another segment.
    if (segment.sequence !== this.state.sequence || bytes <= this.state.syncedBytes) return false;
    // Lines written while it ran are at most that old.
    this.state.unsyncedSinceMs = nowMs;
    this.log.recordSync(bytes, lines, startMs);
    return true;
  }

  private maintain(nowMs: number): void {
    const { log } = this;
    this.maintenanceMs = nowMs + MAINTENANCE_MS;
    this.loopTurnIsDue = true;
    this.parts.sample();
    this.source.maintain(nowMs);
    if (this.hasFailed) return;
    this.upkeep.watch(log, nowMs);
    this.segments.prepareNext();
    // A segment that aged without a commit is closed; the next commit creates another.
    if (!this.background.running && log.isAged(nowMs) && log.sync()) log.close();
    this.retain();
  }

  private retain(): void {
    const { firstOpen, openBytes } = this.log;
    const { abandoned } = this.state;
    this.upkeep.retain({ firstOpen, abandoned, openBytes }, (commit) => this.log.record.deleting(commit));
  }

  private idleMs(nowMs: number): number {
    if (this.background.running) return SHORT_SLEEP_MS;
    let dueMs = Math.min(this.maintenanceMs, nowMs + this.source.pollInMs(nowMs));
    if (!this.hasFailed) {
      dueMs = Math.min(dueMs, nowMs + this.upkeep.dueInMs(nowMs));
      if (this.parts.config.ack !== 'synced') dueMs = Math.min(dueMs, this.log.syncDueMs);
    }
    return Math.max(0, dueMs - nowMs);
  }
}
