/** The effective configuration: flag > environment > file > default, each value with its source. */
import type { core } from 'zod';
import { availableCpus } from '../base/cpus.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { powerOfTwoAtLeast } from '../base/shared-memory.ts';
import { readSmallFile } from '../base/small-file.ts';
import { encodedBodyBound } from '../encoder/line-encoder.ts';
import { OPTION_KEYS, OPTIONS, type OptionKey, type Settings, specOf, WORKERS_MAX } from './options.ts';

export type Config = Readonly<ReturnType<typeof derive>>;
export type Revert = Config['revert'];

type Source = 'flag' | 'environment' | 'file' | 'default' | 'derived';

/** Values of the command line and the environment, before any check. */
export interface Given {
  /** Values by option; a missing one is not given. */
  readonly values: ReadonlyMap<
    OptionKey,
    { readonly input: unknown; readonly source: 'flag' | 'environment' }
  >;
  /** The configuration file, and the flag or variable that names it. */
  readonly file: { readonly path: string; readonly name: string } | null;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly sources: ReadonlyMap<OptionKey, Source>;
  /** True when `workers` was `auto`; `config.workers` is the number chosen. */
  readonly workersAreAuto: boolean;
  /** The configuration that other values of some options lead to. */
  readonly changed: (changes: Partial<Settings>) => Config;
}

/** @throws MetricsStreamError CONFIG_INVALID */
function fail(message: string): never {
  throw new MetricsStreamError('CONFIG_INVALID', message);
}

const CONFIG_FILE_MAX_BYTES = 1 << 20;
/** Editors on Windows begin a file with it. */
const BYTE_ORDER_MARK = /^\uFEFF/;

