/**
 * The path of one POST. Read this file first.
 *
 * ```
 *  client                                                                     answer
 *    │ socket                                                                    ▲
 *    ▼                                                                           │
 *  http/routes.ts       framing, path, method        404 405 400 431             │
 *  http/receiver.ts     token, type, size            401 415 413                 │
 *    │ admission/gate.ts   atHeaders                 503                         │
 *    │ body chunks                                   408 413 503                 │
 *    ▼                                                                           │
 *  dispatch/worker-pool.ts  admit                                       http/outbox.ts
 *    │ admission/gate.ts   atBody                    503                         ▲
 *    │ dispatch/intake.ts  result → response         ──── refused ──────────────►│
 *    ▼                                                                           │
 *  Pipeline.process (this file)                                                  │
 *    │ journal.claim       room for the worst case   503                dispatch/intake.ts
 *    │ limiter             requests of this client   429 503               outcome → response
 *    │ parser.parse        bytes → metrics           400 413                     ▲
 *    │ keys.claim          only with a key           409 422 200                 │
 *    │ limiter             metrics of this client    429 413                     │
 *    │ parser.encode       metrics → lines in the journal             dispatch/worker-pool.ts
 *    ▼                                                                    task queue, in order
 *  journal/  ────► writer/  one commit for all that waits ────► storage/         ▲
 *                     └── stored cursor and outcomes ────────────────────────────┘
 * ```
 * The thread that owns the client's socket runs everything down to the journal without waiting. The writer thread
 * stores, then moves the stored cursor; the first thread answers every request that the cursor has passed. The
 * dispatchers of earlier phases replace worker-pool.ts and keep the rest.
 */
import { monotonicMs } from './base/clock.ts';
import { assert } from './base/errors.ts';
import { NS_PER_MS } from './base/units.ts';
import { encodedBodyBound } from './encoder/line-encoder.ts';
import {
  CLAIMED,
  IN_FLIGHT_ELSEWHERE,
  INVALID_KEY,
  NO_ENTRY,
  NO_SECRET,
  REPLAY,
  REUSED,
} from './idempotency/codes.ts';
import type { RequestKeys } from './idempotency/request-keys.ts';
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
/** A request with this key and body is stored: the caller repeats its answer. */
export const REPLAYED = 10;
export const KEY_IN_FLIGHT = 11;
export const KEY_REUSED = 12;
export const KEY_INVALID = 13;
export const KEYS_OFF = 14;
export const KEYS_FULL = 15;
/** The secret that keys are hashed with cannot be stored. */
export const KEYS_FAILED = 16;
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
  | typeof METRICS_LIMITED
  | typeof REPLAYED
  | typeof KEY_IN_FLIGHT
  | typeof KEY_REUSED
  | typeof KEY_INVALID
  | typeof KEYS_OFF
  | typeof KEYS_FULL
  | typeof KEYS_FAILED;

/** By the code of a claim that did not succeed. */
const KEY_CODES = {
  [REPLAY]: REPLAYED,
  [IN_FLIGHT_ELSEWHERE]: KEY_IN_FLIGHT,
  [REUSED]: KEY_REUSED,
  [NO_ENTRY]: KEYS_FULL,
  [NO_SECRET]: KEYS_FAILED,
} as const;

export interface PipelineLimits {
  readonly maxBatch: number;
  /** Requests per second of one client; 0: not limited. */
  readonly requestRate: number;
  /** Metrics per second of one client; 0: not limited. */
  readonly metricRate: number;
  readonly metricBurst: number;
  /** Repeated bodies are stored once, if each of their metrics has a timestamp. */
  readonly dedupsBodies: boolean;
}

/** A timestamp that no client may send: it marks metrics that have none. */
const NO_TIME_MS = 8.64e15 + 1;
const NO_TIME = Buffer.from(`{"timestamp":${NO_TIME_MS},`);

