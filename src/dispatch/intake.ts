/**
 * From a complete body to a journaled request or a prepared refusal, and from an outcome to a prepared answer: what
 * every dispatcher does alike, in whichever thread it does it.
 */
import { type Control, DRAINING } from '../base/control.ts';
import type { Config } from '../config/load.ts';
import { limiterConfigOf } from '../config/slices.ts';
import type { Exchange } from '../http/exchange.ts';
import { RateLimitHeaders } from '../http/rate-limit-headers.ts';
import {
  headerLine,
  itemsProblem,
  malformedProblem,
  type Problem,
  partialBody,
  type QueueFacts,
  setAccepted,
  setProblem,
  unavailableProblem,
} from '../http/response.ts';
import { type Outcome, REFUSED, STORED } from '../journal/journal.ts';
import type { BodyFormat } from '../parser/parser.ts';
import type { Pipeline, PipelineCode } from '../pipeline.ts';
import * as pipeline from '../pipeline.ts';
import { LATE_OUTCOMES, METRIC_TYPES, WORKER } from '../telemetry/counters.ts';
import { type Histograms, WORKER_HISTOGRAMS } from '../telemetry/histogram.ts';
import { countTypes } from '../telemetry/metric-types.ts';

/** What a 504 at the end of a drain gives as its cause. */
export const ENDING = 'The server is ending.';

/** The slot of each `Outcome`, by its code. */
const LATE_SLOTS = LATE_OUTCOMES.map((outcome) => WORKER[`late_${outcome}`]) as [number, number, number];

export class Intake {
  readonly pipeline: Pipeline;
  readonly counters: Float64Array;
  private readonly histograms: Histograms;
  private readonly config: Config;
  private readonly queue: QueueFacts;
  private readonly control: Control;
  private readonly limitHeaders: RateLimitHeaders;

  /** @param queue what a 503 tells of the queue */
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

  get input(): Uint8Array {
    return this.pipeline.parser.input;
  }

  /** A body is complete, whether or not it is taken. */
  count(length: number): void {
    this.counters[WORKER.decoded_bytes]! += length;
    this.histograms.record(WORKER_HISTOGRAMS.body_bytes, length);
  }

  /**
   * Takes the body in `input[0, length)` through the pipeline.
   * @param startMs monotonic ms now
   * @param receiptMs Unix ms, the timestamp of metrics that have none
   * @returns true when its lines are in the journal up to `pipeline.cursor`; false when `exchange` holds a refusal
   */
  take(exchange: Exchange, length: number, startMs: number, receiptMs: number): boolean {
    const ingest = this.pipeline;
    const { format, strict, clientKey } = exchange;
    const code = ingest.process(length, format, strict, clientKey, startMs, receiptMs);
    exchange.limitNs = ingest.limitNs;
    exchange.parseNs = ingest.parseNs;
    exchange.encodeNs = ingest.encodeNs;
    exchange.clientHash = ingest.limiter.clientHash;
    exchange.remaining = ingest.remaining;
    if (isWellFormed(code)) this.counters[WORKER.parsed_json_ok + 2 * format]! += 1;
    if (code !== pipeline.COMMITTED) {
      setProblem(exchange, this.refusal(code, format));
      return false;
    }
    const { parser } = ingest;
    exchange.accepted = parser.columns.count;
    countTypes(parser.columns.type, exchange.accepted, exchange.typeCounts);
    exchange.rejected = parser.rejected;
    exchange.journaledMs = ingest.endMs;
    this.histograms.record(WORKER_HISTOGRAMS.batch_metrics, parser.seen);
    if (exchange.rejected > 0) {
      exchange.body = partialBody(exchange.accepted, exchange.rejected, parser.errors());
      this.counters[WORKER.rejected_invalid_item]! += exchange.rejected;
    }
    return true;
  }

