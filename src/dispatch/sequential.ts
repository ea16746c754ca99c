/**
 * Sequential: the thread that accepts connections serves one request after the other, and waits for the disk itself.
 *
 * While a request is being stored nothing else happens: other bodies, scrapes and new connections wait in the
 * kernel. There is no queue to fill, so none is refused for it.
 */

import type { Exchange } from '../http/exchange.ts';
import type { UnavailableReason } from '../http/outbox.ts';
import type { QueueFacts } from '../http/response.ts';
import type { Pipeline } from '../pipeline.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Dispatcher, DispatcherModule, DispatcherParts } from './dispatcher.ts';
import { Intake } from './intake.ts';
import { storeNow } from './store-now.ts';

/** The one request being served. */
const QUEUE: QueueFacts = { depth: 0, capacity: 1 };

class Sequential implements Dispatcher {
  readonly pending = 0;
  private readonly parts: DispatcherParts;
  private readonly pipeline: Pipeline;
  private readonly intake: Intake;

  constructor(parts: DispatcherParts, ingest: Pipeline) {
    const { config, answers, histograms, control } = parts;
    this.parts = parts;
    this.pipeline = ingest;
    this.intake = new Intake(ingest, answers.counters, histograms, config, QUEUE, control);
  }

  get input(): Uint8Array {
    return this.intake.input;
  }

  unavailableReason(): UnavailableReason | null {
    return this.parts.answers.stateRefusal;
  }

  refuseUnavailable(exchange: Exchange, reason: UnavailableReason): void {
    this.parts.answers.answerUnavailable(exchange, reason, QUEUE);
  }

  admit(exchange: Exchange, length: number): void {
    const { answers } = this.parts;
    this.intake.count(length);
    const reason = this.unavailableReason() ?? answers.trialRefusal(exchange.receivedMs);
    if (reason !== null) return this.refuseUnavailable(exchange, reason);
    if (this.intake.take(exchange, length, exchange.receivedMs, Date.now())) this.store(exchange);
    answers.answerPrepared(exchange);
  }

  private store(exchange: Exchange): void {
    const { journal, cursor } = this.pipeline;
    const { bell, config, answers } = this.parts;
    const outcome = storeNow(journal, cursor, bell, config.requestTimeoutMs);
    if (outcome === null) this.intake.setTimedOut(exchange);
    else this.intake.setSettled(exchange, outcome);
    answers.counters[WORKER.queue_bytes_now] = journal.usedBytes;
  }

  /** Nothing ever waits here between two turns. */
  expire(): void {}

  expireAll(): void {}
}

export const acceptThreads = (() => 1) satisfies DispatcherModule['acceptThreads'];

export const requestThreads = (() => 0) satisfies DispatcherModule['requestThreads'];

export const queueCapacity = (() => QUEUE.capacity) satisfies DispatcherModule['queueCapacity'];

export const openDispatcher = (async (parts) =>
  new Sequential(parts, await parts.openPipeline())) satisfies DispatcherModule['openDispatcher'];
