/**
 * The writer thread of the synchronous writer. Serving threads store for themselves. This thread does the rest under the
 * same lock: background syncs, aged segments, retention, probes, and logging.
 */
import { monotonicMs } from '../../base/clock.ts';
import { DISK_FAILED, DISK_REFUSING } from '../../base/control.ts';
import type { BreakerState } from '../../breaker/breaker.ts';
import { codeOf, isFileError } from '../../storage/file-ops.ts';
import { Spares } from '../../storage/spares.ts';
import { runTurns } from '../run-turns.ts';
import { type ClosedUpTo, MAINTENANCE_MS, Upkeep } from '../upkeep.ts';
import type { RunningWriter, WriterParts } from '../writer.ts';
import { IDENTITY, INCIDENTS, REASON, RECORD_ERROR, ROTATION, TRANSITIONS, WRITE_ERROR } from './memory.ts';
import { SharedLog } from './shared-log.ts';

/** For probes only: serving threads create segments as they need them. */
const SPARES = 1;

export class MaintenanceWriter implements RunningWriter {
  private readonly parts: WriterParts;
  private readonly shared: SharedLog;
  private readonly spares: Spares;
  private readonly upkeep: Upkeep;
  private maintenanceMs = 0;
  /** As last read under the lock. */
  private known: ClosedUpTo = { firstOpen: 0, abandoned: 0, openBytes: 0 };
  /** Earliest time to retry work that failed. */
  private againMs = 0;
  /** When the next background sync is due at the latest. */
  private syncMs = Number.POSITIVE_INFINITY;
  private loopTurnIsDue = false;
  private failureIsReported = false;

  constructor(parts: WriterParts) {
    const { ops, config, memory, recovered, directory } = parts;
    this.parts = parts;
    this.spares = new Spares(ops, config.dataDir, SPARES);
    this.upkeep = new Upkeep(parts, this.spares);
    this.shared = new SharedLog(memory.common, parts);
    // No thread serves before the writer thread is ready, so this needs no lock.
    this.shared.memory.setText(IDENTITY, `${recovered.log} ${recovered.createdAt} ${recovered.startSegment}`);
    this.shared.log.start(recovered, directory.get());
  }

  async run(): Promise<void> {
    await runTurns(this.parts, {
      turn: () => {
        this.turn(monotonicMs());
        return false;
      },
      needsEventLoop: () => this.loopTurnIsDue,
      idleMs: () => this.idleMs(monotonicMs()),
    });
    this.stop();
  }

  /** One turn: what is due by time, and what serving threads rang for. */
  turn(nowMs: number): void {
    const maintains = nowMs >= this.maintenanceMs;
    this.loopTurnIsDue = maintains;
    if (maintains) {
      this.maintenanceMs = nowMs + MAINTENANCE_MS;
      this.parts.sample();
    }
    this.locked(() => {
      if (this.parts.control.disk !== DISK_FAILED) this.tryMaintain(maintains, nowMs);
      this.logEvents(nowMs);
      this.readShared(nowMs);
    });
    // Slow work that touches nothing shared is done without the lock, so that no request waits for it.
    if (maintains) this.upkeep.retain(this.known, (commit) => this.recordDeleting(commit));
    if (this.upkeep.diskRecovered(nowMs)) this.resume();
    this.upkeep.tryBreaker(nowMs);
  }

  private recordDeleting(commit: number): void {
    this.locked(() => this.shared.log.record.deleting(commit));
  }

  /** False when the lock was not acquired: this thread must not hang either, and retries in a later turn. */
  private locked(work: () => void): boolean {
    return this.shared.locked(
      () => {
        work();
        return true;
      },
      () => false,
    );
  }

  /** Where descriptors are scarce, this thread may be unable to open a file for now. */
  private tryMaintain(maintains: boolean, nowMs: number): void {
    if (nowMs < this.againMs) return;
    try {
      this.maintain(maintains, nowMs);
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.againMs = nowMs + MAINTENANCE_MS;
      const code = codeOf(error);
      this.upkeep.log('warn', { code }, 'cannot open the current segment for background sync; retrying');
    }
  }