  private refusal(code: PipelineCode, format: BodyFormat): Problem {
    const { parser, limiter } = this.pipeline;
    const { counters } = this;
    switch (code) {
      case pipeline.JOURNAL_FULL:
        return this.unavailable('journal_full');
      case pipeline.LIMITER_BUSY:
        return this.unavailable('limiter_busy');
      case pipeline.REQUESTS_LIMITED:
        counters[WORKER.limited_requests]! += 1;
        return this.limitHeaders.problem('requests', limiter);
      case pipeline.METRICS_LIMITED:
        counters[WORKER.limited_metrics]! += parser.columns.count;
        counters[WORKER.rejected_rate_limited]! += parser.columns.count;
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
        counters[WORKER.rejected_too_large]! += parser.columns.count;
        return {
          status: 413,
          code: 'batch_over_burst',
          detail: `Nothing was stored: a batch may not exceed the burst of ${this.config.metricRateBurst} metrics. Send smaller batches.`,
          members: { limit: this.config.metricRateBurst },
        };
      case pipeline.STRICT_REFUSED:
        counters[WORKER.rejected_strict]! += parser.seen;
        return itemsProblem('strict', parser.rejected, parser.errors());
      default:
        counters[WORKER.rejected_invalid_item]! += parser.rejected;
        return itemsProblem('no_valid_item', parser.rejected, parser.errors());
    }
  }

  private unavailable(reason: 'journal_full' | 'limiter_busy' | 'disk_failed'): Problem {
    this.counters[WORKER[`unavailable_${reason}`]]! += 1;
    return unavailableProblem(reason, this.queue, this.control.lifecycle >= DRAINING);
  }

  /** Prepares the answer to a request whose lines are settled, or under `received` journaled. */
  setSettled(exchange: Exchange, outcome: Outcome): void {
    const { counters } = this;
    if (outcome === STORED) {
      counters[WORKER.metrics_accepted]! += exchange.accepted;
      countIngested(counters, exchange);
      const status = this.config.ack === 'received' ? 202 : 200;
      setAccepted(exchange, status, this.limitHeaders.acceptedHead(exchange.remaining));
    } else if (outcome === REFUSED) {
      counters[WORKER.rejected_unavailable]! += exchange.accepted;
      setProblem(exchange, this.unavailable('disk_failed'));
    } else {
      this.setUnknown(exchange, 'The sync to disk failed after the metrics were written.');
    }
  }

  /** Prepares the 504 of a request that storage has not confirmed in time, or not before the end of a drain. */
  setTimedOut(exchange: Exchange, kind: 'request' | 'drain' = 'request'): void {
    this.counters[WORKER[`timeouts_${kind}`]]! += 1;
    const { requestTimeoutMs } = this.config;
    this.setUnknown(
      exchange,
      kind === 'drain' ? ENDING : `Storage did not confirm within ${requestTimeoutMs} ms.`,
    );
  }

  /** Counts what became of a request that was answered 504 before. */
  countLate(exchange: Exchange, outcome: Outcome): void {
    this.counters[LATE_SLOTS[outcome]]! += exchange.accepted;
  }

  private setUnknown(exchange: Exchange, cause: string): void {
    this.counters[WORKER.metrics_unknown]! += exchange.accepted;
    setNotConfirmed(exchange, cause);
  }
}

/** True when the parser found the body sound, whatever became of it then. */
function isWellFormed(code: PipelineCode): boolean {
  switch (code) {
    case pipeline.COMMITTED:
    case pipeline.NO_VALID_ITEM:
    case pipeline.STRICT_REFUSED:
    case pipeline.BATCH_OVER_BURST:
    case pipeline.METRICS_LIMITED:
      return true;
    default:
      return false;
  }
}

function countIngested(counters: Float64Array, { clientClass, typeCounts }: Exchange): void {
  const first = WORKER.ingested_0_gauge + METRIC_TYPES.length * clientClass;
  for (let type = 0; type < METRIC_TYPES.length; type++) counters[first + type]! += typeCounts[type]!;
}

/** Prepares a 504: storage has not confirmed, for the reason given. */
export function setNotConfirmed(exchange: Exchange, cause: string): void {
  setProblem(exchange, {
    status: 504,
    code: 'not_confirmed',
    detail: `Whether the metrics are stored is unknown. ${cause}`,
    members: { reason: 'not_confirmed', metrics: exchange.accepted },
    lines: headerLine('Retry-After', 1),
  });
}
