/**
 * Thread per request: the accepting thread only receives and answers; each complete body gets a new thread, which
 * limits, parses, encodes, waits until its lines are stored, and ends.
 *
 * A thread journals and records into a *lane*: memory that one thread at a time holds. There are as many lanes as
 * threads may live at once. When threads hold all lanes, requests get 503: a thread costs milliseconds to start and
 * megabytes to keep, and more of them would only slow each other down.
 */
import { Gate } from '../admission/gate.ts';
import type { Exchange } from '../http/exchange.ts';
import { Outbox } from '../http/outbox.ts';
import { Turn } from '../http/turn.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Dispatcher, DispatcherModule, DispatcherParts } from './dispatcher.ts';
import { ENDING, prepareNotConfirmed } from './intake.ts';
import type { RequestAnswer, ServedRequest } from './served-request.ts';

/** The lanes as a queue: requests that wait for their thread, bounded by the lanes. */
class Lanes {
  readonly capacity: number;
  readonly waiting = new Set<Exchange>();
  private readonly free: number[];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.free = Array.from({ length: capacity }, (_, lane) => lane);
  }

  get depth(): number {
    return this.waiting.size;
  }

  get isFull(): boolean {
    //> 1.1 no more threads than lanes
    //: return false;
    return this.free.length === 0;
    //<
  }

  get held(): number {
    return this.capacity - this.free.length;
  }

  /** A lane that `isSettled`, or null. If a lane's last holder gave up waiting, storage may still own its lines. */
  acquire(isSettled: (lane: number) => boolean): number | null {
    const { free } = this;
    //> 1.2 a lane whose lines are settled
    //: return free.shift() ?? null;
    for (let tries = free.length; tries > 0; tries--) {
      const lane = free.shift()!;
      if (isSettled(lane)) return lane;
      free.push(lane);
    }
    return null;
    //<
  }

  release(lane: number): void {
    this.free.push(lane);
  }
}

class ThreadPerRequest implements Dispatcher {
  readonly gate: Gate;
  readonly outbox: Outbox;
  private readonly parts: DispatcherParts;
  private readonly lanes: Lanes;

  constructor(parts: DispatcherParts) {
    const { config, control, breaker, counters, recorder } = parts;
    this.parts = parts;
    this.lanes = new Lanes(config.requestThreads);
    this.gate = new Gate(control, breaker, this.lanes, null);
    this.outbox = new Outbox(new Turn(() => this.outbox.flush()), this.gate, counters, recorder);
  }

  /** Threads that have not ended: one that has answered still holds its lane for a moment. */
  get pending(): number {
    return this.lanes.held;
  }

  admit(exchange: Exchange, body: Uint8Array): void {
    const reason = this.gate.atBody(exchange.receivedMs);
    if (reason !== null) return this.outbox.enqueueUnavailable(exchange, reason);
    const lane = this.lanes.acquire(this.parts.isSettled);
    if (lane === null) return this.outbox.enqueueUnavailable(exchange, 'queue_full');
    this.lanes.waiting.add(exchange);
    this.updateGauges();
    //> 1.6 a body of the thread's own
    //: this.start(exchange, lane, body);
    this.start(exchange, lane, body.slice());
    //<
  }

  private start(exchange: Exchange, lane: number, body: Uint8Array): void {
    const thread = this.parts.startRequestThread(lane, servedRequest(exchange, body));
    let hasAnswered = false;
    thread.once('message', (answer: RequestAnswer) => {
      hasAnswered = true;
      //> 1.3 the thread still runs
      //: this.lanes.release(lane);
      //<
      this.answered(exchange, answer);
    });
    thread.once('error', ({ message, stack }) => this.parts.died(rebuiltError(message, stack)));
    thread.once('exit', () => {
      //> 1.3 the thread has ended
      this.lanes.release(lane);
      //<
      //> 1.4 a thread that dies in silence
      if (!hasAnswered) this.parts.died(new Error(`request thread ${lane} ended without an answer`));
      //<
    });
  }

  private answered(exchange: Exchange, answer: RequestAnswer): void {
    // At the end of a drain, `expireAll` has answered 504 already.
    if (!this.lanes.waiting.delete(exchange)) return;
    this.updateGauges();
    exchange.status = answer.status;
    if (answer.status < 500 && answer.status >= 400) this.gate.refusedLater(exchange.receivedMs);
    exchange.head = answer.head;
    exchange.body = answer.body;
    exchange.close ||= answer.close;
    exchange.recorded = true;
    this.outbox.enqueue(exchange);
  }

  private updateGauges(): void {
    this.parts.counters[WORKER.queue_tasks_now] = this.lanes.depth;
  }

  /** Each thread watches its own time. */
  expire(): void {}

  expireAll(nowMs: number): void {
    const { waiting } = this.lanes;
    //> 1.5 nobody waits for an answer that cannot come
    for (const exchange of waiting) {
      this.parts.counters[WORKER.timeouts_drain]! += 1;
      prepareNotConfirmed(exchange, ENDING);
      this.outbox.send(exchange, nowMs);
    }
    waiting.clear();
    //<
  }
}

function servedRequest(exchange: Exchange, body: Uint8Array): ServedRequest {
  const { format, strict, clientKey, clientClass, idempotencyKey, startedMs, receivedMs } = exchange;
  const { isCharged, clientHash, remaining, limitNs } = exchange;
  return {
    body,
    format,
    strict,
    clientKey,
    clientClass,
    idempotencyKey,
    isCharged,
    clientHash,
    remaining,
    limitNs,
    startedMs,
    receivedMs,
  };
}

/** A thread's error arrives as an object that only resembles an Error, and would be empty if passed on. */
function rebuiltError(message: string, stack: string | undefined): Error {
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

export const acceptThreads = (() => 1) satisfies DispatcherModule['acceptThreads'];

export const requestThreads = ((config) =>
  config.requestThreads) satisfies DispatcherModule['requestThreads'];

export const queueCapacity = ((config) => config.requestThreads) satisfies DispatcherModule['queueCapacity'];

export const openDispatcher = (async (parts) =>
  new ThreadPerRequest(parts)) satisfies DispatcherModule['openDispatcher'];
