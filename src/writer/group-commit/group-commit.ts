/**
 * Group commit: the writer thread drains all journal rings into commits, one file for all.
 *
 * A turn takes what is published (bounded), seals it, writes it, syncs as `ack` asks, and only then releases the
 * rings: the stored cursor of a worker never passes a line that is not stored to the configured level, unless an
 * outcome says so. Groups form by themselves: what arrives while one is written and synced is the next.
 *
 * A failed write is cut back and its group refused. Is there no room, the disk is probed until it takes bytes again;
 * any other error the breaker counts, and the next group is tried unless it has opened. A failed sync is final: its
 * group is unknown, everything after it refused, and main is told to end the process.
 */
import { monotonicMs } from '../../base/clock.ts';
import { DISK_FAILED, DISK_OK, DISK_REFUSING } from '../../base/control.ts';
import { NS_PER_MS } from '../../base/units.ts';
import { OPEN, transitionLog } from '../../breaker/breaker.ts';
import { type Outcome, REFUSED, STORED, UNKNOWN } from '../../journal/journal.ts';
import { createJournalRing, isReleased, JournalConsumer, JournalProducer } from '../../journal/ring.ts';
import { Batch } from '../../storage/commit-buffer.ts';
import { Durability } from '../../storage/durability.ts';
import { codeOf, isFileError } from '../../storage/file-ops.ts';
import { type AppendContext, pageAlignedBytes, type Segment, UndoFailed } from '../../storage/segment.ts';
import { DirectorySyncFailed, SegmentStore } from '../../storage/segment-store.ts';
import { isLackOfSpace, PROBE_INTERVAL_MS, SpaceGuard } from '../../storage/space-guard.ts';
import { WRITER } from '../../telemetry/counters.ts';
import { WRITER_HISTOGRAMS } from '../../telemetry/histogram.ts';
import { CommitCost } from '../commit-cost.ts';
import type { RunningWriter, WriterConfig, WriterModule, WriterParts } from '../writer.ts';

/** A commit is closed when it has this many bytes; one run may take it past. */
const COMMIT_BYTES = 4 << 20;
const STAGING_BYTES = 1 << 20;
const HOUSEKEEPING_MS = 1_000;
/** Unsynced bytes that start a background sync before its time, so that no sync gets long. */
const SYNC_EARLY_BYTES = 32 << 20;
/** Sleeps while something that does not ring the bell is awaited: a worker's outcome slot, a sync on the pool. */
const SHORT_SLEEP_MS = 2;
export class GroupCommitWriter implements RunningWriter {
  private readonly config: WriterConfig;
  private readonly parts: WriterParts;
  private readonly journals: readonly JournalConsumer[];
  private readonly counters: Float64Array;
  private readonly context: AppendContext;
  private readonly store: SegmentStore;
  private readonly durability: Durability;
  private readonly guard: SpaceGuard;
  private readonly batch = new Batch();
  private readonly cost = new CommitCost();
  private nextCommit: number;
  private failed = false;
  /** The ring that the next group starts with, so that none waits for the others. */
  private firstRing = 0;
  /** A ring was passed over because its worker has yet to read earlier outcomes. */
  private outcomesAreFull = false;
  private housekeepingMs = 0;
  private loopTurnIsDue = false;
  /** A rotation that failed is not tried again before. */
  private rotateAgainMs = 0;
  /** A write that failed is not told of again before. */
  private tellAgainMs = 0;
  /** False after a failed sync: none of that file is believed any more. */
  private syncIsTrusted = true;
  private readonly probe = (): void => this.store.probe(this.context.staging);
  private readonly syncFailed = (error: Error): void => this.failSync(error);

