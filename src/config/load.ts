/** Effective configuration: flag > environment > file > default, each value with where it comes from. */
import { readFileSync } from 'node:fs';
import { availableCpus } from '../base/cpus.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { powerOfTwoAtLeast } from '../base/shared-memory.ts';
import { encodedBodyBound } from '../encoder/line-encoder.ts';
import { flagOf, OPTIONS, type REVERT, variableOf } from './options.ts';

type Ack = 'received' | 'written' | 'synced';
export type Revert = (typeof REVERT)[number];

export interface Config {
  readonly port: number;
  readonly host: string;
  readonly dataDir: string;
  readonly workers: number;
  readonly phase: number;
  readonly revert: Revert;
  readonly requestThreads: number;
  readonly ack: Ack;
  readonly rateLimit: number;
  readonly rateBurst: number;
  readonly metricRateLimit: number;
  readonly metricRateBurst: number;
  readonly clientId: string;
  readonly limiterClients: number;
  readonly maxBodyBytes: number;
  readonly maxBatch: number;
  readonly maxHeaderBytes: number;
  readonly queueTasks: number;
  readonly inflightBodyBytes: number;
  readonly journalBytes: number;
  readonly segmentBytes: number;
  readonly segmentAgeMs: number;
  readonly retentionBytes: number;
  readonly retentionAgeMs: number;
  readonly minFreeBytes: number;
  readonly directBytes: number;
  readonly syncIntervalMs: number;
  readonly requestTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly syncTimeoutMs: number;
  readonly drainTimeoutMs: number;
  /** 0: admission follows the static bounds only. */
  readonly targetDelayMs: number;
  readonly breakerFailures: number;
  readonly breakerErrorPercent: number;
  readonly breakerWindowMs: number;
  readonly breakerOpenMs: number;
  /** Undefined: no client has to prove who it is. */
  readonly tokensFile: string | undefined;
  /** Both or none. */
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly logLevel: string;
}

type Source = 'flag' | 'environment' | 'file' | 'default' | 'derived';

export interface LoadedConfig {
  readonly config: Config;
  readonly sources: Readonly<Record<string, Source>>;
  /** True when `workers` was `auto`; `config.workers` is what that came to. */
  readonly workersAreAuto: boolean;
  readonly warnings: readonly string[];
}

type Values = Record<string, unknown>;

const fail = (message: string): never => {
  throw new MetricsStreamError('CONFIG_INVALID', message);
};

