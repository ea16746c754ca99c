/**
 * Sequential: the thread that accepts connections serves one request after the other, and waits for the disk itself.
 *
 * Nothing else happens while a request is being stored: other bodies, scrapes and new connections wait in the
 * kernel. There is no queue that could be full.
 */
import { Gate, type RequestQueue } from '../admission/gate.ts';
import type { Exchange } from '../http/exchange.ts';
import { Outbox } from '../http/outbox.ts';
import { Turn } from '../http/turn.ts';
import type { Pipeline } from '../pipeline.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Dispatcher, DispatcherModule, DispatcherParts } from './dispatcher.ts';
import { Intake } from './intake.ts';
import { storeNow } from './store-now.ts';

/** The one request that is being served. */
const QUEUE: RequestQueue = { depth: 0, capacity: 1, isFull: false };

class Sequential implements Dispatcher {
  readonly pending = 0;
  readonly gate: Gate;
  readonly outbox: Outbox;
  private readonly parts: DispatcherParts;
  private readonly pipeline: Pipeline;
  private readonly intake: Intake;

  constructor(parts: DispatcherParts, pipeline: Pipeline) {
    const { config, control, breaker, counters, histograms, recorder } = parts;
    this.parts = parts;
    this.pipeline = pipeline;
    this.gate = new Gate(control, breaker, QUEUE, null);
    this.outbox = new Outbox(new Turn(() => this.outbox.flush()), this.gate, counters, recorder);
    this.intake = new Intake(pipeline, counters, histograms, config, QUEUE, control);
  }

  admit(exchange: Exchange, body: Uint8Array): void {
    const { outbox, intake } = this;
    intake.countBody(body.length);
    const reason = this.gate.atBody(exchange.receivedMs);
    if (reason !== null) return outbox.enqueueUnavailable(exchange, reason);
    if (intake.process(exchange, body, exchange.receivedMs, Date.now())) this.store(exchange);
    else this.gate.refusedLater(exchange.receivedMs);
    outbox.enqueue(exchange);
  }

  private store(exchange: Exchange): void {
    const { bell, config, counters } = this.parts;
    const { journal } = this.pipeline;
    const outcome = storeNow(journal, exchange.cursor, bell, config.requestTimeoutMs);
    if (outcome === null) this.intake.prepareTimedOut(exchange);
    else this.intake.prepareSettled(exchange, outcome);
    counters[WORKER.queue_bytes_now] = journal.usedBytes;
  }

  /** No request ever waits here between two turns. */
  expire(): void {}

  expireAll(): void {}
}

export const acceptThreads = (() => 1) satisfies DispatcherModule['acceptThreads'];

export const requestThreads = (() => 0) satisfies DispatcherModule['requestThreads'];

export const queueCapacity = (() => QUEUE.capacity) satisfies DispatcherModule['queueCapacity'];

export const openDispatcher = (async (parts) =>
  new Sequential(parts, await parts.openPipeline())) satisfies DispatcherModule['openDispatcher'];
