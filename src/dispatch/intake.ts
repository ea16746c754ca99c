/**
 * Turns pipeline codes and storage outcomes into responses and counters. Every dispatcher uses it, in whichever thread
 * it serves requests.
 */
import type { QueueFacts } from '../admission/gate.ts';
import { type Control, DRAINING } from '../base/control.ts';
import type { Config } from '../config/load.ts';
import { limiterConfigOf } from '../config/slices.ts';
import type { Exchange } from '../http/exchange.ts';
import {
  KEY_IN_FLIGHT_PROBLEM,
  KEY_INVALID_PROBLEM,
  KEY_REUSED_PROBLEM,
  KEYS_OFF_PROBLEM,
  REPLAYED_LINE,
} from '../http/idempotency-key.ts';
import { RateLimitHeaders } from '../http/rate-limit-headers.ts';
import {
  headerLine,
  itemsProblem,
  malformedProblem,
  type Problem,
  partialBody,
  prepareAccepted,
  prepareProblem,
  prepareUnavailable,
} from '../http/response.ts';
import { type Outcome, REFUSED, STORED, UNKNOWN } from '../journal/journal.ts';
import type { BodyFormat } from '../parser/parser.ts';
import type { Pipeline, PipelineCode } from '../pipeline.ts';
import * as pipeline from '../pipeline.ts';
import { LATE_OUTCOMES, METRIC_TYPES, WORKER } from '../telemetry/counters.ts';
import { type Histograms, WORKER_HISTOGRAMS } from '../telemetry/histogram.ts';
import type { CountedReason } from '../telemetry/unavailable.ts';

/** Cause of a 504 at the end of a drain. */
export const ENDING = 'The server is ending.';

/** The slot of each `Outcome`, by its code. */
const LATE_SLOTS = LATE_OUTCOMES.map((outcome) => WORKER[`late_${outcome}`]) as [number, number, number];

export class Intake {
  private readonly pipeline: Pipeline;
  private readonly counters: Float64Array;
  private readonly histograms: Histograms;
  private readonly config: Config;
  private readonly queue: QueueFacts;
  private readonly control: Control;
  private readonly limitHeaders: RateLimitHeaders;

  /** @param queue what a 503 says about the queue */
  constructor(
    ingest: Pipeline,
    counters: Float64Array,
    histograms: Histograms,
    config: Config,
    queue: QueueFacts,
    control: Control,
  ) {
    this.pipeline = ingest;
    this.counters = counters;
    this.histograms = histograms;
    this.config = config;
    this.queue = queue;
    this.control = control;
    this.limitHeaders = new RateLimitHeaders(limiterConfigOf(config), config.ack === 'received' ? 202 : 200);
  }

  /** Counts a complete body, whether or not it is admitted. */
  countBody(length: number): void {
    this.counters[WORKER.decoded_bytes]! += length;
    this.histograms.record(WORKER_HISTOGRAMS.body_bytes, length);
  }

  /**
   * Runs the pipeline; see there for the parameters.
   * @returns true when the metrics are in the journal up to `exchange.cursor`; false when `exchange` holds a response
   */
  process(exchange: Exchange, body: Uint8Array, nowMs: number, receiptMs: number): boolean {
    const { counters } = this;
    const { parser } = this.pipeline;
    const code = this.pipeline.process(exchange, body, nowMs, receiptMs);
    if (isWellFormed(code)) counters[WORKER.parsed_json_ok + 2 * exchange.format]! += 1;
    if (code === pipeline.REPLAYED) this.prepareReplay(exchange);
    else if (code !== pipeline.COMMITTED) this.prepareRefusal(exchange, code);
    if (code !== pipeline.COMMITTED) return false;
    parser.countTypes(exchange.typeCounts);
    this.histograms.record(WORKER_HISTOGRAMS.batch_metrics, parser.seen);
    if (exchange.rejected > 0) {
      exchange.body = partialBody(exchange.accepted, exchange.rejected, parser.errors());
      counters[WORKER.rejected_invalid_item]! += exchange.rejected;
    }
    return true;
  }

  /** The first response again: it depends on nothing but the body. */
  private prepareReplay(exchange: Exchange): void {
    const { parser } = this.pipeline;
    const { accepted, rejected } = parser;
    exchange.rejected = rejected;
    if (rejected > 0) exchange.body = partialBody(accepted, rejected, parser.errors());
    this.prepareSuccess(exchange, accepted);
    exchange.head += REPLAYED_LINE;
  }

  private prepareSuccess(exchange: Exchange, accepted: number): void {
    const status = this.config.ack === 'received' ? 202 : 200;
    prepareAccepted(exchange, status, accepted, this.limitHeaders.acceptedHead(exchange.remaining));
  }

  private prepareRefusal(exchange: Exchange, code: PipelineCode): void {
    if (code === pipeline.JOURNAL_FULL) this.prepareUnavailable(exchange, 'journal_full');
    else if (code === pipeline.LIMITER_BUSY) this.prepareUnavailable(exchange, 'limiter_busy');
    else if (code === pipeline.KEYS_FULL) this.prepareUnavailable(exchange, 'idempotency_full');
    else if (code === pipeline.KEYS_FAILED) this.prepareUnavailable(exchange, 'disk_failed');
    else prepareProblem(exchange, this.problemOf(code, exchange.format));
  }

