/**
 * What one ingest worker does each turn of its event loop.
 *
 * During the turn, requests whose body is complete go through the pipeline and into the task queue. At its end
 * (`flush`) everything journaled is published at once, the writer's bell is rung once, and the answers that need
 * no storage are sent. When the writer moves the stored cursor, the tasks it passed are answered.
 */
import type { Bell } from '../base/bell.ts';
import { monotonicMs } from '../base/clock.ts';
import { type Control, DISK_OK, DRAINING } from '../base/control.ts';
import type { Pipeline, PipelineCode } from '../pipeline.ts';
import * as pipeline from '../pipeline.ts';
import { WORKER } from '../telemetry/counters.ts';
import { type Histograms, WORKER_HISTOGRAMS } from '../telemetry/histogram.ts';
import type { EventRingProducer } from '../telemetry/ring-buffer.ts';
import {
  headerLine,
  itemsProblem,
  malformedProblem,
  type Problem,
  partialBody,
  type QueueFacts,
  send,
  setAccepted,
  setProblem,
  unavailableProblem,
} from '../transport/answer.ts';
import type { Exchange, ExchangePool } from '../transport/exchange.ts';
import { RateLimitHeaders } from '../transport/rate-limit-headers.ts';
import { REFUSED, STORED } from '../writer/journal-ring.ts';
import { TaskQueue } from './task-queue.ts';

export interface IngestLoopConfig extends pipeline.PipelineLimits {
  readonly ack: 'received' | 'written' | 'synced';
  readonly requestBurst: number;
  readonly queueTasks: number;
  readonly requestTimeoutMs: number;
}

type UnavailableReason =
  | 'queue_full'
  | 'body_bytes_full'
  | 'journal_full'
  | 'disk_failed'
  | 'draining'
  | 'limiter_busy';

const NS_PER_MS = 1e6;

const STATUS_SLOTS: Readonly<Record<number, number>> = Object.fromEntries(
  Object.entries(WORKER)
    .filter(([name]) => name.startsWith('requests_') && /\d{3}$/.test(name))
    .map(([name, slot]) => [name.slice(-3), slot]),
);

export class IngestLoop {
  readonly queue: TaskQueue<Exchange>;
  readonly counters: Float64Array;
  private readonly exchanges: ExchangePool;
  private readonly pipeline: Pipeline;
  private readonly bell: Bell;
  private readonly control: Control;
  private readonly events: EventRingProducer;
  private readonly histograms: Histograms;
  private readonly config: IngestLoopConfig;
  private readonly limitHeaders: RateLimitHeaders;
  private readonly outbox: Exchange[] = [];
  /** While true, the times below stand: reading a clock costs more than the turn's requests differ by. */
  private flushScheduled = false;
  private turnStartMs = 0;
  private receiptMs = 0;
  private waiting = false;
  private storedSeen = 0;
  private readonly flushTurn = (): void => this.flush();
  private readonly storedMoved = (): void => {
    this.waiting = false;
    this.settle();
    this.publish();
    this.awaitStored();
  };

  constructor(
    exchanges: ExchangePool,
    ingest: Pipeline,
    bell: Bell,
    control: Control,
    counters: Float64Array,
    events: EventRingProducer,
    histograms: Histograms,
    config: IngestLoopConfig,
  ) {
    this.exchanges = exchanges;
    this.pipeline = ingest;
    this.bell = bell;
    this.control = control;
    this.counters = counters;
    this.events = events;
    this.histograms = histograms;
    this.config = config;
    this.queue = new TaskQueue(config.queueTasks);
    this.limitHeaders = new RateLimitHeaders(config, config.ack === 'received' ? 202 : 200);
  }

  /** The process ends: new requests are refused and their connections closed. */
  get draining(): boolean {
    return this.control.life >= DRAINING;
  }

  get input(): Uint8Array {
    return this.pipeline.parser.input;
  }

  /** Tasks and answers not yet sent. */
  get pending(): number {
    return this.queue.depth + this.outbox.length;
  }

  /** Why nothing can be taken now, or null. Checked before a body is received and again when it is complete. */
  unavailableReason(): UnavailableReason | null {
    if (this.control.disk !== DISK_OK) return 'disk_failed';
    if (this.draining) return 'draining';
    return this.queue.isFull ? 'queue_full' : null;
  }

  /** Monotonic ms at which this turn saw its first request; when a request that comes now is said to start. */
  turnMs(): number {
    if (!this.flushScheduled) this.turnStartMs = monotonicMs();
    return this.turnStartMs;
  }

