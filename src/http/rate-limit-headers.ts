/**
 * RateLimit-Policy and RateLimit header lines (IETF draft-ietf-httpapi-ratelimit-headers) and the 429 problem.
 *
 * A policy is `"requests";q=<burst>;w=<seconds to refill the burst>`, the state `"requests";r=<left>;t=<seconds
 * until the burst is whole again>`.
 */
import type { Limiter } from '../limiter/limiter.ts';
import { headerLine, headOf, type Problem } from './response.ts';

export interface RateLimitFacts {
  readonly requestRate: number;
  readonly requestBurst: number;
  readonly metricRate: number;
  readonly metricBurst: number;
}

const windowSeconds = (burst: number, rate: number): number => Math.max(1, Math.ceil(burst / rate));

export class RateLimitHeaders {
  private readonly facts: RateLimitFacts;
  private readonly policyLine: string;
  private readonly unlimitedHead: string;
  private readonly requestState: string;
  /** The head made last, for reuse: successive requests often have the same value. */
  private lastRemaining = -1;
  private lastHead = '';

  /** @param acceptedStatus status of the heads that `acceptedHead` returns */
  constructor(facts: RateLimitFacts, acceptedStatus: 200 | 202) {
    this.facts = facts;
    const policies: string[] = [];
    const { requestRate, requestBurst, metricRate, metricBurst } = facts;
    if (requestRate > 0) {
      policies.push(`"requests";q=${Math.floor(requestBurst)};w=${windowSeconds(requestBurst, requestRate)}`);
    }
    if (metricRate > 0) {
      policies.push(`"metrics";q=${Math.floor(metricBurst)};w=${windowSeconds(metricBurst, metricRate)}`);
    }
    this.policyLine = policies.length === 0 ? '' : headerLine('RateLimit-Policy', policies.join(', '));
    this.unlimitedHead = `${headOf(acceptedStatus, 'application/json')}${this.policyLine}`;
    this.requestState = `${this.unlimitedHead}\r\nRateLimit: "requests";r=`;
  }

  /**
   * The head of a success, see response.ts.
   * @param remaining request tokens left, -1 if unlimited
   */
  acceptedHead(remaining: number): string {
    if (remaining < 0) return this.unlimitedHead;
    if (remaining === this.lastRemaining) return this.lastHead;
    const { requestBurst, requestRate } = this.facts;
    const resetSeconds = Math.ceil((requestBurst - remaining) / requestRate);
    this.lastRemaining = remaining;
    this.lastHead = `${this.requestState}${remaining};t=${resetSeconds}`;
    return this.lastHead;
  }

  /** The 429 for a client over its limit; nothing was stored. */
  problem(policy: 'requests' | 'metrics', limiter: Limiter): Problem {
    const seconds = limiter.retryAfterSeconds;
    const rate = policy === 'requests' ? this.facts.requestRate : this.facts.metricRate;
    const state = headerLine('RateLimit', `"${policy}";r=${limiter.remaining};t=${seconds}`);
    return {
      status: 429,
      code: 'rate_limited',
      detail: `Nothing was stored: this client is over its limit of ${rate} ${policy} per second. Retry after ${seconds} s.`,
      members: { policy, limit: rate, remaining: limiter.remaining, retryAfterSeconds: seconds },
      lines: `${headerLine('Retry-After', seconds)}${this.policyLine}${state}`,
    };
  }
}
