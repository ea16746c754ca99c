/**
 * Every option of the server, once: a zod schema that reads it, and the details that people see.
 *
 * Flags, environment variables, members of the `--config` file, types, help, error messages and the table in
 * docs/operating.md follow from the entries of `OPTIONS`.
 */
import { z } from 'zod';
import { IpRanges } from '../base/ip-address.ts';
import { BATCH_CEILING, BODY_CEILING_BYTES } from '../parser/parser.ts';
import { DAY_MS, formatQuantity, GIB, type Kind, parseQuantity } from './units.ts';

interface Details {
  /** Stands for the value in the help text, such as `<size>`. */
  readonly placeholder: string;
  /** Allowed values in words, for help, errors and docs. */
  readonly allowed: string;
  readonly help: string;
  /** How the value is printed; plain when undefined. */
  readonly kind?: Kind;
  /** Default, as an operator would write it. */
  readonly fallback?: string;
  /** For an option without a default: where its value comes from when it is not given. */
  readonly derived?: string;
}

const details = z.registry<Details>();

/** An option with a default. */
function option<Schema extends z.ZodType>(schema: Schema, described: Details & { fallback: string }): Schema {
  details.add(schema, described);
  return schema;
}

/** An option without a default: undefined when it is not given. */
function optional<Schema extends z.ZodType>(schema: Schema, described: Details & { derived: string }) {
  const optionalSchema = schema.optional();
  details.add(optionalSchema, described);
  return optionalSchema;
}

/** A quantity as text with a unit, or a number in the base unit. */
function quantity(kind: Kind, min: number, max: number) {
  const bounded = z.number().min(min).max(max);
  return z.preprocess(
    (input, context) => {
      if (typeof input !== 'string') return input;
      const value = parseQuantity(kind, input);
      if (typeof value === 'number') return value;
      context.addIssue({ code: 'custom', message: value });
      return z.NEVER;
    },
    kind === 'rate' ? bounded : bounded.int(),
  );
}

function numberOf(input: unknown): unknown {
  return typeof input === 'string' && input.trim() !== '' ? Number(input) : input;
}

const PLACEHOLDERS: Readonly<Record<Kind, string>> = {
  duration: '<duration>',
  size: '<size>',
  rate: '<rate>',
  count: '<n>',
};

function detailsOf(kind: Kind, min: number, max: number, help: string): Details {
  const [least, most] = [min, max].map((bound) => formatQuantity(kind, bound));
  return { placeholder: PLACEHOLDERS[kind], allowed: `${least} to ${most}`, help, kind };
}

function bounded(kind: Kind, fallback: string, min: number, max: number, help: string) {
  return option(quantity(kind, min, max), { ...detailsOf(kind, min, max, help), fallback });
}

/** @param derived where the value comes from when the option is not given */
function derived(kind: Kind, derived: string, min: number, max: number, help: string) {
  return optional(quantity(kind, min, max), { ...detailsOf(kind, min, max, help), derived });
}

const PATH_MAX_CHARS = 4_096;

function file(help: string) {
  return optional(z.string().min(1).max(PATH_MAX_CHARS), {
    placeholder: '<file>',
    allowed: 'a file that this process may read',
    derived: 'none',
    help,
  });
}

function choice<Schema extends z.ZodEnum>(
  schema: Schema,
  placeholder: string,
  fallback: string,
  help: string,
) {
  return option(schema, { placeholder, allowed: schema.options.join(', '), fallback, help });
}

const CLIENT_ID = /^(address|authorization|forwarded|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$/;
/** As `isSinkName` in storage/cursor-file.ts allows. */
const SINK_LIST = /^[a-z0-9][a-z0-9._-]{0,63}(,[a-z0-9][a-z0-9._-]{0,63})*$/;
/** Names the member of the list that is neither an address nor a range. */
function invalidRange(list: string): string {
  const parsed = IpRanges.parse(list);
  return parsed instanceof IpRanges ? '' : `${JSON.stringify(parsed.invalid)} is neither`;
}

const RATE_MAX = 1e9;
const DISK_MAX_BYTES = 2 ** 50;
const TIMEOUT_MAX_MS = 600_000;
export const WORKERS_MAX = 64;
/** Numbers of the rows of `PHASES` (src/phases.ts), in order. */
export const PHASE_NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7.1, 7.2, 7.4] as const;
const LAST_PHASE = PHASE_NUMBERS[PHASE_NUMBERS.length - 1];