  /** Takes the complete body in `input[0, length)` through the pipeline. */
  admit(exchange: Exchange, length: number): void {
    this.counters[WORKER.decoded_bytes]! += length;
    this.histograms.record(WORKER_HISTOGRAMS.body_bytes, length);
    const reason = this.unavailableReason();
    if (reason !== null) return this.refuseUnavailable(exchange, reason);
    const { format, strict, clientKey, receivedMs } = exchange;
    if (!this.flushScheduled) this.receiptMs = Date.now();
    const code = this.pipeline.process(length, format, strict, clientKey, receivedMs, this.receiptMs);
    exchange.limitNs = this.pipeline.limitNs;
    exchange.parseNs = this.pipeline.parseNs;
    exchange.encodeNs = this.pipeline.encodeNs;
    exchange.clientHash = this.pipeline.limiter.clientHash;
    exchange.remaining = this.pipeline.remaining;
    if (code === pipeline.COMMITTED) this.enqueue(exchange);
    else this.refuse(exchange, code);
  }

  private enqueue(exchange: Exchange): void {
    const { parser, cursor, endMs } = this.pipeline;
    exchange.accepted = parser.columns.count;
    exchange.rejected = parser.rejected;
    exchange.journaledMs = endMs;
    this.histograms.record(WORKER_HISTOGRAMS.batch_metrics, parser.seen);
    if (exchange.rejected > 0) {
      exchange.body = partialBody(exchange.accepted, exchange.rejected, parser.errors());
      this.counters[WORKER.rejected_invalid_item]! += exchange.rejected;
    }
    if (this.config.ack === 'received') {
      this.counters[WORKER.metrics_accepted]! += exchange.accepted;
      setAccepted(exchange, 202, this.limitHeaders.acceptedHead(exchange.remaining));
      this.outbox.push(exchange);
    } else {
      this.queue.push(exchange, cursor, endMs);
    }
    this.scheduleFlush();
  }

  private refuse(exchange: Exchange, code: PipelineCode): void {
    const { parser, limiter } = this.pipeline;
    const { counters } = this;
    switch (code) {
      case pipeline.JOURNAL_FULL:
        return this.refuseUnavailable(exchange, 'journal_full');
      case pipeline.LIMITER_BUSY:
        return this.refuseUnavailable(exchange, 'limiter_busy');
      case pipeline.REQUESTS_LIMITED:
        counters[WORKER.limited_requests]! += 1;
        return this.answer(exchange, this.limitHeaders.problem('requests', limiter));
      case pipeline.METRICS_LIMITED:
        counters[WORKER.limited_metrics]! += parser.columns.count;
        counters[WORKER.rejected_rate_limited]! += parser.columns.count;
        return this.answer(exchange, this.limitHeaders.problem('metrics', limiter));
      case pipeline.MALFORMED:
        counters[WORKER.rejected_malformed]! += 1;
        return this.answer(exchange, malformedProblem(parser.failure()));
      case pipeline.BATCH_TOO_LARGE:
        counters[WORKER.rejected_too_large]! += 1;
        return this.answer(exchange, {
          status: 413,
          code: 'batch_too_large',
          detail: `Nothing was stored: a request may carry at most ${this.config.maxBatch} metrics. Send smaller batches.`,
          members: { limit: this.config.maxBatch },
        });
      case pipeline.BATCH_OVER_BURST:
        counters[WORKER.rejected_too_large]! += parser.columns.count;
        return this.answer(exchange, {
          status: 413,
          code: 'batch_over_burst',
          detail: `Nothing was stored: a batch may not exceed the burst of ${this.config.metricBurst} metrics. Send smaller batches.`,
          members: { limit: this.config.metricBurst },
        });
      case pipeline.STRICT_REFUSED:
        counters[WORKER.rejected_strict]! += parser.seen;
        return this.answer(exchange, itemsProblem('strict', parser.rejected, parser.errors()));
      default:
        counters[WORKER.rejected_invalid_item]! += parser.rejected;
        return this.answer(exchange, itemsProblem('no_valid_item', parser.rejected, parser.errors()));
    }
  }

  queueFacts(): QueueFacts {
    return { depth: this.queue.depth, capacity: this.queue.capacity };
  }

  refuseUnavailable(exchange: Exchange, reason: UnavailableReason): void {
    this.counters[WORKER[`unavailable_${reason}`]]! += 1;
    this.answer(exchange, unavailableProblem(reason, this.queueFacts(), this.draining));
  }

  answer(exchange: Exchange, problem: Problem): void {
    setProblem(exchange, problem);
    this.answerPrepared(exchange);
  }

  /** Sends at the end of the turn: a client that pipelines without reading is cut off instead of served. */
  answerPrepared(exchange: Exchange): void {
    this.outbox.push(exchange);
    this.scheduleFlush();
  }

  private scheduleFlush(): void {
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    setImmediate(this.flushTurn);
  }

