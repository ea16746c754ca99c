/**
 * The gate decides every refusal that does not need the body's content: disk, breaker, drain, queue, delay, turn.
 *
 * It is asked twice per request. `atHeaders` runs before the body arrives, so that a refused client need not send
 * it. `atBody` runs once the body is complete, because the state may have changed meanwhile. Refusals that need
 * memory of a certain size (body buffers, journal) are decided where that memory is acquired.
 */
import { type Control, DISK_OK, DRAINING } from '../base/control.ts';
import { type Breaker, OPEN } from '../breaker/breaker.ts';
import type { CountedReason } from '../telemetry/unavailable.ts';
import type { AdmissionControl } from './control.ts';

/** Requests between acceptance and answer; each dispatcher has its own queue. */
export interface RequestQueue {
  readonly depth: number;
  readonly capacity: number;
  readonly isFull: boolean;
}

/** The queue as a 503 describes it. */
export interface QueueFacts {
  readonly depth: number;
  readonly capacity: number;
  /** Measured and target delay of storage, where the delay is the reason. */
  readonly delayMs?: number;
  readonly targetMs?: number;
}

export class Gate {
  private readonly control: Control;
  private readonly breaker: Breaker;
  private readonly queue: RequestQueue;
  private readonly admission: AdmissionControl | null;

  /** @param admission null for dispatchers without a queue that could grow */
  constructor(control: Control, breaker: Breaker, queue: RequestQueue, admission: AdmissionControl | null) {
    this.control = control;
    this.breaker = breaker;
    this.queue = queue;
    this.admission = admission;
  }

  /** The process is about to end: it refuses new requests and closes connections after their answer. */
  get draining(): boolean {
    return this.control.lifecycle >= DRAINING;
  }

  /** Why the server accepts nothing at all now, whatever waits; null when it accepts. */
  get stateReason(): 'disk_failed' | 'breaker_open' | 'draining' | null {
    if (this.control.disk !== DISK_OK) return 'disk_failed';
    if (this.breaker.state === OPEN) return 'breaker_open';
    return this.draining ? 'draining' : null;
  }

  /** Why to refuse a request whose headers have arrived, or null. */
  atHeaders(nowMs: number): CountedReason | null {
    return this.boundReason ?? (this.admission?.refusesHeaders(nowMs) === true ? 'overloaded' : null);
  }

  /**
   * Why to refuse a request whose body is complete, or null. Ask exactly once for each body: admission counts
   * bodies, and a half-open breaker gives out few permits, so it is asked last.
   */
  atBody(nowMs: number): CountedReason | null {
    const reason = this.boundReason ?? (this.admission?.refusesBody(nowMs) === true ? 'overloaded' : null);
    return reason ?? (this.breaker.acquirePermit(nowMs) ? null : 'breaker_open');
  }

  /** A body that `atBody` let pass at `nowMs` was refused for what it holds. */
  refusedLater(nowMs: number): void {
    this.breaker.returnPermit(nowMs);
  }

  private get boundReason(): CountedReason | null {
    //> 6.5 the state comes before the queue
    //: return this.queue.isFull ? 'queue_full' : this.stateReason;
    return this.stateReason ?? (this.queue.isFull ? 'queue_full' : null);
    //<
  }

  /** The queue as a 503 for `reason` describes it. */
  factsFor(reason: CountedReason): QueueFacts {
    const { depth, capacity } = this.queue;
    if (reason !== 'overloaded' || this.admission === null) return { depth, capacity };
    const { delayMs, targetMs } = this.admission;
    return { depth, capacity, delayMs: Math.round(delayMs), targetMs: Math.round(targetMs) };
  }
}