/** A request as the pipeline reads it, and the fields for its result. http/exchange.ts implements it. */
export interface PipelineRequest {
  readonly format: BodyFormat;
  /** One invalid item rejects the whole request. */
  readonly strict: boolean;
  /** Key of the client for the limits. */
  readonly clientKey: Uint8Array;
  /** The client's request limit was charged before, see http/compressed-charge.ts. */
  readonly isCharged: boolean;
  /** Idempotency key, '' for none, or INVALID_KEY. */
  readonly idempotencyKey: string;
  /** Entry of the key that this request holds in flight, for `settleKey`; -1 for none. */
  keyEntry: number;
  /** Keyed hash of the client, once the limiter has seen it. */
  clientHash: number;
  /** Request tokens that the client has left; -1 when requests are not limited. */
  remaining: number;
  /** Nanoseconds of each stage; 0 for a stage that the request did not reach. */
  limitNs: number;
  parseNs: number;
  encodeNs: number;
  /** Monotonic ms at the end of `process`. */
  processedMs: number;
  /** Set only when COMMITTED: metrics, rejected items, when (monotonic ms), and the journal cursor to wait for. */
  accepted: number;
  rejected: number;
  journaledMs: number;
  cursor: number;
}

export class Pipeline {
  readonly parser: Parser;
  readonly limiter: Limiter;
  readonly journal: Journal;
  private readonly limits: PipelineLimits;
  private readonly limitsRequests: boolean;
  private readonly limitsMetrics: boolean;
  private readonly keys: RequestKeys | null;
  private readonly dedupsBodies: boolean;

  /** @param keys null: requests with an idempotency key are refused */
  constructor(
    parser: Parser,
    limiter: Limiter,
    journal: Journal,
    limits: PipelineLimits,
    keys: RequestKeys | null,
  ) {
    this.parser = parser;
    this.limiter = limiter;
    this.journal = journal;
    this.limits = limits;
    this.keys = keys;
    this.dedupsBodies = keys !== null && limits.dedupsBodies;
    this.limitsRequests = limits.requestRate > 0;
    this.limitsMetrics = limits.metricRate > 0;
  }

  /**
   * Journals all metrics of `body`, or none. Writes the result into `request`.
   * @param body copied before this returns, at most `maxBodyBytes` of the parser
   * @param nowMs monotonic  @param receiptMs Unix ms, the timestamp of metrics that have none
   */
  process(request: PipelineRequest, body: Uint8Array, nowMs: number, receiptMs: number): PipelineCode {
    const { length } = body;
    const bound = encodedBodyBound(length, this.limits.maxBatch);
    request.processedMs = nowMs;
    // Claims room for the worst case first, so that a full journal costs no parsing.
    const offset = this.journal.claim(bound);
    if (offset === FULL) return JOURNAL_FULL;
    if (request.isCharged) {
      this.limiter.identify(request.clientKey, request.clientKey.length);
    } else if (this.limitsRequests || this.limitsMetrics) {
      const code = this.chargeRequest(request, nowMs);
      if (code !== COMMITTED) return code;
    }
    const hasKey = request.idempotencyKey !== '';
    if (hasKey && this.keys === null) return KEYS_OFF;
    if (hasKey && request.idempotencyKey === INVALID_KEY) return KEY_INVALID;
    const dedupsBody = this.dedupsBodies && !hasKey;
    const { parser } = this;
    const limitedMs = request.processedMs;
    parser.input.set(body);
    const parsed = parser.parse(length, request.format, dedupsBody ? NO_TIME_MS : receiptMs, offset);
    request.processedMs = monotonicMs();
    request.parseNs = (request.processedMs - limitedMs) * NS_PER_MS;
    if (parsed !== PARSED) return parsed === PARSER_BATCH_TOO_LARGE ? BATCH_TOO_LARGE : MALFORMED;
    if (parser.accepted === 0) return NO_VALID_ITEM;
    if (hasKey || (dedupsBody && this.hasAllTimes(request, body, receiptMs, offset))) {
      const code = this.claimKey(request, body, receiptMs);
      if (code !== COMMITTED) return code;
    }
    const code = this.admit(request, nowMs);
    if (code === COMMITTED) this.encode(request, offset, bound);
    else this.settleKey(request, false);
    return code;
  }