function readConfigFile(path: string): Values {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    return fail(`--config ${path}: ${(error as Error).message}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return fail(`--config ${path}: must hold one JSON object`);
  }
  const known = new Set(OPTIONS.map((option) => option.key));
  for (const key of Object.keys(parsed)) {
    if (!known.has(key)) fail(`--config ${path}: unknown option "${key}"; known: ${[...known].join(', ')}`);
  }
  return parsed as Values;
}

/** Variables of ours that are no option: how to find the file, and what tests use. */
const OTHER_VARIABLES = /^METRICSSTREAM_(CONFIG|TEST_.*|LONG|REQUIRE_TOOLS)$/;

function refuseUnknownVariables(env: NodeJS.ProcessEnv): void {
  const known = new Set(OPTIONS.map((option) => variableOf(option.key)));
  for (const name of Object.keys(env)) {
    if (name.startsWith('METRICSSTREAM_') && !known.has(name) && !OTHER_VARIABLES.test(name)) {
      fail(`${name}: unknown environment variable; known: ${[...known].join(', ')}`);
    }
  }
}

/** @param flags values given on the command line, by option key; `config` names the file */
export function loadConfig(flags: Values, env: NodeJS.ProcessEnv): LoadedConfig {
  refuseUnknownVariables(env);
  const path = flags.config ?? env.METRICSSTREAM_CONFIG;
  const file = typeof path === 'string' ? readConfigFile(path) : {};
  const values: Values = {};
  const sources: Record<string, Source> = {};
  for (const { key, schema, allowed, fallback } of OPTIONS) {
    const variable = variableOf(key);
    const [input, source, name] =
      flags[key] !== undefined
        ? [flags[key], 'flag' as const, flagOf(key)]
        : env[variable] !== undefined
          ? [env[variable], 'environment' as const, variable]
          : file[key] !== undefined
            ? [file[key], 'file' as const, `"${key}" in ${path}`]
            : [fallback, fallback === undefined ? ('derived' as const) : ('default' as const), flagOf(key)];
    sources[key] = source;
    if (input === undefined) continue;
    const result = schema.safeParse(input);
    values[key] = result.success
      ? result.data
      : fail(`${name}: ${JSON.stringify(input)} is not allowed; allowed: ${allowed}`);
  }
  // Where every client has a token of its own, that tells clients apart better than an address they may share.
  if (values.tokensFile !== undefined && sources.clientId === 'default') {
    values.clientId = 'authorization';
    sources.clientId = 'derived';
  }
  const config = derive(values);
  refuseContradictions(config, sources);
  return { config, sources, workersAreAuto: values.workers === 'auto', warnings: warningsOf(config) };
}

const WORKERS_MAX = 64;
const JOURNAL_MIN_BYTES = 8 << 20;
const INFLIGHT_MIN_BYTES = 64 << 20;

/** What the largest bodies take while they arrive, one in each worker: their buffers are powers of two. */
function largestBodiesBytes(config: Config): number {
  return config.workers * powerOfTwoAtLeast(config.maxBodyBytes);
}

function derive(values: Values): Config {
  const config = { ...values } as { -readonly [Key in keyof Config]: Config[Key] };
  if (values.workers === 'auto') config.workers = Math.min(WORKERS_MAX, availableCpus());
  config.rateBurst ??= Math.max(1, config.rateLimit);
  config.metricRateBurst ??= Math.max(1, config.metricRateLimit);
  config.inflightBodyBytes ??= Math.max(INFLIGHT_MIN_BYTES, largestBodiesBytes(config));
  config.journalBytes ??= Math.max(
    JOURNAL_MIN_BYTES,
    2 * encodedBodyBound(config.maxBodyBytes, config.maxBatch),
  );
  config.journalBytes = powerOfTwoAtLeast(config.journalBytes);
  return config;
}

function refuseContradictions(config: Config, sources: Record<string, Source>): void {
  const largest = encodedBodyBound(config.maxBodyBytes, config.maxBatch);
  if (config.journalBytes < 2 * largest) {
    fail(
      `--journal-bytes ${config.journalBytes}: a body of --max-body-bytes ${config.maxBodyBytes} needs ${2 * largest}; raise the one or lower the other`,
    );
  }
  if (config.journalBytes > 2 ** 30) {
    fail(`--max-body-bytes ${config.maxBodyBytes}: its journal would be over 1 GiB; allowed: smaller bodies`);
  }
  for (const [rateKey, burstKey] of [
    ['rateLimit', 'rateBurst'],
    ['metricRateLimit', 'metricRateBurst'],
  ] as const) {
    if (config[burstKey] < 1) fail(`${flagOf(burstKey)} ${config[burstKey]}: allowed: 1 to 1e9`);
    if (config[rateKey] === 0 && sources[burstKey] !== 'derived') {
      fail(`${flagOf(burstKey)}: has no meaning while ${flagOf(rateKey)} is 0; set a rate or drop the burst`);
    }
  }
  if (config.inflightBodyBytes < largestBodiesBytes(config)) {
    fail(
      `--inflight-body-bytes ${config.inflightBodyBytes}: must be at least ${largestBodiesBytes(config)}, to hold one body of --max-body-bytes ${config.maxBodyBytes} for each of ${config.workers} workers`,
    );
  }
  if ((config.tlsCert === undefined) !== (config.tlsKey === undefined)) {
    fail('--tls-cert and --tls-key: give both, or none to serve plain HTTP');
  }
  if (config.queueTasks < config.workers) {
    fail(`--queue-tasks ${config.queueTasks}: must be at least --workers ${config.workers}`);
  }
  if (config.retentionBytes > 0 && config.retentionBytes < config.segmentBytes) {
    fail(
      `--retention-bytes ${config.retentionBytes}: must be 0 or at least --segment-bytes ${config.segmentBytes}`,
    );
  }
}

const LOOPBACK = /^(127\.|::1$|localhost$)/;

function warningsOf(config: Config): string[] {
  const warnings: string[] = [];
  const cpus = availableCpus();
  if (config.workers > cpus) {
    warnings.push(
      `--workers ${config.workers} is more than the ${cpus} CPUs available: threads will only take turns`,
    );
  }
  if (!LOOPBACK.test(config.host)) {
    if (config.tokensFile === undefined) {
      warnings.push(
        `--host ${config.host} is reachable from other machines and no client has to prove who it is; give --tokens-file`,
      );
    } else if (config.tlsCert === undefined) {
      warnings.push(
        `--host ${config.host} is reachable from other machines and tokens travel in clear; give --tls-cert and --tls-key, or put a proxy in front`,
      );
    }
  }
  if (config.metricRateLimit > 0 && config.maxBatch > config.metricRateBurst) {
    warnings.push(
      `--max-batch ${config.maxBatch} is larger than --metric-rate-burst ${config.metricRateBurst}: such batches get 413`,
    );
  }
  if (config.minFreeBytes === 0) {
    warnings.push('--min-free-bytes 0: the server will fill its disk before it refuses requests');
  }
  return warnings;
}
