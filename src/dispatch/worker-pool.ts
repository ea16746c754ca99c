/**
 * The fixed worker pool: each of N threads serves the connections it owns, from accept to answer, and waits for
 * nothing.
 *
 * During a turn of a worker's event loop, requests whose body is complete go through the pipeline and into its task
 * queue, which is bounded: a full one refuses with 503. At the end of the turn everything journaled is published at
 * once, the writer's bell is rung once, and the answers that need no storage are sent. When the writer moves the
 * stored cursor, the tasks it passed are answered. `Overload` refuses before the bounds do, by the delay it sees.
 */

import { Overload } from '../admission/overload.ts';
import { monotonicMs } from '../base/clock.ts';
import type { Config } from '../config/load.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Answers, UnavailableReason } from '../http/outbox.ts';
import { STORED } from '../journal/journal.ts';
import type { Pipeline } from '../pipeline.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Dispatcher, DispatcherModule, DispatcherParts } from './dispatcher.ts';
import { Intake } from './intake.ts';
import { TaskQueue } from './task-queue.ts';

class PoolWorker implements Dispatcher {
  private readonly config: Config;
  private readonly answers: Answers;
  private readonly intake: Intake;
  private readonly pipeline: Pipeline;
  private readonly queue: TaskQueue<Exchange>;
  private readonly overload: Overload;
  private readonly ringBell: () => void;
  private receiptMs = 0;
  private waiting = false;
  private storedSeen = 0;
  private readonly storedMoved = (): void => {
    this.waiting = false;
    this.settle();
    this.publish();
    this.awaitStored();
  };

  constructor(parts: DispatcherParts, ingest: Pipeline) {
    const { config, answers, bell, histograms, control, writerCounters } = parts;
    this.config = config;
    this.answers = answers;
    this.pipeline = ingest;
    this.queue = new TaskQueue(Math.floor(config.queueTasks / config.workers));
    this.intake = new Intake(ingest, answers.counters, histograms, config, this.queue, control);
    this.overload = new Overload(config, ingest.journal, answers.counters, writerCounters);
    this.ringBell = () => bell.ring();
    answers.aroundAnswers(
      () => this.publish(),
      () => this.turnEnded(),
    );
  }

  get input(): Uint8Array {
    return this.intake.input;
  }

  get pending(): number {
    return this.queue.depth;
  }

  unavailableReason(): UnavailableReason | null {
    const { answers } = this;
    return this.boundReached ?? (this.overload.refuses(answers.lastTurnMs) ? 'overloaded' : null);
  }

  private get boundReached(): UnavailableReason | null {
    return this.answers.stateRefusal ?? (this.queue.isFull ? 'queue_full' : null);
  }

  /** Why the request whose body is complete cannot be taken; the breaker, whose permits are few, is asked last. */
  private refusal(nowMs: number): UnavailableReason | null {
    const reason = this.boundReached ?? (this.overload.refusesComplete(nowMs) ? 'overloaded' : null);
    return reason ?? this.answers.trialRefusal(nowMs);
  }

  refuseUnavailable(exchange: Exchange, reason: UnavailableReason): void {
    const { queue, overload } = this;
    const { depth, capacity } = queue;
    const [delayMs, targetMs] = [Math.round(overload.delayMs), Math.round(overload.targetMs)];
    this.answers.answerUnavailable(
      exchange,
      reason,
      reason === 'overloaded' ? { depth, capacity, delayMs, targetMs } : queue,
    );
  }

  admit(exchange: Exchange, length: number): void {
    const { answers, intake } = this;
    intake.count(length);
    const reason = this.refusal(exchange.receivedMs);
    if (reason !== null) return this.refuseUnavailable(exchange, reason);
    if (!answers.turnOpen) this.receiptMs = Date.now();
    if (!intake.take(exchange, length, exchange.receivedMs, this.receiptMs))
      return answers.answerPrepared(exchange);
    if (this.config.ack === 'received') {
      intake.setSettled(exchange, STORED);
      return answers.answerPrepared(exchange);
    }
    this.queue.push(exchange, this.pipeline.cursor, exchange.journaledMs);
    answers.openTurn();
  }

  private turnEnded(): void {
    this.overload.turnEnded(this.pipeline.endMs);
    this.showQueue();
    this.awaitStored();
  }

  private showQueue(): void {
    const { counters } = this.answers;
    counters[WORKER.queue_tasks_now] = this.queue.depth;
    counters[WORKER.queue_bytes_now] = this.pipeline.journal.usedBytes;
  }

  /** Hands what is journaled to the writer. */
  private publish(): void {
    const { journal, cursor, endMs } = this.pipeline;
    if (!journal.publish()) return;
    this.ringBell();
    this.overload.handedOver(cursor, endMs);
  }

  /** Arms one wake-up for the next move of the stored cursor; a cursor that has moved is settled at once. */
  private awaitStored(): void {
    while (!this.waiting && this.queue.depth > 0) {
      const wake = this.pipeline.journal.waitForStored(this.storedSeen);
      if (wake === null) {
        this.settle();
      } else {
        this.waiting = true;
        wake.then(this.storedMoved);
      }
    }
  }

  /** Answers every task that the stored cursor has passed. */
  private settle(): void {
    const { queue, answers } = this;
    const { journal } = this.pipeline;
    this.storedSeen = journal.storedCursor();
    if (queue.depth === 0) return;
    const nowMs = monotonicMs();
    this.overload.stored(this.storedSeen, nowMs);
    while (queue.headIsSettled(this.storedSeen)) {
      const outcome = journal.outcome(queue.headCursor);
      const exchange = queue.shift();
      // A task answered 504 before was counted as unknown then.
      if (exchange.status === 504) {
        this.intake.countLate(exchange, outcome);
        continue;
      }
      this.intake.setSettled(exchange, outcome);
      answers.conclude(exchange, nowMs);
    }
    answers.publishSamples();
    this.showQueue();
  }

  /** A task that timed out is answered early; its lines stay in the journal and may still be stored. */
  expire(nowMs: number): void {
    // When all run slots were taken, what was journaled then waits for a later call.
    this.publish();
    this.expireOlder(nowMs, this.config.requestTimeoutMs, 'request');
    this.answers.publishSamples();
    this.answers.counters[WORKER.queue_head_age_ms_now] = this.queue.headAgeMs(nowMs);
    this.overload.show(nowMs);
  }

  expireAll(nowMs: number): void {
    this.expireOlder(nowMs, Number.NEGATIVE_INFINITY, 'drain');
  }

  private expireOlder(nowMs: number, timeoutMs: number, kind: 'request' | 'drain'): void {
    for (;;) {
      const exchange = this.queue.nextExpired(nowMs, timeoutMs);
      if (exchange === null) return;
      this.intake.setTimedOut(exchange, kind);
      // Not concluded: the queue holds the exchange until its lines are settled.
      this.answers.finish(exchange, nowMs);
    }
  }
}

export const acceptThreads = ((config) => config.workers) satisfies DispatcherModule['acceptThreads'];

export const requestThreads = (() => 0) satisfies DispatcherModule['requestThreads'];

export const queueCapacity = ((config) => config.queueTasks) satisfies DispatcherModule['queueCapacity'];

export const openDispatcher = (async (parts) =>
  new PoolWorker(parts, await parts.openPipeline())) satisfies DispatcherModule['openDispatcher'];