export const OPTIONS = z.object({
  port: bounded('count', '8080', 0, 65_535, 'port to listen on; 0 picks a free one'),
  host: option(z.string().min(1).max(255), {
    placeholder: '<address>',
    allowed: 'an IP address or host name of this machine',
    fallback: '127.0.0.1',
    help: 'address to listen on',
  }),
  dataDir: option(z.string().min(1).max(PATH_MAX_CHARS), {
    placeholder: '<dir>',
    allowed: 'a directory that this process may write',
    fallback: './data',
    help: 'directory of the metrics files; created when missing',
  }),
  workers: option(z.union([z.literal('auto'), quantity('count', 1, WORKERS_MAX)]), {
    placeholder: '<n|auto>',
    allowed: `auto (as many as CPUs and memory allow), or 1 to ${WORKERS_MAX}`,
    fallback: 'auto',
    help: 'ingest threads',
  }),
  phase: option(z.preprocess(numberOf, z.literal(PHASE_NUMBERS)), {
    placeholder: '<n>',
    allowed: PHASE_NUMBERS.join(', '),
    fallback: `${LAST_PHASE}`,
    help: 'phase of the optimisation journey to run (see: metricsstream phases)',
  }),
  revert: choice(
    z.enum(['none', 'dispatch', 'writer', 'parser', 'limiter', 'telemetry']),
    '<slot>',
    'none',
    'run this component as it was before its last change, for comparison',
  ),
  ack: choice(z.enum(['received', 'written', 'synced']), '<level>', 'synced', 'when a POST is answered'),
  rateLimit: bounded('rate', '10k', 0, RATE_MAX, 'requests per second for each client; 0: no limit'),
  rateBurst: derived('rate', 'the rate limit, at least 1', 1, RATE_MAX, 'requests a client may send at once'),
  metricRateLimit: bounded('rate', '0', 0, RATE_MAX, 'metrics per second for each client; 0: no limit'),
  metricRateBurst: derived(
    'rate',
    'the metric rate limit, at least 1',
    1,
    RATE_MAX,
    'metrics a client may send at once; a larger batch gets 413',
  ),
  clientId: optional(z.string().regex(CLIENT_ID), {
    placeholder: '<source>',
    allowed: 'address, authorization, forwarded or header:<name>',
    derived: 'authorization with --tokens-file, else address',
    help: 'identifies a client to the limits',
  }),
  trustedProxies: optional(
    z
      .string()
      .max(PATH_MAX_CHARS)
      .refine((list) => IpRanges.parse(list) instanceof IpRanges, {
        error: ({ input }) => invalidRange(String(input)),
      }),
    {
      placeholder: '<list>',
      allowed: 'IP addresses and CIDR ranges, separated by commas',
      derived: 'none',
      help: 'proxies whose Forwarded or X-Forwarded-For counts, with --client-id forwarded',
    },
  ),
  idempotencyWindowMs: bounded(
    'duration',
    '10m',
    0,
    7 * DAY_MS,
    'how long an idempotency key is remembered, also across restarts; 0 refuses keys',
  ),
  idempotencyKeys: bounded(
    'count',
    '131072',
    64,
    16_777_216,
    'idempotency keys remembered at once; beyond, the oldest are forgotten',
  ),
  dedup: choice(
    z.enum(['off', 'body']),
    '<mode>',
    'off',
    'body: store repeated bodies without a key once, if each of their metrics has a timestamp',
  ),
  limiterClients: bounded('count', '65536', 16, 4_194_304, 'clients the limiter remembers at once'),
  maxBodyBytes: bounded(
    'size',
    '8m',
    1_024,
    BODY_CEILING_BYTES,
    'largest request body, also after decompression',
  ),
  maxBatch: bounded('count', '10000', 1, BATCH_CEILING, 'most metrics in one request'),
  maxHeaderBytes: bounded('size', '8k', 256, 64 << 10, 'largest header list of a request'),
  requestThreads: bounded(
    'count',
    '32',
    1,
    256,
    'threads at once where each request has its own (phases 1 to 5)',
  ),
  queueTasks: bounded('count', '10000', 1, 1_000_000, 'requests that may wait for storage, in all workers'),
  decompressionQueue: bounded(
    'count',
    '1024',
    1,
    1_000_000,
    'compressed bodies that may wait for decompression, in all workers',
  ),
  inflightBodyBytes: derived(
    'size',
    'one largest body for each worker, at least 64m',
    1 << 20,
    4 * GIB,
    'bytes of bodies that arrive or wait for decompression, in all workers',
  ),
  journalBytes: derived(
    'size',
    'twice the largest encoded body, at least 8m',
    1 << 20,
    GIB,
    'journal ring of each worker, rounded up to a power of two',
  ),
  segmentBytes: bounded('size', '256m', 64 << 10, 64 * GIB, 'size at which a new file is begun'),
  segmentAgeMs: bounded('duration', '1h', 100, 31 * DAY_MS, 'age at which a new file is begun'),
  retentionBytes: bounded(
    'size',
    '0',
    0,
    DISK_MAX_BYTES,
    'delete the oldest files above this total; 0 keeps all',
  ),
  retentionAgeMs: bounded('duration', '0', 0, 3_650 * DAY_MS, 'delete files older than this; 0 keeps all'),
  requiredSinks: optional(z.string().regex(SINK_LIST), {
    placeholder: '<list>',
    allowed: 'names of sinks (export --name), separated by commas',
    derived: 'none',
    help: 'retention keeps what these sinks have not got yet',
  }),
  whenSinksLag: choice(
    z.enum(['keep', 'delete']),
    '<choice>',
    'keep',
    'disk nearly full and a required sink behind: refuse metrics, or let retention delete',
  ),
  minFreeBytes: bounded('size', '64m', 0, DISK_MAX_BYTES, 'free disk space below which requests are refused'),
  wal: choice(
    z.enum(['auto', 'io_uring', 'aio', 'pool', 'off']),
    '<back-end>',
    'auto',
    'write-ahead log (phases 7.2 and 7.4): this back-end, or the next in the list that works here; off: none',
  ),
  walBytes: bounded(
    'size',
    '64m',
    2 << 20,
    64 * GIB,
    'write-ahead file of each worker; below --journal-bytes the write-ahead log is off',
  ),
  directBytes: bounded('size', '512k', 0, GIB, 'commits of this size on bypass the page cache; 0 never does'),
  syncIntervalMs: bounded(
    'duration',
    '1s',
    10,
    60_000,
    'time between background syncs of the segments; with --ack synced, behind the write-ahead log',
  ),
  requestTimeoutMs: bounded('duration', '5s', 50, TIMEOUT_MAX_MS, 'longest wait for storage before 504'),
  bodyTimeoutMs: bounded('duration', '8s', 100, 9_000, 'longest time for a body to arrive before 408'),
  keepAliveMs: bounded(
    'duration',
    '65s',
    1_000,
    TIMEOUT_MAX_MS,
    'idle time that Keep-Alive announces; connections live 5 s longer',
  ),
  syncTimeoutMs: bounded(
    'duration',
    '3s',
    50,
    TIMEOUT_MAX_MS,
    'sync after which storage counts as stalled and its breaker opens',
  ),
  drainTimeoutMs: bounded(
    'duration',
    '5s',
    100,
    TIMEOUT_MAX_MS,
    'time that a stop gives requests in flight; the last write and sync follow, as long as the disk needs',
  ),
  targetDelayMs: bounded(
    'duration',
    '50ms',
    0,
    60_000,
    'delay that admission aims at (from phase 6 on); 0 leaves only the static bounds',
  ),
  breakerFailures: bounded('count', '5', 1, 1_000, 'failures in a row that open the storage breaker'),
  breakerErrorPercent: bounded(
    'count',
    '50',
    1,
    100,
    'share of failures within the window that opens the storage breaker',
  ),
  breakerWindowMs: bounded('duration', '10s', 1_000, TIMEOUT_MAX_MS, 'window over which failures are judged'),
  breakerOpenMs: bounded(
    'duration',
    '1s',
    100,
    TIMEOUT_MAX_MS,
    'time from opening to the first probe; doubles up to 8 times as long',
  ),
  tokensFile: file('bearer tokens that POST needs; read again on SIGHUP'),
  tlsCert: file('certificate chain (PEM) to serve HTTPS with; read again on SIGHUP'),
  tlsKey: file('private key (PEM) of --tls-cert'),
  exploreUrl: optional(z.string().regex(/^https?:\/\/[^\s"'<>]+$/), {
    placeholder: '<url>',
    allowed: 'an http or https address',
    derived: 'no link',
    help: 'address of metricsstream explore, for a link on the live page',
  }),
  logLevel: choice(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    '<level>',
    'info',
    'minimum log level',
  ),
  logFile: optional(z.string().min(1).max(PATH_MAX_CHARS), {
    placeholder: '<file>',
    allowed: 'a file that this process may append to',
    derived: 'standard output',
    help: 'log as JSON lines to this file; reopened on SIGUSR2 and SIGHUP',
  }),
});

/** Options as given or by default; those without a default may be undefined. */
export type Settings = z.infer<typeof OPTIONS>;
export type OptionKey = keyof Settings;

export const OPTION_KEYS: readonly OptionKey[] = OPTIONS.keyof().options;

export interface OptionSpec extends Details {
  readonly key: OptionKey;
  readonly flag: string;
  readonly variable: string;
}

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export function specOf(key: OptionKey): OptionSpec {
  const found = details.get(OPTIONS.shape[key]);
  if (found === undefined)
    throw new RangeError(`option ${key} has no details; declare it with option() or optional()`);
  const name = kebab(key);
  return {
    ...found,
    key,
    flag: `--${name}`,
    variable: `METRICSSTREAM_${name.replaceAll('-', '_').toUpperCase()}`,
  };
}