  constructor(parts: WriterParts) {
    const { config } = parts;
    this.config = config;
    this.parts = parts;
    this.journals = parts.memory.journals.map((memory) => new JournalConsumer(memory));
    this.counters = parts.counters;
    this.nextCommit = parts.nextCommit;
    this.context = {
      ops: parts.ops,
      staging: pageAlignedBytes(STAGING_BYTES),
      directBytes: config.directBytes,
      counters: parts.counters,
      directRefused: (error) => {
        this.log(
          'info',
          { code: codeOf(error) },
          'direct I/O is refused here: writing through the page cache',
        );
      },
    };
    this.store = new SegmentStore(this.context, config, parts.nextSegment);
    this.durability = new Durability(parts.ops, parts.counters, parts.histograms);
    this.guard = new SpaceGuard(parts.ops, config, parts.counters);
    parts.breaker.onTransition = (transition) => {
      const { level, fields, text } = transitionLog(transition);
      this.log(level, fields, text);
    };
  }

  /** Works until `control.writerShouldStop` and nothing is published any more; then syncs and closes. */
  async run(): Promise<void> {
    const { bell, control } = this.parts;
    for (;;) {
      const seen = bell.seen();
      const shouldStop = control.writerShouldStop;
      const worked = this.turn(monotonicMs());
      if (this.durability.syncing || this.loopTurnIsDue) await this.turnLoop();
      if (worked) continue;
      if (shouldStop) break;
      bell.sleep(seen, this.idleMs(monotonicMs()));
    }
    await this.stop();
  }

