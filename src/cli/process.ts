/** How the processes beside a server stop, and how they expose their metrics and health. */
import type { Logger } from '../base/log.ts';
import { type Exposed, type Health, type MetricsServer, serveMetrics } from '../export/metrics-server.ts';
import type { ProcessFlags } from './process-options.ts';

const END_MS = 2_000;

/**
 * Aborts at the first signal, which ends the process after the work at hand. The second one ends it at once. Nothing is
 * lost by either.
 * @param work what ends before the process does, for the log
 */
export function stopOnSignal(logger: Logger, work: string): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(1);
      logger.info({ signal }, `stopping after ${work}`);
      stop.abort();
    });
  }
  return stop.signal;
}

/** Ends the process when nothing is left to do, or soon: a broken connection may leave a socket behind. */
export function endWith(code: number): void {
  process.exitCode = code;
  setTimeout(() => process.exit(), END_MS).unref();
}

/** Null without `--metrics-port`. @throws MetricsStreamError PORT_IN_USE, BIND_FAILED */
export async function exposeProcess(
  { metricsPort, metricsHost }: ProcessFlags,
  registry: Exposed,
  health: Health,
  logger: Logger,
): Promise<MetricsServer | null> {
  if (metricsPort === undefined) return null;
  const server = await serveMetrics(metricsHost, metricsPort, registry, health, logger);
  logger.info({ host: metricsHost, port: server.port }, 'serving metrics');
  return server;
}
