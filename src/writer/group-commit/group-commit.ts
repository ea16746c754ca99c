/**
 * Group commit: the writer thread drains all journal rings into commits of one log.
 *
 * A turn gathers what is published, within bounds, and stores it as one commit to the level of `ack`. Only then does
 * it release the rings: a worker's stored cursor never passes a line that is not stored, unless an outcome says so.
 * Groups form by themselves: what arrives while one commit is written and synced is the next.
 */
import { monotonicMs } from '../../base/clock.ts';
import { DISK_FAILED } from '../../base/control.ts';
import { type Outcome, STORED } from '../../journal/journal.ts';
import { createJournalRing, isReleased, JournalConsumer, JournalProducer } from '../../journal/ring.ts';
import { CommitBuffer } from '../../storage/commit-buffer.ts';
import { codeOf } from '../../storage/file-ops.ts';
import { pageAlignedBytes } from '../../storage/segment.ts';
import { SegmentStore } from '../../storage/segment-store.ts';
import { Spares } from '../../storage/spares.ts';
import { WRITER } from '../../telemetry/counters.ts';
import { CommitCost } from '../commit-cost.ts';
import { CommitLog } from '../commit-log.ts';
import type { LogEvents } from '../log-events.ts';
import { plainLogState } from '../log-state.ts';
import { nextLoopTurn, runTurns } from '../run-turns.ts';
import { MAINTENANCE_MS, Upkeep } from '../upkeep.ts';
import type { RunningWriter, WriterModule, WriterParts } from '../writer.ts';
import { BackgroundSync, type BackgroundSyncOutcome } from './background-sync.ts';

/** A commit is closed when it has this many bytes; one run may exceed it. */
const COMMIT_BYTES = 4 << 20;
const STAGING_BYTES = 1 << 20;
/** Rotations that need no descriptor. */
const SPARES = 8;
/** Sleep while waiting for an event that does not ring the bell: a worker's outcome slot, a background sync. */
const SHORT_SLEEP_MS = 2;

export class GroupCommitWriter implements RunningWriter {
  private readonly parts: WriterParts;
  private readonly journals: readonly JournalConsumer[];
  private readonly state = plainLogState();
  private readonly spares: Spares;
  private readonly segments: SegmentStore;
  private readonly upkeep: Upkeep;
  private readonly log: CommitLog;
  private readonly background: BackgroundSync;
  private readonly buffer = new CommitBuffer();
  private readonly cost = new CommitCost();
  private nowMs = 0;
  /** The ring that the next group starts with, so that none waits for the others. */
  private firstRing = 0;
  /** A ring was skipped because its worker has yet to read earlier outcomes. */
  private outcomesAreFull = false;
  private maintenanceMs = 0;
  private loopTurnIsDue = false;

  constructor(parts: WriterParts) {
    const { ops, config, counters, memory } = parts;
    this.parts = parts;
    this.journals = memory.journals.map((journal) => new JournalConsumer(journal));
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
    this.spares.close();
  }

  /** One turn: what is due by time, then one group. True when a group was settled. */
  turn(nowMs: number): boolean {
    this.nowMs = nowMs;
    this.loopTurnIsDue = false;
    if (nowMs >= this.maintenanceMs) this.maintain(nowMs);
    if (!this.hasFailed) this.retryAndSync(nowMs);
    this.gather();
    if (this.buffer.lines === 0) return false;
    const outcome = this.log.store(this.buffer, nowMs);
    if (outcome === STORED) this.updateCost();
    this.settle(outcome);
    return true;
  }

  private get hasFailed(): boolean {
    return this.parts.control.disk === DISK_FAILED;
  }

  private retryAndSync(nowMs: number): void {
    const { upkeep, log, background } = this;
    if (upkeep.diskRecovered(nowMs) && log.resume()) upkeep.log('info', {}, 'the disk accepts bytes again');
    upkeep.tryBreaker(nowMs);
    if (this.parts.config.ack === 'synced' || background.running || nowMs < log.syncDueMs) return;
    const { bytes, unsyncedLines } = this.state;
    background.start(this.segments.open(this.state)!, (outcome) =>
      this.backgroundSynced(outcome, bytes, unsyncedLines, nowMs),
    );
  }

