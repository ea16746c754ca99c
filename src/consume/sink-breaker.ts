/**
 * The circuit breaker of the sink, one for all workers: while it is open nobody fetches, so an outage of the database does
 * not pass every message through every worker again and again.
 */
import { monotonicMs } from '../base/clock.ts';
import { Breaker, CLOSED, createBreakerMemory } from '../breaker/breaker.ts';

/** One failure may be a deadlock or a restart of one backend. */
const FAILURES = 3;
const OPEN_MS = 500;
const WINDOW_MS = 10_000;

export function createSinkBreakerMemory(): SharedArrayBuffer {
  return createBreakerMemory({ failures: FAILURES, errorPercent: 100, windowMs: WINDOW_MS, openMs: OPEN_MS });
}

export class SinkBreaker {
  private readonly breaker: Breaker;

  constructor(memory: SharedArrayBuffer) {
    this.breaker = new Breaker(memory);
  }

  get isClosed(): boolean {
    return this.breaker.state === CLOSED;
  }

  /** True if the sink may be tested now: its open time has passed, and not too many others test it. */
  admitsTest(): boolean {
    const nowMs = monotonicMs();
    this.breaker.tryHalfOpen(nowMs);
    return this.breaker.acquirePermit(nowMs);
  }

  /** Runs one transaction or connection, and notes its outcome. */
  async watch<T>(run: () => Promise<T>, isFailure: (error: unknown) => boolean): Promise<T> {
    const { episode } = this.breaker;
    try {
      const result = await run();
      this.breaker.succeeded(episode, monotonicMs());
      return result;
    } catch (error) {
      if (isFailure(error)) this.breaker.failed(episode, monotonicMs(), (error as Error).message);
      else this.breaker.succeeded(episode, monotonicMs());
      throw error;
    }
  }
}