  /** The only way that callbacks (background syncs, garbage collection observed) get to run on this thread. */
  private turnLoop(): Promise<void> {
    this.loopTurnIsDue = false;
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** One turn: what time has made due, then one group. True when a group was settled. */
  turn(nowMs: number): boolean {
    this.doWhatIsDue(nowMs);
    this.gather();
    if (this.batch.lines === 0) return false;
    this.settle(this.takesCommits(this.batch.bytes, nowMs) ? this.storeGroup(nowMs) : REFUSED);
    return true;
  }

  private doWhatIsDue(nowMs: number): void {
    if (nowMs >= this.housekeepingMs) this.keepHouse(nowMs);
    if (this.failed) return;
    if (this.guard.hasRecovered(nowMs, this.probe)) {
      this.parts.control.disk = DISK_OK;
      this.log('info', {}, 'the disk takes bytes again');
    }
    this.tryBreaker(nowMs);
    if (this.config.ack !== 'synced') {
      const isDue = nowMs >= this.durability.dueMs(this.config.syncIntervalMs);
      if (isDue || this.durability.unsyncedBytes >= SYNC_EARLY_BYTES) {
        this.durability.syncInBackground(nowMs, this.syncFailed);
      }
    }
  }

  /** After the breaker's open time: a probe of our own first, then a few requests. */
  private tryBreaker(nowMs: number): void {
    const { breaker } = this.parts;
    if (this.guard.refusal !== null || !breaker.isDue(nowMs)) return;
    if (this.guard.tryDisk(nowMs, this.probe) === null) breaker.tryHalfOpen(nowMs);
    else breaker.postpone(nowMs);
  }

  private keepHouse(nowMs: number): void {
    this.housekeepingMs = nowMs + HOUSEKEEPING_MS;
    this.loopTurnIsDue = true;
    this.parts.sample();
    if (this.failed) return;
    // So that an idle server tells that its disk is full, and does not find out with the next request.
    this.takesCommits(0, nowMs);
    this.store.openSpares();
    // A segment that aged without a commit is closed; the next commit makes the next one.
    if (this.store.isAged(nowMs) && this.syncOrFail()) this.letGo(this.store.end(Date.now()));
    this.retain();
  }

  private retain(): void {
    try {
      this.counters[WRITER.segments_deleted]! += this.store.retain(Date.now());
    } catch (error) {
      this.log('warn', { code: codeOf(error) }, 'an old segment cannot be deleted; trying again');
    }
  }

  /** Takes runs from the rings in turn until a commit is full or nothing is published. */
  private gather(): void {
    const { batch, journals } = this;
    batch.clear();
    this.outcomesAreFull = false;
    for (let i = 0; i < journals.length && batch.bytes < COMMIT_BYTES; i++) {
      const journal = journals[(this.firstRing + i) % journals.length]!;
      if (!journal.hasOutcomeRoom()) {
        this.outcomesAreFull = true;
        continue;
      }
      while (batch.bytes < COMMIT_BYTES && journal.next()) {
        batch.add(journal.bytes, journal.runOffset, journal.runBytes, journal.runLines);
      }
    }
    this.firstRing = (this.firstRing + 1) % journals.length;
  }

  private takesCommits(bytes: number, nowMs: number): boolean {
    if (this.failed || this.guard.refusal !== null) return false;
    const reason = this.guard.tooLittle(bytes, nowMs);
    if (reason !== null) this.startRefusing(reason, nowMs);
    return reason === null && this.parts.breaker.state !== OPEN;
  }

  private storeGroup(nowMs: number): Outcome {
    const { batch } = this;
    const { breaker } = this.parts;
    const { episode } = breaker;
    let startMs = nowMs;
    try {
      if (this.store.current === null || this.store.isFullFor(batch.bytes, nowMs)) this.rotate(nowMs);
      // Rotation failed for good.
      if (this.failed) return REFUSED;
      startMs = monotonicMs();
      this.append();
    } catch (error) {
      this.storingFailed(error, nowMs, episode);
      return REFUSED;
    }
    this.durability.wrote(batch.lines, nowMs);
    if (this.config.ack === 'synced' && !this.syncOrFail()) return UNKNOWN;
    breaker.succeeded(episode, nowMs);
    this.tellCost(monotonicMs() - startMs);
    return STORED;
  }

  /** What the workers' admission goes by. */
  private tellCost(ms: number): void {
    const { cost, counters } = this;
    cost.add(this.batch.bytes, ms);
    counters[WRITER.commit_fixed_ms_now] = cost.fixedMs;
    counters[WRITER.commit_bytes_per_ms_now] = cost.bytesPerMs;
  }

  private append(): void {
    const { batch, counters } = this;
    const { histograms } = this.parts;
    const segment = this.store.current!;
    batch.seal(this.nextCommit);
    const startMs = monotonicMs();
    segment.append(batch);
    histograms.record(WRITER_HISTOGRAMS.write_ns, Math.round((monotonicMs() - startMs) * NS_PER_MS));
    histograms.record(WRITER_HISTOGRAMS.commit_bytes, batch.bytes);
    histograms.record(WRITER_HISTOGRAMS.commit_lines, batch.lines);
    this.nextCommit++;
    counters[WRITER.commits]! += 1;
    counters[WRITER.lines_written]! += batch.lines;
    counters[WRITER.bytes_written]! += batch.bytes;
    counters[WRITER.segment_bytes_now] = segment.bytes;
  }

  /** Syncs the open segment and begins the next; when that cannot be made, goes on in the open one for a while. */
  private rotate(nowMs: number): void {
    if (this.store.current !== null && nowMs < this.rotateAgainMs) return;
    if (!this.syncOrFail()) return;
    try {
      const previous = this.store.begin(nowMs, Date.now());
      this.letGo(previous);
      // Where descriptors are scarce, the ones just closed are wanted by others at once.
      this.store.openSpares();
      this.durability.follow(this.store.current!, nowMs);
      this.counters[WRITER.segments_created]! += 1;
      this.counters[WRITER.segment_sequence_now] = this.store.current!.sequence;
      this.retain();
    } catch (error) {
      if (error instanceof DirectorySyncFailed) return this.failSync(error);
      if (this.store.current === null || !isFileError(error)) throw error;
      this.rotateAgainMs = nowMs + HOUSEKEEPING_MS;
      this.counters[WRITER.rotation_failures]! += 1;
      this.log('warn', { code: codeOf(error) }, 'the next segment cannot be made; going on in the open one');
    }
  }

  private letGo(segment: Segment | null): void {
    if (segment !== null) this.durability.letGo(segment);
  }

  /** A commit was not stored, and the file is as it was before. */
  private storingFailed(error: unknown, nowMs: number, episode: number): void {
    if (!isFileError(error)) throw error;
    this.counters[WRITER.write_errors]! += 1;
    if (error instanceof UndoFailed) return this.fail(`${error.message} (${codeOf(error.cause)})`);
    const code = codeOf(error);
    this.parts.breaker.failed(episode, nowMs, code);
    if (isLackOfSpace(error)) this.startRefusing(`a write failed: ${code}`, nowMs);
    else if (nowMs >= this.tellAgainMs) {
      this.tellAgainMs = nowMs + HOUSEKEEPING_MS;
      this.log('warn', { code }, 'a write failed: its metrics are refused, the next ones tried');
    }
  }

  private startRefusing(reason: string, nowMs: number): void {
    this.guard.refuse(reason, nowMs);
    this.parts.control.disk = DISK_REFUSING;
    this.log('error', { reason }, 'refusing metrics until the disk takes bytes again');
  }

  private syncOrFail(): boolean {
    try {
      this.durability.sync();
      return true;
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.failSync(error);
      return false;
    }
  }

  private failSync(error: unknown): void {
    this.counters[WRITER.sync_errors]! += 1;
    this.counters[WRITER.unknown_lines]! += this.durability.unsyncedLines;
    const cause = error instanceof DirectorySyncFailed ? error.cause : error;
    this.syncIsTrusted = false;
    this.fail(`a sync failed: ${codeOf(cause)}`);
  }

  private fail(reason: string): void {
    if (this.failed) return;
    this.failed = true;
    // Before any outcome: a worker that learns of one also learns that nothing more is taken.
    this.parts.control.disk = DISK_FAILED;
    this.parts.report({ kind: 'fatal', reason, doubtful: this.durability.doubtful });
  }

  /** Tells every ring of the group what became of its lines, and gives their memory back. */
  private settle(outcome: Outcome): void {
    const { ack } = this.config;
    if (outcome === REFUSED) {
      const slot = ack === 'received' ? WRITER.lost_acknowledged_lines : WRITER.refused_lines;
      this.counters[slot]! += this.batch.lines;
    }
    // Before any cursor moves: whoever sees one moved sees this time, or a later one.
    this.counters[WRITER.released_at_ms_now] = monotonicMs();
    for (const journal of this.journals) {
      if (!journal.holdsRuns) continue;
      // Under `received` nobody asks: the answers are out.
      if (outcome !== STORED && ack !== 'received') journal.pushOutcome(outcome);
      journal.release();
    }
  }

  private idleMs(nowMs: number): number {
    if (this.durability.syncing || this.outcomesAreFull) return SHORT_SLEEP_MS;
    let dueMs = this.housekeepingMs;
    if (this.failed) return Math.max(0, dueMs - nowMs);
    dueMs = Math.min(dueMs, nowMs + this.parts.breaker.dueInMs(nowMs));
    if (this.guard.refusal !== null) dueMs = Math.min(dueMs, nowMs + PROBE_INTERVAL_MS);
    if (this.config.ack !== 'synced') {
      dueMs = Math.min(dueMs, this.durability.dueMs(this.config.syncIntervalMs));
    }
    return Math.max(0, dueMs - nowMs);
  }

  private async stop(): Promise<void> {
    while (this.durability.syncing) await this.turnLoop();
    if (this.syncIsTrusted) this.syncOrFail();
    this.letGo(this.store.end(Date.now()));
    this.store.close();
    this.parts.report({ kind: 'stopped' });
  }

  private log(level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, text: string): void {
    this.parts.report({ kind: 'log', level, fields, text });
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
