/**
 * The writer thread where serving threads write for themselves: it stores nothing, and does under the same lock what
 * no request is there to do.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { monotonicMs } from '../../base/clock.ts';
import { DISK_FAILED, DISK_REFUSING } from '../../base/control.ts';
import { MetricsStreamError } from '../../base/errors.ts';
import { type BreakerState, type Transition, transitionLog } from '../../breaker/breaker.ts';
import { ClosedSegments } from '../../storage/closed-segments.ts';
import { codeOf, isFileError } from '../../storage/file-ops.ts';
import { spareName } from '../../storage/segment-name.ts';
import { PROBE_BYTES, removeSpares } from '../../storage/segment-store.ts';
import { PROBE_INTERVAL_MS, SpaceGuard } from '../../storage/space-guard.ts';
import { WRITER } from '../../telemetry/counters.ts';
import type { RunningWriter, WriterParts } from '../writer.ts';
import { REASON, ROTATION, TRANSITIONS, WRITE_ERROR } from './memory.ts';
import { SynchronousStore } from './store.ts';

const HOUSEKEEPING_MS = 1_000;

export class Housekeeper implements RunningWriter {
  private readonly parts: WriterParts;
  private readonly store: SynchronousStore;
  private readonly closed: ClosedSegments;
  /** The first sequence not yet among `closed`. */
  private nextToClose: number;
  private readonly guard: SpaceGuard;
  private readonly zeros = Buffer.alloc(PROBE_BYTES);
  private housekeepingMs = 0;
  /** As last read under the lock. */
  private firstUnclosed = 0;
  private openBytes = 0;
  /** What failed is not tried again before. */
  private againMs = 0;
  /** When the next background sync is due, if not before. */
  private syncMs = Number.POSITIVE_INFINITY;
  private loopTurnIsDue = false;
  private rotationFailuresTold = 0;
  private failureIsTold = false;
  /** A write that failed is not told of again before. */
  private tellAgainMs = 0;
  private readonly probe = (): void => this.writeProbe();

  constructor(parts: WriterParts) {
    const { ops, config, counters, memory, nextCommit, nextSegment } = parts;
    this.parts = parts;
    removeSpares(ops, config.dataDir);
    this.closed = new ClosedSegments(ops, config);
    this.nextToClose = nextSegment;
    this.guard = new SpaceGuard(ops, config, counters);
    this.store = new SynchronousStore(memory.common, parts);
    // Nobody serves before the writer thread is ready.
    this.store.start(nextCommit, nextSegment);
    parts.breaker.onTransition = (transition) => this.tellTransition(transition);
  }

  async run(): Promise<void> {
    const { bell, control } = this.parts;
    for (;;) {
      const seen = bell.seen();
      const shouldStop = control.writerShouldStop;
      this.turn(monotonicMs());
      if (this.loopTurnIsDue) await this.turnLoop();
      if (shouldStop) break;
      bell.sleep(seen, this.idleMs(monotonicMs()));
    }
    this.stop();
  }

  /** The only way that callbacks (garbage collection observed) get to run on this thread. */
  private turnLoop(): Promise<void> {
    this.loopTurnIsDue = false;
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** One turn: what time has made due, and what serving threads have rung for. */
  turn(nowMs: number): void {
    const keepsHouse = nowMs >= this.housekeepingMs;
    if (keepsHouse) {
      this.housekeepingMs = nowMs + HOUSEKEEPING_MS;
      this.loopTurnIsDue = true;
      this.parts.sample();
    }
    this.locked(() => {
      if (this.parts.control.disk !== DISK_FAILED) this.tryWhatIsDue(keepsHouse, nowMs);
      this.tell(nowMs);
      this.readShared(nowMs);
    });
    // What is slow and touches nothing shared is done without the lock, so that no request waits for it.
    if (keepsHouse) this.retain();
    const isRefusing = this.parts.control.disk === DISK_REFUSING;
    if (!isRefusing) this.tryBreaker(nowMs);
    else if (this.guard.hasRecovered(nowMs, this.probe)) this.resume();
  }

  /** False when the lock was not had: this thread must not hang either, and does the work in a later turn. */
  private locked(work: () => void): boolean {
    const { memory } = this.store;
    if (!memory.lock()) return false;
    try {
      work();
    } finally {
      memory.unlock();
    }
    return true;
  }

  /** Where descriptors are scarce, a file may be one that this thread cannot open for now. */
  private tryWhatIsDue(keepsHouse: boolean, nowMs: number): void {
    if (nowMs < this.againMs) return;
    try {
      this.doWhatIsDue(keepsHouse, nowMs);
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.againMs = nowMs + HOUSEKEEPING_MS;
      this.log('warn', { code: codeOf(error) }, 'the open segment cannot be looked after; trying again');
    }
  }

  private doWhatIsDue(keepsHouse: boolean, nowMs: number): void {
    const { store } = this;
    if (this.parts.config.ack !== 'synced') {
      store.follow();
      if (nowMs >= store.syncDueMs) store.sync();
    }
    if (!keepsHouse) return;
    // So that an idle server tells that its disk is full, and does not find out with the next request.
    store.takesCommits(0, nowMs);
    // A segment that aged without a commit is closed; the next commit makes the next one.
    if (store.isAged(nowMs) && store.sync()) store.close();
  }

  private readShared(nowMs: number): void {
    const { store } = this;
    const { ack, syncIntervalMs } = this.parts.config;
    this.firstUnclosed = store.firstUnclosed;
    this.openBytes = store.openBytes;
    // Nobody rings for the first unsynced bytes: what is written from now on is not due before then.
    const dueMs = Math.max(this.againMs, Math.min(store.syncDueMs, nowMs + syncIntervalMs));
    this.syncMs = ack === 'synced' ? Number.POSITIVE_INFINITY : dueMs;
  }

  /** Tells what serving threads met since the last turn. */
  private tell(nowMs: number): void {
    const { store, guard } = this;
    const { control, counters, report } = this.parts;
    const unlockedLines = store.memory.takeUnlockedLines();
    if (unlockedLines > 0) {
      store.countRefused(unlockedLines);
      this.log(
        'warn',
        { lines: unlockedLines },
        'lines were refused: other threads held the writer too long',
      );
    }
    if (counters[WRITER.rotation_failures]! > this.rotationFailuresTold) {
      this.rotationFailuresTold = counters[WRITER.rotation_failures]!;
      const code = store.memory.text(ROTATION);
      this.log('warn', { code }, 'the next segment cannot be made; going on in the open one');
    }
    this.tellFailures(nowMs);
    const reason = store.memory.text(REASON);
    if (control.disk === DISK_REFUSING && guard.refusal === null) {
      guard.refuse(reason, nowMs);
      this.log('error', { reason }, 'refusing metrics until the disk takes bytes again');
    }
    if (control.disk === DISK_FAILED && !this.failureIsTold) {
      this.failureIsTold = true;
      report({ kind: 'fatal', reason, doubtful: store.doubtful });
    }
  }

  /** What serving threads met of the breaker and of writes that failed for other reasons than want of room. */
  private tellFailures(nowMs: number): void {
    const { memory } = this.store;
    const code = memory.text(WRITE_ERROR);
    if (code !== '' && nowMs >= this.tellAgainMs) {
      this.tellAgainMs = nowMs + HOUSEKEEPING_MS;
      memory.setText(WRITE_ERROR, '');
      this.log('warn', { code }, 'a write failed: its metrics are refused, the next ones tried');
    }
    for (const transition of memory.text(TRANSITIONS).split('\n').slice(0, -1)) {
      const to = Number(transition[0]) as BreakerState;
      this.tellTransition({ to, reason: transition.slice(2) });
    }
    memory.setText(TRANSITIONS, '');
  }

  private tellTransition(transition: Transition): void {
    const { level, fields, text } = transitionLog(transition);
    this.log(level, fields, text);
  }

  /** After the breaker's open time: a probe of our own first, then a few requests. */
  private tryBreaker(nowMs: number): void {
    const { breaker } = this.parts;
    if (!breaker.isDue(nowMs)) return;
    if (this.guard.tryDisk(nowMs, this.probe) === null) breaker.tryHalfOpen(nowMs);
    else breaker.postpone(nowMs);
  }

  private resume(): void {
    this.locked(() => {
      if (this.parts.control.disk !== DISK_REFUSING) return;
      this.store.resume();
      this.log('info', {}, 'the disk takes bytes again');
    });
  }

  private retain(): void {
    const { closed } = this;
    try {
      for (; this.nextToClose < this.firstUnclosed; this.nextToClose++) closed.find(this.nextToClose);
      this.parts.counters[WRITER.segments_deleted]! += closed.retain(this.openBytes, Date.now());
    } catch (error) {
      this.log('warn', { code: codeOf(error) }, 'an old segment cannot be deleted; trying again');
    }
  }

  /** Tries whether the directory takes bytes, in a file that is no segment. Throws when it does not. */
  private writeProbe(): void {
    const { ops, config } = this.parts;
    const path = join(config.dataDir, spareName(0));
    const fd = ops.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC);
    try {
      const written = ops.write(fd, this.zeros, 0, PROBE_BYTES, 0);
      if (written < PROBE_BYTES)
        throw new MetricsStreamError('WRITER_FAILED', 'the disk takes only a few bytes');
    } finally {
      ops.close(fd);
      ops.unlink(path);
    }
  }

  private idleMs(nowMs: number): number {
    const { disk } = this.parts.control;
    if (disk === DISK_FAILED) return Math.max(0, this.housekeepingMs - nowMs);
    const untilProbeMs = disk === DISK_REFUSING ? PROBE_INTERVAL_MS : this.parts.breaker.dueInMs(nowMs);
    return Math.max(0, Math.min(this.housekeepingMs, this.syncMs, nowMs + untilProbeMs) - nowMs);
  }

  private stop(): void {
    const { store } = this;
    const stopped = this.locked(() => {
      try {
        store.stop();
      } catch (error) {
        if (!isFileError(error)) throw error;
        this.log(
          'error',
          { code: codeOf(error) },
          'the last segment cannot be opened: its end is not synced',
        );
      }
      this.tell(monotonicMs());
      store.close();
    });
    if (!stopped)
      this.log('error', {}, 'other threads hold the writer: the end of the segment is not synced');
    this.parts.report({ kind: 'stopped' });
  }

  private log(level: 'info' | 'warn' | 'error', fields: Record<string, unknown>, text: string): void {
    this.parts.report({ kind: 'log', level, fields, text });
  }
}
