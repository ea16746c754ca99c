/**
 * What a writer thread does besides commits, whichever writer it runs: probe a disk that refuses, try the breaker,
 * delete old segments, and log what failed.
 */
import { type Breaker, type Transition, transitionLog } from '../breaker/breaker.ts';
import { ClosedSegments } from '../storage/closed-segments.ts';
import { codeOf } from '../storage/file-ops.ts';
import { PROBE_INTERVAL_MS, SpaceGuard } from '../storage/space-guard.ts';
import type { Spares } from '../storage/spares.ts';
import { WRITER } from '../telemetry/counters.ts';
import type { DoubtfulRange, WriterParts } from './writer.ts';

/** How often a writer thread does what no commit asks for. */
export const MAINTENANCE_MS = 1_000;
/** A failure that repeats is logged this often. */
const LOG_AGAIN_MS = 1_000;

export type LogLevel = 'info' | 'warn' | 'error';

export class Upkeep {
  private readonly parts: WriterParts;
  private readonly breaker: Breaker;
  private readonly guard: SpaceGuard;
  private readonly closed: ClosedSegments;
  /** Earliest time to log the next write that failed. */
  private nextLogMs = 0;

  constructor(parts: WriterParts, spares: Spares) {
    const { ops, config, counters, breaker, nextSegment } = parts;
    this.parts = parts;
    this.breaker = breaker;
    this.guard = new SpaceGuard(ops, config, counters, () => spares.probe());
    this.closed = new ClosedSegments(ops, config, nextSegment);
    breaker.onTransition = (transition) => this.logTransition(transition);
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

  /** Deletes segments as the retention settings ask. */
  retain(firstOpen: number, openBytes: number): void {
    try {
      const deleted = this.closed.retain(firstOpen, openBytes, Date.now());
      this.parts.counters[WRITER.segments_deleted]! += deleted;
    } catch (error) {
      this.log('warn', { code: codeOf(error) }, 'cannot delete an old segment; retrying');
    }
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

  rotationFailed(code: string): void {
    this.log('warn', { code }, 'cannot create the next segment; the open one stays in use');
  }

  logTransition(transition: Transition): void {
    const { level, fields, text } = transitionLog(transition);
    this.log(level, fields, text);
  }

  log(level: LogLevel, fields: Record<string, unknown>, text: string): void {
    this.parts.report({ kind: 'log', level, fields, text });
  }
}

/** Sleeps on the bell between turns until `control.writerShouldStop`, then makes a last turn. */
export async function runTurns(
  { bell, control }: WriterParts,
  driver: {
    /** True when there may be more to do at once. */
    turn(): boolean;
    /** True when callbacks wait: on this thread they run only between turns. */
    needsEventLoop(): boolean;
    idleMs(): number;
  },
): Promise<void> {
  for (;;) {
    const seen = bell.seen();
    const shouldStop = control.writerShouldStop;
    const worked = driver.turn();
    if (driver.needsEventLoop()) await nextLoopTurn();
    if (worked) continue;
    if (shouldStop) return;
    bell.sleep(seen, driver.idleMs());
  }
}

export function nextLoopTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