  private problemOf(code: PipelineCode, format: BodyFormat): Problem {
    const { parser, limiter } = this.pipeline;
    const { counters } = this;
    switch (code) {
      case pipeline.REQUESTS_LIMITED:
        counters[WORKER.limited_requests]! += 1;
        return this.limitHeaders.problem('requests', limiter);
      case pipeline.METRICS_LIMITED:
        counters[WORKER.limited_metrics]! += parser.accepted;
        counters[WORKER.rejected_rate_limited]! += parser.accepted;
        return this.limitHeaders.problem('metrics', limiter);
      case pipeline.MALFORMED:
        counters[WORKER.rejected_malformed]! += 1;
        counters[WORKER.parsed_json_failed + 2 * format]! += 1;
        return malformedProblem(parser.failure());
      case pipeline.BATCH_TOO_LARGE:
        counters[WORKER.rejected_too_large]! += 1;
        return {
          status: 413,
          code: 'batch_too_large',
          detail: `Nothing was stored: a request may carry at most ${this.config.maxBatch} metrics. Send smaller batches.`,
          members: { limit: this.config.maxBatch },
        };
      case pipeline.BATCH_OVER_BURST:
        counters[WORKER.rejected_too_large]! += parser.accepted;
        return {
          status: 413,
          code: 'batch_over_burst',
          detail: `Nothing was stored: a batch may not exceed the burst of ${this.config.metricRateBurst} metrics. Send smaller batches.`,
          members: { limit: this.config.metricRateBurst },
        };
      case pipeline.KEY_IN_FLIGHT:
      case pipeline.KEY_REUSED:
        counters[WORKER.rejected_idempotency]! += parser.accepted;
        return code === pipeline.KEY_REUSED ? KEY_REUSED_PROBLEM : KEY_IN_FLIGHT_PROBLEM;
      case pipeline.KEY_INVALID:
      case pipeline.KEYS_OFF:
        counters[WORKER.rejected_malformed]! += 1;
        return code === pipeline.KEYS_OFF ? KEYS_OFF_PROBLEM : KEY_INVALID_PROBLEM;
      case pipeline.STRICT_REFUSED:
        counters[WORKER.rejected_strict]! += parser.seen;
        return itemsProblem('strict', parser.rejected, parser.errors());
      default:
        counters[WORKER.rejected_invalid_item]! += parser.rejected;
        return itemsProblem('no_valid_item', parser.rejected, parser.errors());
    }
  }

  private prepareUnavailable(exchange: Exchange, reason: CountedReason): void {
    const isDraining = this.control.lifecycle >= DRAINING;
    prepareUnavailable(exchange, this.counters, reason, this.queue, isDraining);
  }

  /** Prepares the response to a request whose lines are settled, or under `received` journaled. */
  prepareSettled(exchange: Exchange, outcome: Outcome): void {
    const { counters } = this;
    this.settleKey(exchange, outcome);
    if (outcome === STORED) {
      counters[WORKER.metrics_accepted]! += exchange.accepted;
      countIngested(counters, exchange);
      this.prepareSuccess(exchange, exchange.accepted);
    } else if (outcome === REFUSED) {
      counters[WORKER.rejected_unavailable]! += exchange.accepted;
      this.prepareUnavailable(exchange, 'disk_failed');
    } else {
      this.prepareUnknown(exchange, 'The sync to disk failed after the metrics were written.');
    }
  }

  /** Prepares the 504 of a request that storage did not confirm in time, or before the end of a drain. */
  prepareTimedOut(exchange: Exchange, kind: 'request' | 'drain' = 'request'): void {
    this.counters[WORKER[`timeouts_${kind}`]]! += 1;
    const { requestTimeoutMs } = this.config;
    this.prepareUnknown(
      exchange,
      kind === 'drain' ? ENDING : `Storage did not confirm within ${requestTimeoutMs} ms.`,
    );
  }

  /** Counts the outcome of a request that has got 504 already. */
  countLate(exchange: Exchange, outcome: Outcome): void {
    this.settleKey(exchange, outcome);
    this.counters[LATE_SLOTS[outcome]]! += exchange.accepted;
  }

  /** If the outcome is unknown, the key stays in flight: the process ends, and the next start finds it or not. */
  private settleKey(exchange: Exchange, outcome: Outcome): void {
    if (exchange.keyEntry < 0 || outcome === UNKNOWN) return;
    this.pipeline.settleKey(exchange, outcome === STORED);
  }

  private prepareUnknown(exchange: Exchange, cause: string): void {
    this.counters[WORKER.metrics_unknown]! += exchange.accepted;
    prepareNotConfirmed(exchange, cause);
  }
}

/** True when the parser found the body well-formed, whatever happened next. */
function isWellFormed(code: PipelineCode): boolean {
  switch (code) {
    case pipeline.COMMITTED:
    case pipeline.NO_VALID_ITEM:
    case pipeline.STRICT_REFUSED:
    case pipeline.BATCH_OVER_BURST:
    case pipeline.METRICS_LIMITED:
    case pipeline.REPLAYED:
    case pipeline.KEY_IN_FLIGHT:
    case pipeline.KEY_REUSED:
    case pipeline.KEYS_FULL:
    case pipeline.KEYS_FAILED:
      return true;
    default:
      return false;
  }
}

function countIngested(counters: Float64Array, { clientClass, typeCounts }: Exchange): void {
  const first = WORKER.ingested_0_gauge + METRIC_TYPES.length * clientClass;
  for (let type = 0; type < METRIC_TYPES.length; type++) counters[first + type]! += typeCounts[type]!;
}

/** Prepares a 504: storage did not confirm, for the cause given. */
export function prepareNotConfirmed(exchange: Exchange, cause: string): void {
  prepareProblem(exchange, {
    status: 504,
    code: 'not_confirmed',
    detail: `Whether the metrics are stored is unknown. ${cause}`,
    members: { reason: 'not_confirmed', metrics: exchange.accepted },
    lines: headerLine('Retry-After', 1),
  });
}
