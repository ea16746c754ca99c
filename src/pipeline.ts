/**
 * A request's whole way: body bytes → journal room → rate limit → parse → metric limit → encode → commit.
 *
 * The file to read first. Everything here runs on the worker that owns the client's socket, start to end, without
 * waiting; what comes back is a code, and for COMMITTED the journal cursor to wait for.
 */
import { monotonicMs } from './base/clock.ts';
import { assert } from './base/errors.ts';
import { NS_PER_MS } from './base/units.ts';
import { encodedBodyBound, encodedBound, encodeLines } from './encoder/line-encoder.ts';
import { FULL, type Journal } from './journal/journal.ts';
import { ADMITTED, BUSY, type Limiter } from './limiter/limiter.ts';
import {
  type BodyFormat,
  PARSED,
  BATCH_TOO_LARGE as PARSER_BATCH_TOO_LARGE,
  type Parser,
} from './parser/parser.ts';

export const COMMITTED = 0;
export const JOURNAL_FULL = 1;
export const LIMITER_BUSY = 2;
export const REQUESTS_LIMITED = 3;
export const MALFORMED = 4;
export const BATCH_TOO_LARGE = 5;
export const BATCH_OVER_BURST = 6;
export const NO_VALID_ITEM = 7;
export const STRICT_REFUSED = 8;
export const METRICS_LIMITED = 9;
export type PipelineCode =
  | typeof COMMITTED
  | typeof JOURNAL_FULL
  | typeof LIMITER_BUSY
  | typeof REQUESTS_LIMITED
  | typeof MALFORMED
  | typeof BATCH_TOO_LARGE
  | typeof BATCH_OVER_BURST
  | typeof NO_VALID_ITEM
  | typeof STRICT_REFUSED
  | typeof METRICS_LIMITED;

export interface PipelineLimits {
  readonly maxBatch: number;
  /** 0: the limit is off. */
  readonly requestRate: number;
  readonly metricRate: number;
  readonly metricBurst: number;
}

export class Pipeline {
  readonly parser: Parser;
  readonly limiter: Limiter;
  readonly journal: Journal;
  /** Of the last COMMITTED request: settled when the journal's stored cursor passes this. */
  cursor = 0;
  /** Of the last request: monotonic ms at the end of `process`, and what its stages took. */
  endMs = 0;
  limitNs = 0;
  parseNs = 0;
  encodeNs = 0;
  /** Request tokens the client had left; -1 while no request limit is on. */
  remaining = -1;
  private readonly limits: PipelineLimits;
  private readonly limitsRequests: boolean;
  private readonly limitsMetrics: boolean;

  constructor(parser: Parser, limiter: Limiter, journal: Journal, limits: PipelineLimits) {
    this.parser = parser;
    this.limiter = limiter;
    this.journal = journal;
    this.limits = limits;
    this.limitsRequests = limits.requestRate > 0;
    this.limitsMetrics = limits.metricRate > 0;
  }

  /**
   * Takes the body in `parser.input[0, length)` all the way into the journal, or nowhere.
   * @param clientKey what the limits know this client by
   * @param startMs monotonic ms now  @param receiptMs Unix ms, the timestamp of metrics that have none
   */
  process(
    length: number,
    format: BodyFormat,
    strict: boolean,
    clientKey: Uint8Array,
    startMs: number,
    receiptMs: number,
  ): PipelineCode {
    this.limitNs = 0;
    this.parseNs = 0;
    this.encodeNs = 0;
    this.endMs = startMs;
    const bound = encodedBodyBound(length, this.limits.maxBatch);
    // Room for the worst case is asked for first, so that overload is answered before any parsing.
    const offset = this.journal.claim(bound);
    if (offset === FULL) return JOURNAL_FULL;
    if (this.limitsRequests || this.limitsMetrics) {
      const verdict = this.limiter.chargeRequest(clientKey, clientKey.length, startMs);
      this.endMs = monotonicMs();
      this.limitNs = (this.endMs - startMs) * NS_PER_MS;
      if (this.limitsRequests) this.remaining = this.limiter.remaining;
      if (verdict !== ADMITTED) return verdict === BUSY ? LIMITER_BUSY : REQUESTS_LIMITED;
    }
    const limitedMs = this.endMs;
    const parsed = this.parser.parse(length, format);
    this.endMs = monotonicMs();
    this.parseNs = (this.endMs - limitedMs) * NS_PER_MS;
    if (parsed !== PARSED) return parsed === PARSER_BATCH_TOO_LARGE ? BATCH_TOO_LARGE : MALFORMED;
    const { count } = this.parser.columns;
    if (count === 0) return NO_VALID_ITEM;
    if (strict && this.parser.rejected > 0) return STRICT_REFUSED;
    if (this.limitsMetrics) {
      if (count > this.limits.metricBurst) return BATCH_OVER_BURST;
      const verdict = this.limiter.chargeMetrics(count, startMs);
      if (verdict !== ADMITTED) return verdict === BUSY ? LIMITER_BUSY : METRICS_LIMITED;
    }
    return this.encode(offset, length, bound, receiptMs);
  }

  private encode(offset: number, length: number, bound: number, receiptMs: number): PipelineCode {
    const { parser, journal } = this;
    const { columns } = parser;
    assert(encodedBound(columns, length) <= bound, 'encoded lines fit the claimed room');
    const parsedMs = this.endMs;
    const end = encodeLines(columns, receiptMs, journal.bytes, journal.view, offset);
    assert(end - offset <= bound, 'encoder stayed within the claimed room');
    this.cursor = journal.commit(end, columns.count);
    this.endMs = monotonicMs();
    this.encodeNs = (this.endMs - parsedMs) * NS_PER_MS;
    return COMMITTED;
  }
}