  private flush(): void {
    this.flushScheduled = false;
    this.publish();
    const { outbox } = this;
    if (outbox.length > 0) {
      const nowMs = monotonicMs();
      for (let i = 0; i < outbox.length; i++) this.conclude(outbox[i]!, nowMs);
      outbox.length = 0;
      this.events.publish();
    }
    this.counters[WORKER.queue_tasks_now] = this.queue.depth;
    this.counters[WORKER.queue_bytes_now] = this.pipeline.journal.usedBytes;
    this.awaitStored();
  }

  /** Hands what is journaled to the writer. */
  private publish(): void {
    if (this.pipeline.journal.publish()) this.bell.ring();
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
    const { queue } = this;
    const { journal } = this.pipeline;
    this.storedSeen = journal.storedCursor();
    if (queue.depth === 0) return;
    const nowMs = monotonicMs();
    while (queue.headIsSettled(this.storedSeen)) {
      const outcome = journal.outcome(queue.headCursor);
      const exchange = queue.shift();
      if (outcome === STORED) this.settleStored(exchange, nowMs);
      else this.settleFailed(exchange, outcome === REFUSED, nowMs);
    }
    this.events.publish();
    this.counters[WORKER.queue_tasks_now] = queue.depth;
    this.counters[WORKER.queue_bytes_now] = journal.usedBytes;
  }

  private settleStored(exchange: Exchange, nowMs: number): void {
    // A task answered 504 before was counted as unknown then.
    if (exchange.status === 504) return;
    this.counters[WORKER.metrics_accepted]! += exchange.accepted;
    setAccepted(exchange, 200, this.limitHeaders.acceptedHead(exchange.remaining));
    this.conclude(exchange, nowMs);
  }

  private settleFailed(exchange: Exchange, refused: boolean, nowMs: number): void {
    if (exchange.status === 504) return;
    if (refused) {
      this.counters[WORKER.unavailable_disk_failed]! += 1;
      this.counters[WORKER.rejected_unavailable]! += exchange.accepted;
      setProblem(exchange, unavailableProblem('disk_failed', this.queueFacts(), this.draining));
    } else {
      this.setUnknown(exchange, 'The sync to disk failed after the metrics were written.');
    }
    this.conclude(exchange, nowMs);
  }

  private setUnknown(exchange: Exchange, cause: string): void {
    this.counters[WORKER.metrics_unknown]! += exchange.accepted;
    setProblem(exchange, {
      status: 504,
      code: 'not_confirmed',
      detail: `Whether the metrics are stored is unknown. ${cause}`,
      members: { reason: 'not_confirmed', metrics: exchange.accepted },
      lines: headerLine('Retry-After', 1),
    });
  }

  /** Answers 504 to every task that has waited too long; its lines stay in the journal and may still be stored. */
  expire(nowMs: number): void {
    // When all run slots were taken, what was journaled then waits for a later call.
    this.publish();
    for (;;) {
      const exchange = this.queue.nextExpired(nowMs, this.config.requestTimeoutMs);
      if (exchange === null) break;
      this.expireOne(exchange, nowMs);
    }
    this.events.publish();
    this.counters[WORKER.queue_head_age_ms_now] = this.queue.headAgeMs(nowMs);
  }

  /** Answers 504 to everything that waits: the process ends before storage confirms. */
  expireAll(nowMs: number): void {
    for (;;) {
      const exchange = this.queue.nextExpired(nowMs, Number.NEGATIVE_INFINITY);
      if (exchange === null) break;
      this.expireOne(exchange, nowMs);
    }
  }

  private expireOne(exchange: Exchange, nowMs: number): void {
    this.setUnknown(exchange, `Storage did not confirm within ${this.config.requestTimeoutMs} ms.`);
    this.finish(exchange, nowMs);
  }

  /** Finishes an exchange that neither queue nor receiver holds any more, and frees it for the next request. */
  private conclude(exchange: Exchange, nowMs: number): void {
    if (!exchange.open) return;
    this.finish(exchange, nowMs);
    this.exchanges.give(exchange);
  }

  /** Counts and sends a prepared answer; every request that was received ends here or as aborted. */
  private finish(exchange: Exchange, nowMs: number): void {
    if (!exchange.open) return;
    this.counters[STATUS_SLOTS[exchange.status]!]! += 1;
    if (exchange.measured) this.sample(exchange, nowMs);
    // Its client then sends the next request elsewhere, instead of into a connection about to end.
    if (this.draining) exchange.close = true;
    send(exchange);
  }

  private sample(exchange: Exchange, nowMs: number): void {
    const { receivedMs, startedMs, journaledMs } = exchange;
    const received = receivedMs > 0 ? receivedMs : nowMs;
    this.events.record(
      exchange.clientHash,
      exchange.status,
      exchange.accepted,
      (received - startedMs) * NS_PER_MS,
      exchange.limitNs,
      exchange.parseNs,
      exchange.encodeNs,
      journaledMs > 0 ? (nowMs - journaledMs) * NS_PER_MS : 0,
      (nowMs - startedMs) * NS_PER_MS,
    );
  }
}
