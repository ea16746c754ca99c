/** The breaker's specification as lists: every outcome with its time, nothing shared, nothing packed. */
import {
  type BreakerConfig,
  type BreakerState,
  CLOSED,
  COMMITS_MIN,
  HALF_OPEN,
  OPEN,
  PERMIT_PERIOD_MS,
  PERMITS,
} from '../../src/breaker/breaker.ts';

interface Outcome {
  readonly atMs: number;
  readonly failed: boolean;
}

export class BreakerModel {
  state: BreakerState = CLOSED;
  readonly transitions = [0, 0, 0];
  private readonly config: BreakerConfig;
  /** Since the breaker last closed. */
  private outcomes: Outcome[] = [];
  private retryMs = 0;
  private failedTrials = 0;
  private permits: number[] = [];

  constructor(config: BreakerConfig) {
    this.config = config;
  }

  private enter(state: BreakerState): void {
    this.state = state;
    this.transitions[state]! += 1;
  }

  private open(retryMs: number): void {
    this.retryMs = retryMs;
    this.enter(OPEN);
  }

  succeeded(nowMs: number): void {
    if (this.state === CLOSED) this.outcomes.push({ atMs: nowMs, failed: false });
    if (this.state !== HALF_OPEN) return;
    this.outcomes = [];
    this.failedTrials = 0;
    this.enter(CLOSED);
  }

  failed(nowMs: number): void {
    if (this.state === CLOSED) {
      this.outcomes.push({ atMs: nowMs, failed: true });
      if (this.failsTooOften(nowMs)) this.open(nowMs + this.config.openMs);
    } else if (this.state === HALF_OPEN) {
      this.failedTrials++;
      this.open(nowMs + this.config.openMs * Math.min(8, 2 ** this.failedTrials));
    }
  }

  private failsTooOften(nowMs: number): boolean {
    const { failures, errorPercent, windowMs } = this.config;
    const inARow = this.outcomes.length - 1 - this.outcomes.findLastIndex(({ failed }) => !failed);
    if (inARow >= failures) return true;
    const bucketMs = Math.ceil(windowMs / 10);
    const bucketOf = (atMs: number): number => Math.floor(atMs / bucketMs);
    const within = this.outcomes.filter(({ atMs }) => bucketOf(nowMs) - bucketOf(atMs) < 10);
    const failed = within.filter((outcome) => outcome.failed).length;
    return within.length >= COMMITS_MIN && failed / within.length >= errorPercent / 100;
  }

  trip(nowMs: number): void {
    if (this.state !== OPEN) this.open(nowMs);
  }

  tryHalfOpen(nowMs: number): boolean {
    if (this.state !== OPEN || nowMs < this.retryMs) return false;
    this.permits = [];
    this.enter(HALF_OPEN);
    return true;
  }

  postpone(nowMs: number): void {
    if (this.state === OPEN) this.retryMs = nowMs + this.config.openMs;
  }

  acquirePermit(nowMs: number): boolean {
    if (this.state !== HALF_OPEN) return this.state === CLOSED;
    const period = Math.floor(nowMs / PERMIT_PERIOD_MS);
    if (this.permits.filter((taken) => taken === period).length >= PERMITS) return false;
    this.permits.push(period);
    return true;
  }

  returnPermit(nowMs: number): void {
    if (this.state !== HALF_OPEN) return;
    const taken = this.permits.lastIndexOf(Math.floor(nowMs / PERMIT_PERIOD_MS));
    if (taken !== -1) this.permits.splice(taken, 1);
  }
}
