/** The parts of the configuration that components take, in their own terms. */
import type { BreakerConfig } from '../breaker/breaker.ts';
import type { KeyTableConfig } from '../idempotency/table.ts';
import type { LimiterConfig } from '../limiter/limiter.ts';
import type { Config } from './load.ts';

/** The same for every thread that opens the limiter's memory. */
export function limiterConfigOf(config: Config): LimiterConfig {
  return {
    requestRate: config.rateLimit,
    requestBurst: config.rateBurst,
    metricRate: config.metricRateLimit,
    metricBurst: config.metricRateBurst,
    clients: config.limiterClients,
  };
}

/** The table of idempotency keys: small where keys are refused. */
export function keyTableConfigOf({ idempotencyKeys, idempotencyWindowMs }: Config): KeyTableConfig {
  return { keys: idempotencyWindowMs === 0 ? 1 : idempotencyKeys, windowMs: idempotencyWindowMs };
}

/** Settings of the storage breaker, kept in its memory. */
export function breakerConfigOf(config: Config): BreakerConfig {
  return {
    failures: config.breakerFailures,
    errorPercent: config.breakerErrorPercent,
    windowMs: config.breakerWindowMs,
    openMs: config.breakerOpenMs,
  };
}
