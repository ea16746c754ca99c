/** Every option of the server, once: name, default, bounds and help text. Flags, environment and docs follow. */
import { z } from 'zod';
import { BATCH_CEILING, BODY_CEILING_BYTES } from '../parser/parser.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const SIZE_UNITS: Record<string, number> = { '': 1, k: KIB, m: MIB, g: GIB };

/** Numbers as text: plain, in scientific notation, or (sizes) with k, m, g, KiB, MiB, GiB. */
function parseNumber(input: unknown): unknown {
  if (typeof input !== 'string') return input;
  const sized = /^(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?$/i.exec(input.trim());
  if (sized) return Number(sized[1]) * SIZE_UNITS[sized[2]!.toLowerCase()]!;
  return input.trim() === '' ? input : Number(input);
}

const integer = (min: number, max: number) => z.preprocess(parseNumber, z.number().int().min(min).max(max));
const rate = () => z.preprocess(parseNumber, z.number().min(0).max(1e9));

export interface OptionSpec {
  readonly key: string;
  /** Placeholder in the help text, `<bytes>` say. */
  readonly value: string;
  readonly schema: z.ZodType;
  /** What is allowed, in words, for error messages and docs. */
  readonly allowed: string;
  /** Undefined: derived from other options or from the machine (`derived` says how). */
  readonly fallback: string | number | undefined;
  readonly derived?: string;
  readonly help: string;
}

function size(key: string, fallback: number, min: number, max: number, help: string): OptionSpec {
  const allowed = `${min} to ${max} bytes (k, m, g suffixes allowed)`;
  return { key, value: '<bytes>', schema: integer(min, max), allowed, fallback, help };
}

function duration(key: string, fallback: number, min: number, max: number, help: string): OptionSpec {
  return { key, value: '<ms>', schema: integer(min, max), allowed: `${min} to ${max} ms`, fallback, help };
}

function choice(
  key: string,
  values: readonly [string, ...string[]],
  fallback: string,
  help: string,
): OptionSpec {
  return { key, value: `<${key}>`, schema: z.enum(values), allowed: values.join(', '), fallback, help };
}

/** A path that may be absent. */
function text(key: string, allowed: string, help: string): OptionSpec {
  const schema = z.string().min(1).max(4096);
  return { key, value: '<file>', schema, allowed, fallback: undefined, derived: 'none', help };
}

function count(key: string, fallback: number, min: number, max: number, help: string): OptionSpec {
  return { key, value: '<n>', schema: integer(min, max), allowed: `${min} to ${max}`, fallback, help };
}

const CLIENT_ID = /^(address|authorization|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$/;

/** Values of `--revert`: a slot of the phase table, or none. */
export const REVERT = ['none', 'dispatch', 'writer', 'parser', 'limiter', 'telemetry'] as const;

export const OPTIONS: readonly OptionSpec[] = [
  count('port', 8080, 0, 65535, 'port to listen on; 0 picks a free one'),
  {
    key: 'host',
    value: '<address>',
    schema: z.string().min(1).max(255),
    allowed: 'an IP address or host name of this machine',
    fallback: '127.0.0.1',
    help: 'address to listen on',
  },
  {
    key: 'dataDir',
    value: '<dir>',
    schema: z.string().min(1).max(4096),
    allowed: 'a directory that this process may write',
    fallback: './data',
    help: 'directory of the metrics files; created when missing',
  },
  {
    key: 'workers',
    value: '<n|auto>',
    schema: z.union([z.literal('auto'), integer(1, 64)]),
    allowed: 'auto (the CPUs this process may use), or 1 to 64',
    fallback: 'auto',
    help: 'ingest threads',
  },
  count('phase', 6, 0, 6, 'phase of the optimisation journey to run (see: metricsstream phases)'),
  choice('revert', REVERT, 'none', 'run this component as it was before its last change, for comparison'),
  choice('ack', ['received', 'written', 'synced'], 'synced', 'when a POST is answered'),
  {
    key: 'rateLimit',
    value: '<n>',
    schema: rate(),
    allowed: '0 (off) to 1e9',
    fallback: 10_000,
    help: 'requests per second for each client; 0 turns the limit off',
  },
  {
    key: 'rateBurst',
    value: '<n>',
    schema: rate(),
    allowed: '1 to 1e9',
    fallback: undefined,
    derived: 'the rate limit, at least 1',
    help: 'requests a client may send at once',
  },
  {
    key: 'metricRateLimit',
    value: '<n>',
    schema: rate(),
    allowed: '0 (off) to 1e9',
    fallback: 0,
    help: 'metrics per second for each client; 0 turns the limit off',
  },
  {
    key: 'metricRateBurst',
    value: '<n>',
    schema: rate(),
    allowed: '1 to 1e9',
    fallback: undefined,
    derived: 'the metric rate limit, at least 1',
    help: 'metrics a client may send at once; a larger batch gets 413',
  },
  {
    key: 'clientId',
    value: '<source>',
    schema: z.string().regex(CLIENT_ID),
    allowed: 'address, authorization or header:<name>',
    fallback: 'address',
    derived: 'authorization with --tokens-file, else address',
    help: 'what identifies a client to the limits',
  },
  count('limiterClients', 65_536, 16, 4_194_304, 'clients the limiter remembers at once'),
  size('maxBodyBytes', 8 * MIB, KIB, BODY_CEILING_BYTES, 'largest request body, after decompression too'),
  count('maxBatch', 10_000, 1, BATCH_CEILING, 'most metrics in one request'),
  size('maxHeaderBytes', 8 * KIB, 256, 64 * KIB, 'largest header list of a request'),
  count('requestThreads', 32, 1, 256, 'threads at once where each request has its own (phases 1 to 5)'),
  count('queueTasks', 10_000, 1, 1_000_000, 'requests that may wait for storage, in all workers'),
  {
    ...size('inflightBodyBytes', 0, MIB, 4 * GIB, 'bytes of bodies being received, in all workers'),
    fallback: undefined,
    derived: 'one largest body for each worker, at least 64 MiB',
  },
  {
    ...size('journalBytes', 0, MIB, GIB, 'journal ring of each worker, rounded up to a power of two'),
    fallback: undefined,
    derived: 'twice the largest encoded body, at least 8 MiB',
  },
  size('segmentBytes', 256 * MIB, 64 * KIB, 64 * GIB, 'size at which a new file is begun'),
  duration('segmentAgeMs', 3_600_000, 100, 31 * 86_400_000, 'age at which a new file is begun'),
  size('retentionBytes', 0, 0, 2 ** 50, 'delete the oldest files above this total; 0 keeps all'),
  duration('retentionAgeMs', 0, 0, 3650 * 86_400_000, 'delete files older than this; 0 keeps all'),
  size('minFreeBytes', 64 * MIB, 0, 2 ** 50, 'free disk space below which requests are refused'),
  size('directBytes', 512 * KIB, 0, GIB, 'commits of this size on bypass the page cache; 0 never does'),
  duration('syncIntervalMs', 1_000, 10, 60_000, 'background sync for --ack received and written'),
  duration('requestTimeoutMs', 5_000, 50, 600_000, 'longest wait for storage before 504'),
  duration('bodyTimeoutMs', 8_000, 100, 9_000, 'longest time for a body to arrive before 408'),
  duration(
    'syncTimeoutMs',
    3_000,
    50,
    600_000,
    'sync after which storage counts as stalled and its breaker opens',
  ),
  duration('drainTimeoutMs', 5_000, 100, 600_000, 'longest orderly shutdown'),
  duration(
    'targetDelayMs',
    50,
    0,
    60_000,
    'delay that admission aims at (phase 6); 0 leaves only the static bounds',
  ),
  count('breakerFailures', 5, 1, 1_000, 'failures in a row that open the storage breaker'),
  count(
    'breakerErrorPercent',
    50,
    1,
    100,
    'share of failures within the window that opens the storage breaker',
  ),
  duration('breakerWindowMs', 10_000, 1_000, 600_000, 'window over which failures are judged'),
  duration(
    'breakerOpenMs',
    1_000,
    100,
    600_000,
    'time from opening to the first probe; doubles up to 8 times as long',
  ),
  text(
    'tokensFile',
    'a file that this process may read',
    'bearer tokens that POST needs; read again on SIGHUP',
  ),
  text(
    'tlsCert',
    'a file that this process may read',
    'certificate chain (PEM) to serve HTTPS with; read again on SIGHUP',
  ),
  text('tlsKey', 'a file that this process may read', 'private key (PEM) of --tls-cert'),
  choice('logLevel', ['trace', 'debug', 'info', 'warn', 'error', 'silent'], 'info', 'least severe log line'),
];

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

export const flagOf = (key: string): string => `--${kebab(key)}`;
export const variableOf = (key: string): string =>
  `METRICSSTREAM_${kebab(key).replaceAll('-', '_').toUpperCase()}`;
