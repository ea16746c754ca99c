/**
 * The fixed worker pool: each of N threads serves the connections it owns, from accept to answer, and waits for
 * nothing.
 *
 * During a turn of a worker's event loop, each complete body goes through the pipeline and into the worker's bounded
 * task queue. The end of the turn sends the responses that need no storage. Once a turn brings no request, or after a
 * millisecond, the worker publishes everything it journaled, and rings the writer's bell once. When the writer moves the
 * stored cursor, the worker answers the tasks that the cursor has passed. `AdmissionControl` refuses before the bounds
 * are reached, by the delay it measures.
 */
import { AdmissionControl } from '../admission/control.ts';
import { Gate } from '../admission/gate.ts';
import { WriterCost } from '../admission/writer-cost.ts';
import type { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import type { Config } from '../config/load.ts';
import type { Exchange } from '../http/exchange.ts';
import { Outbox } from '../http/outbox.ts';
import { Turn } from '../http/turn.ts';
import { type Journal, STORED } from '../journal/journal.ts';
import type { Pipeline } from '../pipeline.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Dispatcher, DispatcherModule, DispatcherParts } from './dispatcher.ts';
import { Intake } from './intake.ts';
import { TaskQueue } from './task-queue.ts';

/** A batch that grows in every turn is published after so long. */
const GATHER_MS = 1;

class PoolWorker implements Dispatcher {
  readonly gate: Gate;
  readonly outbox: Outbox;
  private readonly config: Config;
  private readonly counters: Float64Array;
  private readonly bell: Bell;
  private readonly intake: Intake;
  private readonly journal: Journal;
  private readonly queue: TaskQueue<Exchange>;
  private readonly admission: AdmissionControl;
  private readonly turn: Turn;
  /** Of the last request that the pipeline processed: its end, and the cursor of the last one journaled. */
  private processedMs = 0;
  private cursor = 0;
  /** Completion of the first request of the batch that gathers, or 0; whether this turn has added to it. */
  private gatheredFromMs = 0;
  private hasGrown = false;
  private isWaiting = false;
  private storedSeen = 0;
  private readonly storedMoved = (): void => {
    this.isWaiting = false;
    this.settle();
    this.awaitStored();
  };

  constructor(parts: DispatcherParts, pipeline: Pipeline) {
    const { config, control, breaker, bell, counters, histograms, recorder, writerCounters } = parts;
    this.config = config;
    this.counters = counters;
    this.bell = bell;
    this.journal = pipeline.journal;
    this.queue = new TaskQueue(Math.floor(config.queueTasks / config.workers));
    this.intake = new Intake(pipeline, counters, histograms, config, this.queue, control);
    this.admission = new AdmissionControl(
      config,
      pipeline.journal,
      pipeline.journal.cost ?? new WriterCost(writerCounters, config.workers),
    );
    this.gate = new Gate(control, breaker, this.queue, this.admission);
    this.turn = new Turn(() => this.endTurn());
    this.outbox = new Outbox(this.turn, this.gate, counters, recorder);
  }

  get pending(): number {
    return this.queue.depth;
  }

  admit(exchange: Exchange, body: Uint8Array): void {
    const { intake, outbox } = this;
    intake.countBody(body.length);
    const reason = this.gate.atBody(exchange.receivedMs);
    if (reason !== null) return outbox.enqueueUnavailable(exchange, reason);
    const isJournaled = intake.process(exchange, body, exchange.receivedMs, this.turn.unixMs());
    this.processedMs = exchange.processedMs;
    if (!isJournaled) {
      this.gate.refusedLater(exchange.receivedMs);
      return outbox.enqueue(exchange);
    }
    this.cursor = exchange.cursor;
    this.hasGrown = true;
    if (this.gatheredFromMs === 0) this.gatheredFromMs = exchange.receivedMs;
    if (this.config.ack === 'received') {
      intake.prepareSettled(exchange, STORED);
      return outbox.enqueue(exchange);
    }
    this.queue.push(exchange, exchange.cursor, exchange.journaledMs);
    this.turn.open();
  }

  private endTurn(): void {
    if (!this.gathers()) this.publish();
    this.outbox.flush();
    this.admission.turnEnded(this.processedMs);
    this.updateGauges();
    this.awaitStored();
  }

  /**
   * True while the next turn may add to the batch: a commit for all requests that have arrived costs less than one for
   * each turn. A turn costs microseconds, and one without a request ends the batch.
   */
  private gathers(): boolean {
    const gathers = this.hasGrown && this.processedMs - this.gatheredFromMs < GATHER_MS;
    this.hasGrown = false;
    if (gathers) this.turn.open();
    else this.gatheredFromMs = 0;
    return gathers;
  }

  private updateGauges(): void {
    this.counters[WORKER.queue_tasks_now] = this.queue.depth;
    this.counters[WORKER.queue_bytes_now] = this.journal.usedBytes;
  }

  /** Publishes journaled lines to the writer. */
  private publish(): void {
    if (!this.journal.publish()) return;
    this.bell.ring();
    this.admission.published(this.cursor, this.processedMs);
  }

  /** Arms one wake-up for the next move of the stored cursor; settles at once if it has moved already. */
  private awaitStored(): void {
    while (!this.isWaiting && this.queue.depth > 0) {
      const wake = this.journal.waitForStored(this.storedSeen);
      if (wake === null) {
        this.settle();
      } else {
        this.isWaiting = true;
        wake.then(this.storedMoved);
      }
    }
  }

  /** Answers every task that the stored cursor has passed, and publishes what found no run slot before. */
  private settle(): void {
    this.storedSeen = this.journal.storedCursor();
    if (this.queue.depth > 0) this.answerSettled();
    // The end of a turn publishes a batch that gathers.
    if (this.gatheredFromMs === 0) this.publish();
  }

  private answerSettled(): void {
    const { queue, outbox, journal } = this;
    const nowMs = monotonicMs();
    this.admission.stored(this.storedSeen, nowMs);
    while (queue.headIsSettled(this.storedSeen)) {
      const outcome = journal.outcome(queue.headCursor);
      const exchange = queue.shift();
      if (exchange.status === 504) {
        // Answered when it timed out, and counted as unknown then.
        this.intake.countLate(exchange, outcome);
        continue;
      }
      this.intake.prepareSettled(exchange, outcome);
      if (outbox.send(exchange, nowMs)) exchange.release();
    }
    outbox.publishSamples();
    this.updateGauges();
  }

  expire(nowMs: number): void {
    // After a pause of this thread a timer can come before the wake-up for lines that were stored in time.
    this.settle();
    // Publishing fails while every run slot is in use, so try again what an earlier turn could not publish.
    this.publish();
    this.expireOlder(nowMs, this.config.requestTimeoutMs, 'request');
    this.outbox.publishSamples();
    this.counters[WORKER.queue_head_age_ms_now] = this.queue.headAgeMs(nowMs);
    this.admission.updateGauges(this.counters, nowMs);
  }

  expireAll(nowMs: number): void {
    this.settle();
    this.expireOlder(nowMs, Number.NEGATIVE_INFINITY, 'drain');
  }

  /** A task that timed out is answered early; its lines stay in the journal and may still be stored. */
  private expireOlder(nowMs: number, timeoutMs: number, kind: 'request' | 'drain'): void {
    for (;;) {
      const exchange = this.queue.nextExpired(nowMs, timeoutMs);
      if (exchange === null) return;
      this.intake.prepareTimedOut(exchange, kind);
      // Not released: the queue holds the exchange until its lines are settled.
      this.outbox.send(exchange, nowMs);
    }
  }
}

export const acceptThreads = ((config) => config.workers) satisfies DispatcherModule['acceptThreads'];

export const requestThreads = (() => 0) satisfies DispatcherModule['requestThreads'];

export const queueCapacity = ((config) => config.queueTasks) satisfies DispatcherModule['queueCapacity'];

export const openDispatcher = (async (parts) =>
  new PoolWorker(parts, await parts.openPipeline())) satisfies DispatcherModule['openDispatcher'];
