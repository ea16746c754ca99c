/**
 * Thread per request: the accepting thread only receives and answers; each complete body gets a new thread, which
 * limits, parses, encodes, waits until its lines are stored, and ends.
 *
 * A thread journals and records into a *lane*: memory that one thread at a time holds. There are as many lanes as
 * threads may live at once; when all are held, requests are refused with 503, since a thread costs milliseconds to
 * start and megabytes to keep, and more of them would only slow each other down.
 */
import { Worker } from 'node:worker_threads';
import type { Exchange } from '../http/exchange.ts';
import type { UnavailableReason } from '../http/outbox.ts';
import type { QueueFacts } from '../http/response.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { RequestAnswer, RequestThreadData, ServedRequest } from '../threads/messages.ts';
import type { Dispatcher, DispatcherModule, DispatcherParts } from './dispatcher.ts';
import { ENDING, setNotConfirmed } from './intake.ts';

const ENTRY = new URL('../threads/request-worker.js', import.meta.url);

class ThreadPerRequest implements Dispatcher {
  readonly input: Uint8Array;
  private readonly parts: DispatcherParts;
  private readonly freeLanes: RequestThreadData[];
  private readonly waiting = new Set<Exchange>();
  private readonly queue: QueueFacts;

  constructor(parts: DispatcherParts) {
    this.parts = parts;
    this.input = new Uint8Array(parts.config.maxBodyBytes);
    this.freeLanes = [...parts.requestThreads];
    const { waiting } = this;
    this.queue = {
      capacity: parts.requestThreads.length,
      get depth() {
        return waiting.size;
      },
    };
  }

  /** Threads that have not ended: one that has answered still holds its lane for a moment. */
  get pending(): number {
    return this.parts.requestThreads.length - this.freeLanes.length;
  }

  unavailableReason(): UnavailableReason | null {
    return this.parts.answers.stateRefusal ?? (this.freeLanes.length === 0 ? 'queue_full' : null);
  }

  refuseUnavailable(exchange: Exchange, reason: UnavailableReason): void {
    this.parts.answers.answerUnavailable(exchange, reason, this.queue);
  }

  admit(exchange: Exchange, length: number): void {
    const reason = this.unavailableReason() ?? this.parts.answers.trialRefusal(exchange.receivedMs);
    if (reason !== null) return this.refuseUnavailable(exchange, reason);
    const lane = this.takeLane();
    if (lane === null) return this.refuseUnavailable(exchange, 'queue_full');
    this.waiting.add(exchange);
    this.showQueue();
    this.start(exchange, lane, this.input.slice(0, length));
  }

  /** A lane whose last holder gave up waiting is passed over until storage is done with it. */
  private takeLane(): RequestThreadData | null {
    const { freeLanes } = this;
    for (let tries = freeLanes.length; tries > 0; tries--) {
      const lane = freeLanes.shift()!;
      if (this.parts.isSettled(lane.lane)) return lane;
      freeLanes.push(lane);
    }
    return null;
  }

  private start(exchange: Exchange, lane: RequestThreadData, body: Uint8Array): void {
    const { format, strict, clientKey, clientClass, startedMs, receivedMs } = exchange;
    const request: ServedRequest = { body, format, strict, clientKey, clientClass, startedMs, receivedMs };
    const thread = new Worker(ENTRY, {
      workerData: { ...lane, request },
      transferList: [body.buffer as ArrayBuffer],
      name: `request-${lane.lane}`,
    });
    let answered = false;
    thread.once('message', (answer: RequestAnswer) => {
      answered = true;
      this.answered(exchange, answer);
    });
    thread.once('error', ({ message, stack }) => this.parts.died(diedBy(message, stack)));
    thread.once('exit', () => {
      this.freeLanes.push(lane);
      if (!answered) this.parts.died(new Error(`request thread ${lane.lane} ended without an answer`));
    });
  }

  private answered(exchange: Exchange, answer: RequestAnswer): void {
    // Answered 504 before, at the end of a drain.
    if (!this.waiting.delete(exchange)) return;
    this.showQueue();
    exchange.status = answer.status;
    exchange.head = answer.head;
    exchange.body = answer.body;
    exchange.close = answer.close;
    exchange.recorded = true;
    this.parts.answers.answerPrepared(exchange);
  }

  private showQueue(): void {
    this.parts.answers.counters[WORKER.queue_tasks_now] = this.waiting.size;
  }

  /** Each thread watches its own time. */
  expire(): void {}

  expireAll(nowMs: number): void {
    for (const exchange of this.waiting) {
      this.parts.answers.counters[WORKER.timeouts_drain]! += 1;
      setNotConfirmed(exchange, ENDING);
      this.parts.answers.finish(exchange, nowMs);
    }
    this.waiting.clear();
  }
}

/** What a thread throws arrives as an object that only looks like an error, and would be empty once passed on. */
function diedBy(message: string, stack: string | undefined): Error {
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
