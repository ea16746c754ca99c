/**
 * The work of a writer thread besides commits, the same for both writers: it probes a disk that refuses, tries the
 * breaker, watches the directory, deletes old segments, and logs failures.
 */
import type { Breaker, Transition } from '../breaker/breaker.ts';
import { transitionLog } from '../breaker/breaker.ts';
import { ClosedSegments, type Incident } from '../storage/closed-segments.ts';
import { directoryChange, type FileId, sameFile } from '../storage/directory-identity.ts';
import { codeOf, isFileError } from '../storage/file-ops.ts';
import { segmentName } from '../storage/segment-name.ts';
import { DirectoryLost } from '../storage/segment-store.ts';
import { SinkGate } from '../storage/sink-gate.ts';
import { PROBE_INTERVAL_MS, SpaceGuard } from '../storage/space-guard.ts';
import type { Spares } from '../storage/spares.ts';
import { WRITER } from '../telemetry/counters.ts';
import type { CommitLog } from './commit-log.ts';
import type { DoubtfulRange, WriterParts } from './writer.ts';

/** How often a writer thread does what no commit asks for. */
export const MAINTENANCE_MS = 1_000;
/** A failure that repeats is logged this often. */
const LOG_AGAIN_MS = 1_000;
/** The log record is at most this old while commits are stored. */
const RECORD_MS = 10_000;
/** Names in one log line. */
const NAMES_MAX = 5;

/** Which segments are closed, as read under the log's lock. */
export interface ClosedUpTo {
  /** The sequence of the open segment, or of the next one. */
  readonly firstOpen: number;
  /** The last segment that was lost while it was open. */
  readonly abandoned: number;
  readonly openBytes: number;
}

export type LogLevel = 'info' | 'warn' | 'error';

export class Upkeep {
  private readonly parts: WriterParts;
  private readonly breaker: Breaker;
  private readonly spares: Spares;
  private readonly guard: SpaceGuard;
  private readonly gate: SinkGate;
  private closed: ClosedSegments;
  /** The directory that `closed` describes. */
  private home: FileId;
  /** Earliest time to log the next write that failed. */
  private nextLogMs = 0;
  /** Problems that last, by kind, as they were logged: each is logged again only when it changes. */
  private readonly logged = new Map<string, string>();
  /** The next commit at the last `watch`, and when the record is due even if commits keep coming. */
  private nextCommit = 0;
  private nextRecordMs = 0;

  constructor(parts: WriterParts, spares: Spares) {
    const { ops, config, counters, breaker } = parts;
    this.parts = parts;
    this.breaker = breaker;
    this.spares = spares;
    this.guard = new SpaceGuard(ops, config, counters, () => this.probe());
    this.home = parts.directory.get();
    this.closed = new ClosedSegments(ops, config);
    this.gate = new SinkGate(config, parts.recovered.log);
    breaker.onTransition = (transition) => this.logTransition(transition);
  }

  private probe(): void {
    const change = this.directoryChange(this.parts.directory.get());
    if (change !== null) throw new DirectoryLost(this.parts.config.dataDir, change);
    this.spares.probe();
  }

  /** How the path of the data directory fails to lead to `directory`, or null. */
  private directoryChange(directory: FileId): string | null {
    return directoryChange(this.parts.ops, this.parts.config.dataDir, directory);
  }

  /**
   * The directory that main has locked instead of `current`, or null. Opens spares there.
   * @param current the directory that the log writes to
   */
  private nextDirectory(current: FileId): FileId | null {
    const { directory, ops, config } = this.parts;
    const next = directory.get();
    if (sameFile(next, current) || this.directoryChange(next) !== null) return null;
    this.spares.reopen();
    this.home = next;
    this.closed = new ClosedSegments(ops, config);
    return next;
  }

  /** About once a second, under the log's lock: notices what other processes did, and keeps the log record fresh. */
  watch(log: CommitLog, nowMs: number): void {
    const next = this.nextDirectory(log.state);
    if (next !== null) {
      this.log('warn', {}, 'the data directory was replaced: continuing in the new one');
      log.moveTo(next);
    }
    const change = this.directoryChange(log.state);
    if (change !== null) return log.directoryLost(change);
    this.inspect(log);
    // An idle server should find a full disk before the next request does.
    log.accepts(0, nowMs);
    this.refreshRecord(log, nowMs);
  }

  /** A network file system may fail to answer for a while. */
  private inspect(log: CommitLog): void {
    try {
      log.inspect();
      this.logged.delete('segment');
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.logChanged('segment', { code: codeOf(error) }, 'cannot check the open segment; retrying');
    }
  }

  private refreshRecord({ record, state }: CommitLog, nowMs: number): void {
    const isMissing = !record.exists();
    const isIdle = state.nextCommit === this.nextCommit;
    this.nextCommit = state.nextCommit;
    if (isMissing) this.logChanged('record', { code: 'ENOENT' }, 'log.json was deleted; writing it again');
    // Writing it syncs twice, so a busy log waits for a moment without commits.
    else if (!record.isStale || (!isIdle && nowMs < this.nextRecordMs)) return;
    this.nextRecordMs = nowMs + RECORD_MS;
    if (record.write(false)) this.logged.delete('record');
  }

  get isRefusing(): boolean {
    return this.guard.refusal !== null;
  }

