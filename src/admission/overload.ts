/**
 * When a worker of the pool refuses although its static bounds have room: storage takes longer than the target delay
 * (`Admission`), or the worker's own turns do (`TurnGuard`). docs/backpressure.md tells the whole.
 *
 * Nothing here reads a clock or allocates; a request that is taken costs a few comparisons.
 */
import { US_PER_MS } from '../base/units.ts';
import type { Config } from '../config/load.ts';
import type { Journal } from '../journal/journal.ts';
import { WORKER, WRITER } from '../telemetry/counters.ts';
import { Admission } from './admission.ts';
import { TurnGuard } from './turn-guard.ts';

/** A delay measured longer ago says nothing of now. */
const STALE_MS = 1_000;

export class Overload {
  private readonly isOn: boolean;
  /** Under `received` nobody waits for storage: its delay steers nothing. */
  private readonly measures: boolean;
  private readonly workers: number;
  private readonly journal: Journal;
  private readonly counters: Float64Array;
  private readonly writerCounters: Float64Array;
  private readonly admission: Admission;
  private readonly guard: TurnGuard;

  constructor(
    { targetDelayMs, ack, workers, journalBytes }: Config,
    journal: Journal,
    counters: Float64Array,
    writerCounters: Float64Array,
  ) {
    this.isOn = targetDelayMs > 0;
    this.measures = this.isOn && ack !== 'received';
    this.workers = workers;
    this.journal = journal;
    this.counters = counters;
    this.writerCounters = writerCounters;
    this.admission = new Admission(targetDelayMs, journalBytes);
    this.guard = new TurnGuard(targetDelayMs);
  }

  get delayMs(): number {
    return this.admission.limit.delayMs;
  }

  get targetMs(): number {
    return this.admission.limit.targetMs;
  }

  /** Asked before a body is received. */
  refuses(nowMs: number): boolean {
    if (!this.isOn) return false;
    if (this.guard.shedding) return true;
    if (this.admission.admits(this.journal.usedBytes, nowMs)) return false;
    // Used bytes are as last seen; storage may have moved on during this turn.
    this.stored(this.journal.storedCursor(), nowMs);
    return !this.admission.admits(this.journal.usedBytes, nowMs);
  }

  /** Asked once for each complete body. */
  refusesComplete(nowMs: number): boolean {
    if (!this.isOn) return false;
    return !this.guard.admits(nowMs) || this.refuses(nowMs);
  }

  /** Everything up to `cursor` was handed to the writer. */
  handedOver(cursor: number, nowMs: number): void {
    if (!this.measures) return;
    // So that the depth is of now.
    this.journal.storedCursor();
    this.admission.handedOver(cursor, this.journal.usedBytes, nowMs);
  }

  stored(storedCursor: number, nowMs: number): void {
    if (!this.measures) return;
    // Written before the cursor moved. What this thread was late to see is no delay of storage.
    const releasedMs = this.writerCounters[WRITER.released_at_ms_now]!;
    this.admission.stored(
      storedCursor,
      releasedMs > 0 ? Math.min(releasedMs, nowMs) : nowMs,
      this.writerCounters[WRITER.commit_fixed_ms_now]!,
      this.writerCounters[WRITER.commit_bytes_per_ms_now]! / this.workers,
      nowMs,
    );
  }

  /** @param nowMs when the turn's last request was done */
  turnEnded(nowMs: number): void {
    this.guard.turnEnded(nowMs);
  }

  /** Gauges; to be called a few times a second. */
  show(nowMs: number): void {
    if (!this.isOn) return;
    const { counters } = this;
    const { limit } = this.admission;
    counters[WORKER.admission_limit_bytes_now] = limit.limitBytes;
    counters[WORKER.admission_target_us_now] = limit.targetMs * US_PER_MS;
    const delayMs = this.admission.delayMs(nowMs, STALE_MS);
    counters[WORKER.admission_delay_us_now] = delayMs * US_PER_MS;
  }
}