  /** Decides what depends on the metrics. */
  private admit(request: PipelineRequest, nowMs: number): PipelineCode {
    const { accepted, rejected } = this.parser;
    if (request.strict && rejected > 0) return STRICT_REFUSED;
    if (!this.limitsMetrics) return COMMITTED;
    if (accepted > this.limits.metricBurst) return BATCH_OVER_BURST;
    const verdict = this.limiter.chargeMetrics(accepted, nowMs);
    if (verdict === ADMITTED) return COMMITTED;
    return verdict === BUSY ? LIMITER_BUSY : METRICS_LIMITED;
  }

  /**
   * True if each metric of the body, parsed with NO_TIME_MS, has a timestamp of its own. Otherwise equal bodies may be
   * different metrics, and the body is parsed again with the time of receipt.
   */
  private hasAllTimes(
    { format }: PipelineRequest,
    body: Uint8Array,
    receiptMs: number,
    offset: number,
  ): boolean {
    const { parser, journal } = this;
    // The room is claimed, and nothing in it counts before the commit.
    const end = parser.encode(journal.bytes, journal.view, offset);
    const { buffer, byteOffset } = journal.bytes;
    if (Buffer.from(buffer, byteOffset + offset, end - offset).indexOf(NO_TIME) < 0) return true;
    parser.input.set(body);
    parser.parse(body.length, format, receiptMs, offset);
    return false;
  }

  private claimKey(request: PipelineRequest, body: Uint8Array, receiptMs: number): PipelineCode {
    const { clientKey, idempotencyKey: key, format } = request;
    const keys = this.keys!;
    const code =
      key === ''
        ? keys.claimBody(clientKey, body, format, receiptMs)
        : keys.claim(clientKey, key, body, format, receiptMs);
    if (code !== CLAIMED) return KEY_CODES[code];
    request.keyEntry = keys.entry;
    return COMMITTED;
  }

  /** Ends the claim of the request's key, if it has one, once it is known whether the request is stored. */
  settleKey(request: PipelineRequest, isStored: boolean): void {
    if (request.keyEntry < 0) return;
    this.keys!.settle(request.keyEntry, isStored);
    request.keyEntry = -1;
  }

  /** COMMITTED here means that the request may go on. */
  private chargeRequest(request: PipelineRequest, nowMs: number): PipelineCode {
    const { limiter } = this;
    const verdict = limiter.chargeRequest(request.clientKey, request.clientKey.length, nowMs);
    request.processedMs = monotonicMs();
    request.limitNs = (request.processedMs - nowMs) * NS_PER_MS;
    request.clientHash = limiter.clientHash;
    if (this.limitsRequests) request.remaining = limiter.remaining;
    if (verdict === ADMITTED) return COMMITTED;
    return verdict === BUSY ? LIMITER_BUSY : REQUESTS_LIMITED;
  }

  private encode(request: PipelineRequest, offset: number, bound: number): void {
    const { parser, journal } = this;
    const parsedMs = request.processedMs;
    let end = parser.encode(journal.bytes, journal.view, offset);
    if (request.keyEntry >= 0) end = this.keys!.stamp(journal.bytes, end);
    assert(end - offset <= bound, 'encoder stayed within the claimed room');
    request.accepted = parser.accepted;
    request.rejected = parser.rejected;
    request.cursor = journal.commit(end, parser.accepted);
    request.journaledMs = request.processedMs = monotonicMs();
    request.encodeNs = (request.journaledMs - parsedMs) * NS_PER_MS;
  }
}
