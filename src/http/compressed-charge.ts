/**
 * Charges a compressed body to its client's request limit before the server spends anything on decompressing it. The
 * pipeline does not charge the request again.
 */

import { monotonicMs } from '../base/clock.ts';
import { NS_PER_MS } from '../base/units.ts';
import { ADMITTED, BUSY, type Limiter } from '../limiter/limiter.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Exchange } from './exchange.ts';
import type { Outbox } from './outbox.ts';
import { type RateLimitFacts, RateLimitHeaders } from './rate-limit-headers.ts';

export class CompressedCharge {
  private readonly limiter: Limiter;
  private readonly facts: RateLimitFacts;
  private readonly headers: RateLimitHeaders;

  /** @param limiter over the same memory as the pipeline's */
  constructor(limiter: Limiter, facts: RateLimitFacts) {
    this.limiter = limiter;
    this.facts = facts;
    this.headers = new RateLimitHeaders(facts, 200);
  }

  /** @returns false when it has refused the request with 429 or 503 */
  accept(exchange: Exchange, outbox: Outbox): boolean {
    const { requestRate, metricRate } = this.facts;
    if (requestRate === 0 && metricRate === 0) return true;
    const { limiter } = this;
    const nowMs = exchange.receivedMs;
    const verdict = limiter.chargeRequest(exchange.clientKey, exchange.clientKey.length, nowMs);
    exchange.isCharged = true;
    exchange.clientHash = limiter.clientHash;
    exchange.limitNs = (monotonicMs() - nowMs) * NS_PER_MS;
    if (requestRate > 0) exchange.remaining = limiter.remaining;
    if (verdict === ADMITTED) return true;
    if (verdict === BUSY) {
      outbox.enqueueUnavailable(exchange, 'limiter_busy');
    } else {
      outbox.counters[WORKER.limited_requests]! += 1;
      outbox.enqueueProblem(exchange, this.headers.problem('requests', limiter));
    }
    return false;
  }
}