  private maintain(maintains: boolean, nowMs: number): void {
    const { log, memory, segments } = this.shared;
    if (this.parts.config.ack !== 'synced') {
      // A file with unsynced bytes has to stay open in one thread at least: the kernel may forget a file that nobody
      // has open, and with it that one of its pages could not be written.
      segments.open(memory.state);
      if (nowMs >= log.syncDueMs) log.sync();
    }
    if (!maintains) return;
    this.upkeep.watch(log, nowMs);
    // A segment that aged without a commit is closed; the next commit creates another.
    if (log.isAged(nowMs) && log.sync()) log.close();
  }

  private readShared(nowMs: number): void {
    const { log } = this.shared;
    const { ack, syncIntervalMs } = this.parts.config;
    const { firstOpen, openBytes, state } = log;
    const { abandoned } = state;
    this.known = { firstOpen, abandoned, openBytes };
    // Nobody rings for the first unsynced bytes: bytes written from now on are not due before then.
    const dueMs = Math.max(this.againMs, Math.min(log.syncDueMs, nowMs + syncIntervalMs));
    this.syncMs = ack === 'synced' ? Number.POSITIVE_INFINITY : dueMs;
  }

  /** Logs what serving threads met since the last turn. */
  private logEvents(nowMs: number): void {
    const { upkeep } = this;
    const { log, memory } = this.shared;
    const { disk } = this.parts.control;
    const lines = memory.resetUnlockedLines();
    if (lines > 0) {
      log.countRefused(lines);
      upkeep.log('warn', { lines }, 'lines were refused: other threads held the writer too long');
    }
    const rotationError = memory.drainText(ROTATION);
    if (rotationError !== '') upkeep.rotationFailed(rotationError, memory.state.sequence);
    const recordError = memory.drainText(RECORD_ERROR);
    if (recordError !== '') upkeep.recordFailed(recordError);
    for (const incident of memory.drainText(INCIDENTS).split('\n').slice(0, -1)) {
      const [segment = ''] = incident.split(' ', 1);
      upkeep.segmentLost(segment, incident.slice(segment.length + 1));
    }
    const writeError = memory.text(WRITE_ERROR);
    if (writeError !== '' && upkeep.writeFailed(writeError, nowMs)) memory.setText(WRITE_ERROR, '');
    for (const transition of memory.drainText(TRANSITIONS).split('\n').slice(0, -1)) {
      const to = Number(transition[0]) as BreakerState;
      upkeep.logTransition({ to, reason: transition.slice(2) });
    }
    const reason = memory.text(REASON);
    if (disk === DISK_REFUSING && !upkeep.isRefusing) upkeep.refusing(reason, nowMs);
    if (disk === DISK_FAILED && !this.failureIsReported) {
      this.failureIsReported = true;
      upkeep.failed(reason, log.doubtful);
    }
  }

  private resume(): void {
    this.locked(() => {
      if (this.shared.log.resume()) this.upkeep.log('info', {}, 'the disk accepts bytes again');
    });
  }

  private idleMs(nowMs: number): number {
    if (this.parts.control.disk === DISK_FAILED) return Math.max(0, this.maintenanceMs - nowMs);
    const dueMs = nowMs + this.upkeep.dueInMs(nowMs);
    return Math.max(0, Math.min(this.maintenanceMs, this.syncMs, dueMs) - nowMs);
  }

  private stop(): void {
    const { log } = this.shared;
    const stopped = this.locked(() => {
      try {
        log.stop();
      } catch (error) {
        if (!isFileError(error)) throw error;
        const code = codeOf(error);
        this.upkeep.log('error', { code }, 'cannot open the last segment: its end is not synced');
        log.close();
      }
      this.logEvents(monotonicMs());
    });
    if (!stopped)
      this.upkeep.log('error', {}, 'other threads hold the writer: the end of the segment is not synced');
    this.spares.close();
  }
}
