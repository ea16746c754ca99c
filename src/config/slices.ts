import type { BreakerConfig } from '../breaker/breaker.ts';
import type { LimiterConfig } from '../limiter/limiter.ts';
import type { Config } from './load.ts';

/** The limiter's share of the configuration, the same for every thread that opens its memory. */
export function limiterConfigOf(config: Config): LimiterConfig {
  return {
    requestRate: config.rateLimit,
    requestBurst: config.rateBurst,
    metricRate: config.metricRateLimit,
    metricBurst: config.metricRateBurst,
    clients: config.limiterClients,
  };
}

/** The same for the storage breaker, whose settings stand in its memory. */
export function breakerConfigOf(config: Config): BreakerConfig {
  return {
    failures: config.breakerFailures,
    errorPercent: config.breakerErrorPercent,
    windowMs: config.breakerWindowMs,
    openMs: config.breakerOpenMs,
  };
}
