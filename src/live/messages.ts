/** The messages of `GET /live`: the first one is an Opening, then one Snapshot follows each second. */
import type { Stage } from '../telemetry/recorder.ts';

/** Latencies in milliseconds; null if nothing was measured. */
export interface Latency {
  readonly count: number;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
}

/** Facts that do not change while the server runs. */
export interface ServerFacts {
  readonly version: string;
  readonly phase: number;
  readonly phaseName: string;
  readonly workers: number;
  readonly ack: string;
  readonly queueCapacity: number;
}

/**
 * The values of one second. `time` is Unix seconds; `accepted` and `rejected` are metrics per second; `answered`,
 * `limited` (429) and `unavailable` (503) are responses per second; `storedBytes` is bytes per second; `depth` is
 * requests; `breaker` is a `BreakerState`; latencies are milliseconds. null: nothing was measured.
 */
export type Column =
  | 'time'
  | 'answered'
  | 'accepted'
  | 'rejected'
  | 'limited'
  | 'unavailable'
  | 'storedBytes'
  | 'depth'
  | 'breaker'
  | 'requestP50'
  | 'requestP90'
  | 'requestP99'
  | `${Stage}P99`;

export type Point = Readonly<Record<Column, number | null>>;
/** The points of the last minutes by column, oldest first. */
export type Columns = Record<Column, (number | null)[]>;

/** Counts since the start. */
export interface Totals {
  readonly answered: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly limited: number;
  readonly unavailable: number;
  readonly storedBytes: number;
}

/** Rates and latencies of one second. */
export interface Second {
  readonly point: Point;
  readonly totals: Totals;
  /** 503 responses per second, by the reasons that occurred. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Of requests answered with 2xx, and of each stage. */
  readonly request: Latency;
  readonly stages: Readonly<Record<Stage, Latency>>;
}

export interface LimitedClient {
  /** 16 hexadecimal digits without a meaning outside this process. */
  readonly client: string;
  /** Requests, or metrics if only these are limited: per second over the last seconds, and since the client arrived. */
  readonly refusedPerSecond: number;
  readonly refused: number;
  readonly allowed: number;
}

/** A sink of the log, as its exporter last reported. */
export interface SinkState {
  readonly sink: string;
  /** `shipping`, `waiting`, `retrying`, `stopped`, `failed`, or `silent` when the exporter does not report. */
  readonly state: string;
  readonly lagSeconds: number;
  readonly lagCommits: number;
  readonly lagBytes: number;
  /** The error of its last try, or ''. */
  readonly error: string;
}

export interface Snapshot extends Second {
  readonly queue: { readonly depth: number; readonly bytes: number; readonly headAgeMs: number };
  /** Delay from queueing to stored, its target, and the bytes in flight that admission allows. 0: admission is off. */
  readonly admission: {
    readonly delayMs: number;
    readonly targetDelayMs: number;
    readonly limitBytes: number;
  };
  /** Free bytes, the reserve below which requests are refused, and the seconds until then; null: it does not fill. */
  readonly disk: {
    readonly freeBytes: number;
    readonly reserveBytes: number;
    readonly fullSeconds: number | null;
  };
  readonly limitedClients: readonly LimitedClient[];
  /** By name. */
  readonly sinks: readonly SinkState[];
  readonly uptimeSeconds: number;
}

export interface Opening extends Snapshot {
  readonly server: ServerFacts;
  readonly columns: Columns;
}