  refusing(reason: string, nowMs: number): void {
    this.guard.refuse(reason, nowMs);
    this.log('error', { reason }, 'refusing metrics until the disk accepts bytes again');
  }

  /** While commits are refused: true when a probe was due and the disk accepts bytes again. */
  diskRecovered(nowMs: number): boolean {
    return this.guard.hasRecovered(nowMs);
  }

  /** After the breaker's open time: probe the disk first, then let a few requests through. */
  tryBreaker(nowMs: number): void {
    const { breaker, guard } = this;
    if (guard.refusal !== null || !breaker.isDue(nowMs)) return;
    if (guard.tryDisk() === null) breaker.tryHalfOpen(nowMs);
    else breaker.postpone(nowMs);
  }

  /** Ms until `diskRecovered` or `tryBreaker` is worth calling. */
  dueInMs(nowMs: number): number {
    return this.isRefusing ? PROBE_INTERVAL_MS : this.breaker.dueInMs(nowMs);
  }

  /**
   * Logs what other processes did to closed segments, and deletes segments as the retention settings ask.
   * @param deleting called before commits up to that number are deleted
   */
  retain({ firstOpen, abandoned, openBytes }: ClosedUpTo, deleting: (commit: number) => void): void {
    const { closed } = this;
    // The path may lead to the segments of another server.
    if (this.directoryChange(this.home) !== null) return;
    try {
      this.logIncidents(closed.inspect(firstOpen, abandoned));
      const due = this.shipped(closed.due(openBytes));
      const lastCommit = due.length === 0 ? 0 : closed.lastCommit(due.at(-1)!);
      if (lastCommit > 0) deleting(lastCommit);
      const results = due.map((sequence) => closed.delete(sequence));
      this.parts.counters[WRITER.segments_deleted]! += results.filter((result) => result === true).length;
      this.logIncidents(results.filter((result) => typeof result === 'object'));
      this.logged.delete('directory');
    } catch (error) {
      if (!isFileError(error)) throw error;
      this.logChanged('directory', { code: codeOf(error) }, 'cannot read the data directory; retrying');
    }
  }

  /** Those of the segments that no required sink still needs. */
  private shipped(due: readonly number[]): readonly number[] {
    const { gate, closed, parts } = this;
    const { counters } = parts;
    const lastCommits = gate.isActive ? due.map((sequence) => closed.lastCommit(sequence)) : [];
    const { count, held, unshipped } = gate.pass(lastCommits, counters[WRITER.free_bytes_now]!);
    counters[WRITER.held_segments_now] = held?.segments ?? 0;
    counters[WRITER.segments_unshipped]! += unshipped;
    if (unshipped > 0)
      this.log(
        'error',
        { segments: unshipped },
        'the disk is nearly full: deleting segments that a required sink lacks',
      );
    if (held === null) this.logged.delete('sink');
    // Not again as the sink proceeds: an exporter that is merely slow would cause a line each second.
    else
      this.logChanged(
        'sink',
        { sink: held.sink },
        'retention waits for a required sink; is its exporter running?',
      );
    return gate.isActive ? due.slice(0, count) : due;
  }

  private logIncidents(incidents: readonly Incident[]): void {
    const kinds = new Set(incidents.map(({ what }) => what));
    for (const what of kinds) {
      const names = incidents.filter((incident) => incident.what === what).map(({ segment }) => segment);
      const fields = { what, segments: names.slice(0, NAMES_MAX), count: names.length };
      const isOurs = what.startsWith('not deletable');
      this.log(
        'error',
        fields,
        isOurs ? 'cannot delete old segments' : 'another process changed closed segments',
      );
      if (!isOurs) this.parts.counters[WRITER.segments_touched]! += names.length;
    }
  }

  /** Another process took the open segment. */
  segmentLost(segment: string, how: string): void {
    this.log('error', { segment, how }, 'another process changed the open segment; beginning another');
  }

  failed(reason: string, doubtful: DoubtfulRange | null): void {
    this.parts.report({ kind: 'fatal', reason, doubtful });
  }

  /** False when such a failure was logged a moment ago: the caller may report this one later. */
  writeFailed(code: string, nowMs: number): boolean {
    if (nowMs < this.nextLogMs) return false;
    this.nextLogMs = nowMs + LOG_AGAIN_MS;
    this.log('warn', { code }, 'a write failed: its metrics are refused; trying the next ones');
    return true;
  }

  /** @param sequence the segment that stays in use: a new one ends the problem */
  rotationFailed(code: string, sequence: number): void {
    this.logChanged(
      'rotation',
      { code, segment: segmentName(sequence) },
      'cannot create the next segment; the open one stays in use',
    );
  }

  recordFailed(code: string): void {
    this.logChanged('record', { code }, 'cannot write log.json; retrying');
  }

  private logChanged(kind: string, fields: Record<string, unknown>, text: string): void {
    const problem = JSON.stringify(fields);
    if (this.logged.get(kind) === problem) return;
    this.logged.set(kind, problem);
    this.log('warn', fields, text);
  }

  logTransition(transition: Transition): void {
    const { level, fields, text } = transitionLog(transition);
    this.log(level, fields, text);
  }

  log(level: LogLevel, fields: Record<string, unknown>, text: string): void {
    this.parts.report({ kind: 'log', level, fields, text });
  }
}
