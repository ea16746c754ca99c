/**
 * Decides when a worker refuses requests although its static bounds have room: storage takes longer than the target
 * delay (`AdaptiveLimit`), or the worker's own event-loop turns do (`TurnGuard`). See docs/backpressure.md.
 *
 * Once per turn, when the turn's journal is published, `published` notes the time and the bytes in flight. When
 * storage passes that point, the note becomes a measurement for the limit. Nothing here reads a clock or allocates;
 * an accepted request costs a few comparisons.
 */
import { US_PER_MS } from '../base/units.ts';
import { difference } from '../base/wrapped.ts';
import type { Config } from '../config/load.ts';
import type { Journal, StorageCost } from '../journal/journal.ts';
import { WORKER } from '../telemetry/counters.ts';
import { AdaptiveLimit } from './adaptive-limit.ts';
import { TurnGuard } from './turn-guard.ts';

/** A delay measured longer ago than this says nothing about now. */
const STALE_MS = 1_000;
/** Publications in flight that can be noted. Further ones are left out; the next one measures as well. */
const NOTES = 256;
const NOTE_MASK = NOTES - 1;

export type AdmissionConfig = Pick<Config, 'targetDelayMs' | 'ack' | 'journalBytes'>;

export class AdmissionControl {
  private readonly isOn: boolean;
  /** Under `received` no request waits for storage, so its delay steers nothing. */
  private readonly measures: boolean;
  private readonly journal: Pick<Journal, 'usedBytes' | 'storedCursor'>;
  private readonly cost: StorageCost;
  private readonly limit: AdaptiveLimit;
  private readonly guard: TurnGuard;
  /** Ring of notes: what storage has to pass, when it was published, and the bytes in flight then. */
  private readonly cursors = new Int32Array(NOTES);
  private readonly publishedMs = new Float64Array(NOTES);
  private readonly depthsBytes = new Float64Array(NOTES);
  private head = 0;
  private tail = 0;
  private storedMs = Number.NEGATIVE_INFINITY;

  constructor(
    { targetDelayMs, ack, journalBytes }: AdmissionConfig,
    journal: Pick<Journal, 'usedBytes' | 'storedCursor'>,
    cost: StorageCost,
  ) {
    this.isOn = targetDelayMs > 0;
    this.measures = this.isOn && ack !== 'received';
    this.journal = journal;
    this.cost = cost;
    this.limit = new AdaptiveLimit(targetDelayMs, journalBytes);
    this.guard = new TurnGuard(targetDelayMs);
  }

  /** The last delay measured. */
  get delayMs(): number {
    return this.limit.delayMs;
  }

  get targetMs(): number {
    return this.limit.targetMs;
  }

  /** Asked before a body is received. */
  refusesHeaders(nowMs: number): boolean {
    if (!this.isOn) return false;
    if (this.guard.shedding) return true;
    if (this.admits(nowMs)) return false;
    // Used bytes are as last seen; storage may have moved on during this turn.
    this.stored(this.journal.storedCursor(), nowMs);
    return !this.admits(nowMs);
  }

  /** Asked exactly once for each complete body: the turn guard counts them. */
  refusesBody(nowMs: number): boolean {
    if (!this.isOn) return false;
    return !this.guard.admits(nowMs) || this.refusesHeaders(nowMs);
  }

  private admits(nowMs: number): boolean {
    return this.limit.admits(this.journal.usedBytes, this.headAgeMs(nowMs), nowMs);
  }

  /** How long the oldest publication in flight has waited; 0 when none is in flight. */
  private headAgeMs(nowMs: number): number {
    return this.head === this.tail ? 0 : nowMs - this.publishedMs[this.head & NOTE_MASK]!;
  }

  /** The worker has published everything up to `cursor` to the writer. */
  published(cursor: number, nowMs: number): void {
    if (!this.measures || this.tail - this.head === NOTES) return;
    // Refreshes `usedBytes`.
    this.journal.storedCursor();
    const slot = this.tail & NOTE_MASK;
    this.cursors[slot] = cursor;
    this.publishedMs[slot] = nowMs;
    this.depthsBytes[slot] = this.journal.usedBytes;
    this.tail++;
  }

  /** Storage has passed `storedCursor`. */
  stored(storedCursor: number, nowMs: number): void {
    if (!this.measures) return;
    const { cost } = this;
    // The time until this thread noticed is not storage delay.
    const storedMs = cost.storedAtMs > 0 ? Math.min(cost.storedAtMs, nowMs) : nowMs;
    let notes = 0;
    let delaysMs = 0;
    let deepestBytes = 0;
    while (this.head !== this.tail) {
      const slot = this.head & NOTE_MASK;
      if (difference(storedCursor, this.cursors[slot]!) < 0) break;
      notes++;
      delaysMs += Math.max(0, storedMs - this.publishedMs[slot]!);
      deepestBytes = Math.max(deepestBytes, this.depthsBytes[slot]!);
      this.head++;
    }
    if (notes === 0) return;
    this.storedMs = storedMs;
    this.limit.measured(delaysMs / notes, deepestBytes, cost.fixedMs, cost.bytesPerMs, nowMs);
  }

  /** @param nowMs when the turn's last request was done */
  turnEnded(nowMs: number): void {
    this.guard.turnEnded(nowMs);
  }

  /** Call a few times a second. */
  updateGauges(counters: Float64Array, nowMs: number): void {
    if (!this.isOn) return;
    counters[WORKER.admission_limit_bytes_now] = this.limit.limitBytes;
    counters[WORKER.admission_target_us_now] = this.limit.targetMs * US_PER_MS;
    const measuredMs = nowMs - this.storedMs < STALE_MS ? this.limit.delayMs : 0;
    counters[WORKER.admission_delay_us_now] = Math.max(measuredMs, this.headAgeMs(nowMs)) * US_PER_MS;
  }
}