  private backgroundSynced(
    { segment, error, startMs }: BackgroundSyncOutcome,
    bytes: number,
    lines: number,
    nowMs: number,
  ): void {
    if (error !== null) this.log.failSync(error);
    // A rotation may have synced more meanwhile, and opened another segment.
    if (error !== null || segment.sequence !== this.state.sequence || bytes <= this.state.syncedBytes) return;
    // Lines written while it ran are at most that old.
    this.state.unsyncedSinceMs = nowMs;
    this.log.recordSync(bytes, lines, startMs);
  }

  private maintain(nowMs: number): void {
    const { log } = this;
    this.maintenanceMs = nowMs + MAINTENANCE_MS;
    this.loopTurnIsDue = true;
    this.parts.sample();
    if (this.hasFailed) return;
    this.upkeep.watch(log, nowMs);
    this.segments.prepareNext();
    // A segment that aged without a commit is closed; the next commit creates another.
    if (log.isAged(nowMs) && log.sync()) log.close();
    this.retain();
  }

  private retain(): void {
    const { firstOpen, openBytes } = this.log;
    const { abandoned } = this.state;
    this.upkeep.retain({ firstOpen, abandoned, openBytes }, (commit) => this.log.record.deleting(commit));
  }

  /** Adds runs from the rings in turn until a commit is full or nothing is published. */
  private gather(): void {
    const { buffer, journals } = this;
    buffer.clear();
    this.outcomesAreFull = false;
    for (let i = 0; i < journals.length && buffer.bytes < COMMIT_BYTES; i++) {
      const journal = journals[(this.firstRing + i) % journals.length]!;
      if (!journal.hasOutcomeRoom()) {
        this.outcomesAreFull = true;
        continue;
      }
      while (buffer.bytes < COMMIT_BYTES && journal.next()) {
        buffer.add(journal.bytes, journal.runOffset, journal.runBytes, journal.runLines);
      }
    }
    this.firstRing = (this.firstRing + 1) % journals.length;
  }

  /** The workers' admission control steers by these. */
  private updateCost(): void {
    const { cost, buffer } = this;
    const { counters } = this.parts;
    cost.add(buffer.bytes, this.log.lastStoreMs);
    counters[WRITER.commit_fixed_ms_now] = cost.fixedMs;
    counters[WRITER.commit_bytes_per_ms_now] = cost.bytesPerMs;
  }

  /** Reports the outcome to every ring of the group and releases its memory. */
  private settle(outcome: Outcome): void {
    const { config, counters } = this.parts;
    // Before any cursor moves: a thread that sees one moved sees this time, or a later one.
    counters[WRITER.released_at_ms_now] = monotonicMs();
    for (const journal of this.journals) {
      if (!journal.holdsRuns) continue;
      // Under `received` the answers are out, so nobody reads outcomes.
      if (outcome !== STORED && config.ack !== 'received') journal.pushOutcome(outcome);
      journal.release();
    }
  }

  private idleMs(nowMs: number): number {
    if (this.background.running || this.outcomesAreFull) return SHORT_SLEEP_MS;
    let dueMs = this.maintenanceMs;
    if (!this.hasFailed) {
      dueMs = Math.min(dueMs, nowMs + this.upkeep.dueInMs(nowMs));
      if (this.parts.config.ack !== 'synced') dueMs = Math.min(dueMs, this.log.syncDueMs);
    }
    return Math.max(0, dueMs - nowMs);
  }
}

export const createMemory = ((lanes, journalBytes) => ({
  journals: Array.from({ length: lanes }, () => createJournalRing(journalBytes)),
  common: new SharedArrayBuffer(0),
})) satisfies WriterModule['createMemory'];

export const openJournal = (({ memory, lane }) =>
  new JournalProducer(memory.journals[lane]!)) satisfies WriterModule['openJournal'];

export const isSettled = ((memory, lane) =>
  isReleased(memory.journals[lane]!)) satisfies WriterModule['isSettled'];

export const createWriter = ((parts) => new GroupCommitWriter(parts)) satisfies WriterModule['createWriter'];
