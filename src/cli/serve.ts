/** `metricsstream serve`: runs the server until a signal or a fatal error ends it. */
import { authText, tlsText } from '../auth/credential-keeper.ts';
import type { Credentials } from '../auth/credentials.ts';
import { monotonicMs } from '../base/clock.ts';
import { createLogger, type Logger } from '../base/log.ts';
import { MIB } from '../base/units.ts';
import { ignoredText } from '../config/environment.ts';
import { type Config, type Given, loadConfig } from '../config/load.ts';
import { warningsOf } from '../config/warnings.ts';
import { phaseOf } from '../phases.ts';
import { type RunningServer, startServer } from '../server.ts';

const EXAMPLE = `{"metrics":[{"name":"cpu.usage","value":42.5,"tags":{"host":"web-1"}}]}`;

/** One Ctrl-C under `npm start` arrives twice: from the terminal, and a moment later from npm. */
const SAME_SIGNAL_MS = 200;

function limitsText(config: Config): string {
  const limits: string[] = [];
  if (config.rateLimit > 0) limits.push(`${config.rateLimit} requests/s`);
  if (config.metricRateLimit > 0) limits.push(`${config.metricRateLimit} metrics/s`);
  return limits.length === 0 ? 'off' : `${limits.join(', ')} per client (${config.clientId})`;
}

/** A line to copy that works with any curl. The reader supplies the token, and trust in the certificate. */
function exampleCommand(address: string, { tokens, tls }: Credentials): string {
  const authorization = tokens === null ? '' : `-H "Authorization: Bearer $TOKEN" `;
  const url = `${tls === null ? 'http' : 'https'}://${address}/metrics`;
  return `curl ${authorization}-H 'Content-Type: application/json' -d '${EXAMPLE}' ${url}`;
}

function logStart(log: Logger, config: Config, server: RunningServer): void {
  const { recovery } = server;
  if (recovery.truncatedBytes > 0 || recovery.damagedCommits > 0) log.warn(recovery, 'recovered');
  else log.debug(recovery, 'recovered');
  const address = `${config.host.includes(':') ? `[${config.host}]` : config.host}:${server.port}`;
  const facts = {
    address,
    port: server.port,
    phase: config.phase,
    phaseName: phaseOf(config.phase).name,
    ...(config.revert !== 'none' && { revert: config.revert }),
    workers: server.workers,
    queue: server.queueCapacity,
    ack: config.ack,
    dataDir: config.dataDir,
    limits: limitsText(config),
    auth: authText(server.credentials),
    tls: tlsText(server.credentials),
    uws: server.uws,
    sharedMiB: Math.round(server.sharedBytes / MIB),
  };
  log.info(facts, 'listening');
  log.info(`try: ${exampleCommand(address, server.credentials)}`);
}

/** @returns the exit code */
export async function serve(
  given: Given,
  injectedVariables: readonly string[],
  version: string,
): Promise<number> {
  const { config } = loadConfig(given);
  const log = createLogger(config.logLevel);
  if (injectedVariables.length > 0) log.info(ignoredText(injectedVariables));
  for (const warning of warningsOf(config)) log.warn(warning);
  const started = startServer(config, log, version);
  // A SIGHUP that arrives during the start is served after it. Without a listener it would end the process.
  process.on('SIGHUP', () => {
    log.info({ signal: 'SIGHUP' }, 'reading tokens and certificate again');
    started.then((server) => server.reload()).catch(() => {});
  });
  const server = await started;
  let drainingSinceMs = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    const nowMs = monotonicMs();
    if (drainingSinceMs > 0) {
      if (nowMs - drainingSinceMs < SAME_SIGNAL_MS) return;
      log.warn({ signal }, 'second signal: ending at once');
      server.stopNow();
    }
    drainingSinceMs = nowMs;
    server.stop();
    log.info({ signal }, 'draining: finishing requests in flight; a second signal ends at once');
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  logStart(log, config, server);
  const code = await server.ended;
  log.info({ code }, code === 0 ? 'stopped: everything acknowledged is on disk' : 'stopped after a failure');
  return code;
}