function readConfigFile({
  path,
  name,
}: {
  readonly path: string;
  readonly name: string;
}): Map<string, unknown> {
  let parsed: unknown;
  try {
    const text = readSmallFile(path, CONFIG_FILE_MAX_BYTES).bytes.toString('utf8');
    parsed = JSON.parse(text.replace(BYTE_ORDER_MARK, ''));
  } catch (error) {
    const { message } = error as Error;
    const problem = error instanceof SyntaxError ? `is not JSON: ${message.replaceAll('\n', ' ')}` : message;
    return fail(`${name} ${path}: ${problem}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return fail(`${name} ${path}: must hold one JSON object, such as {"port": 8080}`);
  }
  const known: readonly string[] = OPTION_KEYS;
  for (const key of Object.keys(parsed)) {
    if (!known.includes(key)) {
      fail(
        `${name} ${path}: unknown option "${key}"; options are written like ${known.slice(0, 3).join(', ')}; metricsstream config --json lists all`,
      );
    }
  }
  return new Map(Object.entries(parsed));
}

interface Input {
  readonly input: unknown;
  readonly source: Source;
  /** How errors name the option. */
  readonly name: string;
}

function inputOf(key: OptionKey, { values, file }: Given, fromFile: ReadonlyMap<string, unknown>): Input {
  const { flag, variable, fallback } = specOf(key);
  const given = values.get(key);
  if (given !== undefined) return { ...given, name: given.source === 'flag' ? flag : variable };
  if (fromFile.has(key)) {
    return { input: fromFile.get(key), source: 'file', name: `"${key}" in ${file?.path}` };
  }
  return { input: fallback, source: fallback === undefined ? 'derived' : 'default', name: flag };
}

type Issue = core.$ZodIssue;

/** The unit's own advice, also where a number is one of several forms. */
function adviceOf(issue: Issue): string {
  if (issue.code === 'custom') return `${issue.message}; `;
  if (issue.code !== 'invalid_union') return '';
  return issue.errors.flat().map(adviceOf).join('');
}

const isQuoted = (input: unknown): boolean => typeof input === 'string' && /^(["']).*\1$/.test(input);

/** `docker run --env-file` keeps quotes: a path would be another one. @throws MetricsStreamError CONFIG_INVALID */
function refuseQuotes(inputs: Iterable<Input>): void {
  for (const { input, source, name } of inputs) {
    if (source === 'environment' && isQuoted(input)) {
      fail(`${name}: ${JSON.stringify(input)} has quotes around the value; env files keep them: remove them`);
    }
  }
}

/** One line: the option as it was given, the problem, and the allowed values. */
function refusal({ input, name }: Input, key: OptionKey, issue: Issue): string {
  const remedy = isQuoted(input) ? '; remove the quotes around the value' : '';
  const { allowed } = specOf(key);
  return `${name}: ${JSON.stringify(input)} is not allowed; ${adviceOf(issue)}allowed: ${allowed}${remedy}`;
}

/** @throws MetricsStreamError CONFIG_INVALID */
export function loadConfig(given: Given): LoadedConfig {
  const fromFile = given.file === null ? new Map<string, unknown>() : readConfigFile(given.file);
  const inputs = new Map(OPTION_KEYS.map((key) => [key, inputOf(key, given, fromFile)]));
  refuseQuotes(inputs.values());
  const parsed = OPTIONS.safeParse(Object.fromEntries([...inputs].map(([key, { input }]) => [key, input])));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const key = OPTION_KEYS.find((candidate) => candidate === issue.path[0])!;
    return fail(refusal(inputs.get(key)!, key, issue));
  }
  const settings = parsed.data;
  const config = derive(settings, availableCpus());
  refuseContradictions(settings, config);
  return {
    config,
    sources: new Map([...inputs].map(([key, { source }]) => [key, source])),
    workersAreAuto: settings.workers === 'auto',
    changed: (changes) => derive({ ...settings, ...changes }, availableCpus()),
  };
}

const JOURNAL_MIN_BYTES = 8 << 20;
const JOURNAL_MAX_BYTES = 2 ** 30;
const INFLIGHT_MIN_BYTES = 64 << 20;

/** Every option with a value: the settings, and what follows from others or from the machine. */
function derive(settings: Settings, cpus: number) {
  const { maxBodyBytes, maxBatch, rateLimit, metricRateLimit } = settings;
  const workers = settings.workers === 'auto' ? Math.min(WORKERS_MAX, cpus) : settings.workers;
  const journalBytes =
    settings.journalBytes ?? Math.max(JOURNAL_MIN_BYTES, 2 * encodedBodyBound(maxBodyBytes, maxBatch));
  return {
    ...settings,
    workers,
    rateBurst: settings.rateBurst ?? Math.max(1, rateLimit),
    metricRateBurst: settings.metricRateBurst ?? Math.max(1, metricRateLimit),
    // Tokens tell clients apart better than addresses, which clients may share.
    clientId: settings.clientId ?? (settings.tokensFile === undefined ? 'address' : 'authorization'),
    inflightBodyBytes:
      settings.inflightBodyBytes ?? Math.max(INFLIGHT_MIN_BYTES, largestBodiesBytes(workers, maxBodyBytes)),
    journalBytes: powerOfTwoAtLeast(journalBytes),
  };
}

/** Bytes of the largest bodies while they arrive, one in each worker. */
export function largestBodiesBytes(workers: number, maxBodyBytes: number): number {
  return workers * maxBodyBytes;
}

/** @throws MetricsStreamError CONFIG_INVALID */
function refuseContradictions(settings: Settings, config: Config): void {
  const { maxBodyBytes, journalBytes, inflightBodyBytes, workers } = config;
  const twoBodies = 2 * encodedBodyBound(maxBodyBytes, config.maxBatch);
  if (journalBytes < twoBodies) {
    fail(
      `--journal-bytes ${journalBytes}: two encoded bodies of --max-body-bytes ${maxBodyBytes} take ${twoBodies}; raise the one or lower the other`,
    );
  }
  if (journalBytes > JOURNAL_MAX_BYTES) {
    fail(
      `--max-body-bytes ${maxBodyBytes}: its journal would be over 1 GiB; lower it or --max-batch ${config.maxBatch}`,
    );
  }
  if (settings.rateBurst !== undefined) refuseBurstWithoutRate('rateLimit', 'rateBurst', settings);
  if (settings.metricRateBurst !== undefined) {
    refuseBurstWithoutRate('metricRateLimit', 'metricRateBurst', settings);
  }
  const bodies = largestBodiesBytes(workers, maxBodyBytes);
  if (inflightBodyBytes < bodies) {
    fail(
      `--inflight-body-bytes ${inflightBodyBytes}: ${workers} workers with a body of --max-body-bytes ${maxBodyBytes} each take ${bodies}; raise it, or lower --workers or --max-body-bytes`,
    );
  }
  if (config.clientId === 'forwarded' && config.trustedProxies === undefined) {
    fail(
      '--client-id forwarded: needs --trusted-proxies with the addresses of your proxies; otherwise any client could choose its identity',
    );
  }
  if (config.clientId !== 'forwarded' && config.trustedProxies !== undefined) {
    fail(
      `--trusted-proxies: has no effect with --client-id ${config.clientId}; add --client-id forwarded or drop the list`,
    );
  }
  if ((config.tlsCert === undefined) !== (config.tlsKey === undefined)) {
    fail('--tls-cert and --tls-key: give both, or none to serve plain HTTP');
  }
  if (config.queueTasks < workers) {
    fail(
      `--queue-tasks ${config.queueTasks}: must be at least --workers ${workers}; raise the one or lower the other`,
    );
  }
  if (config.decompressionQueue < workers) {
    fail(
      `--decompression-queue ${config.decompressionQueue}: must be at least --workers ${workers}; raise the one or lower the other`,
    );
  }
  if (config.dedup === 'body' && config.idempotencyWindowMs === 0) {
    fail('--dedup body: needs a window to remember bodies in; raise --idempotency-window-ms or drop --dedup');
  }
  const hasRetention = config.retentionBytes > 0 || config.retentionAgeMs > 0;
  if (config.requiredSinks !== undefined && !hasRetention) {
    fail(
      `--required-sinks ${config.requiredSinks}: has no effect without retention; set --retention-bytes or --retention-age-ms`,
    );
  }
  if (config.retentionBytes > 0 && config.retentionBytes < config.segmentBytes) {
    fail(
      `--retention-bytes ${config.retentionBytes}: must be 0 or at least --segment-bytes ${config.segmentBytes}; raise the one or lower the other`,
    );
  }
}

function refuseBurstWithoutRate(
  rate: 'rateLimit' | 'metricRateLimit',
  burst: 'rateBurst' | 'metricRateBurst',
  settings: Settings,
): void {
  if (settings[rate] !== 0) return;
  fail(`${specOf(burst).flag}: has no effect while ${specOf(rate).flag} is 0; set a rate or drop the burst`);
}
