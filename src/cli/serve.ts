/** `metricsstream serve`: runs the server until a signal or a fatal error ends it. */
import { authText, tlsText } from '../auth/credential-keeper.ts';
import type { Credentials } from '../auth/credentials.ts';
import { monotonicMs } from '../base/clock.ts';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { createLogger, type Logger } from '../base/log.ts';
import { LogOutput } from '../base/log-output.ts';
import { MIB } from '../base/units.ts';
import { ignoredText } from '../config/environment.ts';
import type { Config, Given } from '../config/load.ts';
import { warningsOf } from '../config/warnings.ts';
import { phaseOf } from '../phases.ts';
import { endProcess, type RunningServer, startServer } from '../server.ts';
import { needsAttention } from '../storage/recovery.ts';
import { walText } from '../wal/choose.ts';
import { effectiveConfig, type MemoryPlan, planText } from './effective-config.ts';
import { rejectLowLimits } from './preflight.ts';
import { publishAddress } from './published-address.ts';
import type { SignalActions, Signals } from './signals.ts';

const EXAMPLE = `{"metrics":[{"name":"cpu.usage","value":42.5,"tags":{"host":"web-1"}}]}`;

/** One Ctrl-C under `npm start` arrives twice: from the terminal, and a moment later from npm. */
const SAME_SIGNAL_MS = 200;

/** Longest wait for the last log lines. */
const LOG_END_MS = 500;

export interface ServeContext {
  readonly signals: Signals;
  /** Variables that were ignored; see config/environment.ts. */
  readonly injectedVariables: readonly string[];
  readonly version: string;
}

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

const WAL_SET_ASIDE =
  'the header of a write-ahead file is damaged: nothing was replayed from it, and it is kept under this name. ' +
  `Read its lines with grep -ao '{"timestamp":.*}' FILE, and post those that no segment holds`;

function logRecovery(
  log: Logger,
  { recovery, replay, repairedBytes, walSetAside }: RunningServer['opened'],
): void {
  const facts = { ...recovery, replay, repairedBytes };
  const hasReplayed = replay.records + replay.damaged + replay.dropped + repairedBytes > 0;
  if (hasReplayed || needsAttention(recovery)) log.warn(facts, 'recovered');
  else log.debug(facts, 'recovered');
  for (const file of walSetAside) log.error({ file }, WAL_SET_ASIDE);
}

function logStart(log: Logger, config: Config, plan: MemoryPlan, server: RunningServer): void {
  logRecovery(log, server.opened);
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
    wal: walText(server.wal),
    memory: planText(plan),
    sharedMiB: Math.round(server.sharedBytes / MIB),
  };
  log.info(facts, 'listening');
  log.info(`try: ${exampleCommand(address, server.credentials)}`);
}

/** @throws MetricsStreamError CONFIG_INVALID */
function openLog({ logFile }: Config): LogOutput {
  try {
    return new LogOutput(logFile ?? null);
  } catch (error) {
    throw new MetricsStreamError('CONFIG_INVALID', `--log-file ${logFile}: ${systemErrorText(error)}`);
  }
}

/** Acts on signals, during the start too. */
class SignalHandler implements SignalActions {
  /** Set by a stop signal. */
  stopRequested = false;
  private readonly log: Logger;
  private readonly output: LogOutput;
  private readonly drainTimeoutMs: number;
  private server: RunningServer | null = null;
  private reloadRequested = false;
  private stopSinceMs = 0;

  constructor(log: Logger, output: LogOutput, { drainTimeoutMs }: Config) {
    this.log = log;
    this.output = output;
    this.drainTimeoutMs = drainTimeoutMs;
  }

  started(server: RunningServer): void {
    this.server = server;
    if (this.stopRequested) server.stop();
    else if (this.reloadRequested) server.reload();
  }

  stop(signal: NodeJS.Signals): void {
    const nowMs = monotonicMs();
    if (this.stopRequested) {
      if (nowMs - this.stopSinceMs >= SAME_SIGNAL_MS)
        this.endNow({ signal }, 'second signal: ending at once');
      return;
    }
    this.stopRequested = true;
    this.stopSinceMs = nowMs;
    this.server?.stop();
    // Behind the state: who reads the line finds /ready at 503.
    this.log.info({ signal }, 'draining: finishing requests in flight; a second signal ends at once');
    // The lines above can take long on a busy machine. A signal that came meanwhile is handled before this.
    setImmediate(() => {
      this.stopSinceMs = monotonicMs();
    });
    // Nothing is acknowledged before the start is complete, so a start that hangs can be cut off.
    if (this.server === null) {
      setTimeout(() => {
        if (this.server === null) this.endNow({}, 'the start did not end within --drain-timeout-ms');
      }, this.drainTimeoutMs).unref();
    }
  }

  reload(signal: NodeJS.Signals): void {
    this.reopenLog(signal);
    this.log.info({ signal }, 'reading tokens and certificate again');
    this.reloadRequested = true;
    this.server?.reload();
  }

  reopenLog(signal: NodeJS.Signals): void {
    const problem = this.output.reopen();
    if (problem === null) this.log.info({ signal }, 'reopened the log');
    else if (this.output.hasName) this.log.warn({ signal, reason: problem }, 'the log stays in its old file');
    else this.log.debug({ signal, reason: problem }, 'kept the log open');
  }

  private endNow(fields: object, text: string): void {
    this.log.warn(fields, text);
    this.output.flushSync();
    endProcess();
  }
}

/** @returns the exit code */
export async function serve(
  given: Given,
  { signals, injectedVariables, version }: ServeContext,
): Promise<number> {
  const { config, plan } = await effectiveConfig(given);
  rejectLowLimits(config);
  const output = openLog(config);
  const log = createLogger(config.logLevel, output, config.logFile !== undefined);
  const handler = new SignalHandler(log, output, config);
  signals.attach(handler);
  if (handler.stopRequested) return 0;
  if (injectedVariables.length > 0) log.info(ignoredText(injectedVariables));
  for (const warning of warningsOf(config)) log.warn(warning);
  const server = await startServer(config, log, () => output.lostLines, version);
  const { host } = config;
  await publishAddress({ host, port: server.port, tls: server.credentials.tls !== null });
  logStart(log, config, plan, server);
  handler.started(server);
  const code = await server.ended;
  log.info({ code }, code === 0 ? 'stopped: everything acknowledged is on disk' : 'stopped after a failure');
  await output.end(LOG_END_MS);
  return code;
}
