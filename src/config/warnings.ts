/** Configurations that are allowed and risky: logged at the start, printed by `config`. */
import { availableCpus } from '../base/cpus.ts';
import type { Config } from './load.ts';

const LOOPBACK = /^(127\.|::1$|localhost$)/;

export function warningsOf(config: Config): string[] {
  const warnings: string[] = [];
  const cpus = availableCpus();
  if (config.workers > cpus) {
    warnings.push(`--workers ${config.workers} is more than the ${cpus} CPUs available: threads share CPUs`);
  }
  if (!LOOPBACK.test(config.host)) {
    if (config.tokensFile === undefined) {
      warnings.push(
        `--host ${config.host} is reachable from other machines and clients need no token; give --tokens-file`,
      );
    } else if (config.tlsCert === undefined) {
      warnings.push(
        `--host ${config.host} is reachable from other machines and tokens travel in clear; give --tls-cert and --tls-key, or put a proxy in front`,
      );
    }
  }
  if (config.metricRateLimit > 0 && config.maxBatch > config.metricRateBurst) {
    warnings.push(
      `--max-batch ${config.maxBatch} is larger than --metric-rate-burst ${config.metricRateBurst}: larger batches than that get 413`,
    );
  }
  if (config.retentionAgeMs > 0 && config.retentionAgeMs < config.idempotencyWindowMs) {
    warnings.push(
      `--retention-age-ms ${config.retentionAgeMs} is less than --idempotency-window-ms ${config.idempotencyWindowMs}: a restart forgets the keys of files that are deleted`,
    );
  }
  if (config.minFreeBytes === 0) {
    warnings.push('--min-free-bytes 0: the server fills its disk before it refuses requests');
  }
  return warnings;
}
