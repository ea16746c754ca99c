/**
 * Exact counters and gauges: one Float64 slot per name, in a block that only its own thread writes. The synchronous
 * writer's block is the exception: whoever holds its lock writes it.
 *
 * Plain stores suffice. An aligned 8-byte store is not torn on the supported platforms, a scrape may lag by a few
 * events, and main sums the threads at scrape time. Each block is padded to whole cache lines.
 *
 * The tables below declare each slot together with the metric that exposes it. `GET /metrics` renders every row, so a
 * new counter or gauge needs one row here, the line that writes the slot, and its row in docs/operating.md.
 */
import { alignUp, LINE_BYTES } from '../base/shared-memory.ts';
import { MS_PER_SECOND, US_PER_SECOND } from '../base/units.ts';
import { COUNTED_REASONS } from './unavailable.ts';

/** Every status of a response, in the order of the counter slots. */
export const STATUSES = [200, 202, 400, 401, 404, 405, 408, 409, 413, 415, 422, 429, 431, 503, 504] as const;
export type Status = (typeof STATUSES)[number];

/** Which deadline passed; docs/operating.md explains each to clients and operators. */
export const TIMEOUT_KINDS = ['body', 'request', 'drain'] as const;

/** The outcome, once known, of metrics whose request had already got a 504. */
export const LATE_OUTCOMES = ['stored', 'refused', 'unknown'] as const;

/** Kinds of body, in the order of `BodyFormat`. */
export const CONTENT_TYPES = ['json', 'ndjson'] as const;

/** Types of metric, in the order of their codes in the parser's columns (a test compares). */
export const METRIC_TYPES = ['gauge', 'counter', 'histogram', 'summary'] as const;
export type MetricType = (typeof METRIC_TYPES)[number];

/** Client classes with counts of their own: `anonymous` first, names from the tokens file, `other` last. */
export const CLASSES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] as const;
export type ClassIndex = (typeof CLASSES)[number];

/** Why metrics were not accepted. `malformed` and `too_large` count requests where the number of metrics is unknown. */
export const REJECT_REASONS = [
  'malformed',
  'invalid_item',
  'strict',
  'too_large',
  'rate_limited',
  'idempotency',
  'unavailable',
] as const;

/** A slot that `GET /metrics` exposes as one counter or gauge without labels. */
export interface ExposedSlot {
  readonly type: 'counter' | 'gauge';
  /** Without the common prefix; see https://prometheus.io/docs/practices/naming/. */
  readonly name: string;
  readonly help: string;
  /** Slot units in one base unit (second, byte); default 1. */
  readonly divisor?: number;
  /** How main combines the threads' values; default `sum`. */
  readonly combine?: 'sum' | 'max';
}

/** A slot that only other threads read, for the given purpose. */
interface InternalSlot {
  readonly internalFor: string;
}

export type SlotRow = ExposedSlot | InternalSlot;

/** Slots that `GET /metrics` exposes as one counter, told apart by a label. Slot names are `<key>_<value>`. */
interface SlotFamily {
  readonly name: `${string}_total`;
  readonly help: `${string}.`;
  readonly label: string;
  readonly values: readonly (string | number)[];
}

const counter = (name: `${string}_total`, help: `${string}.`): ExposedSlot => ({
  type: 'counter',
  name,
  help,
});

const gauge = (
  name: string,
  help: `${string}.`,
  reading: Pick<ExposedSlot, 'divisor' | 'combine'> = {},
): ExposedSlot => ({ type: 'gauge', name, help, ...reading });

const internal = (internalFor: string): InternalSlot => ({ internalFor });

/** Slots of an ingest worker, one metric each. `*_now` slots are gauges of that worker's own state. */
export const WORKER_TABLE = {
  requests_received: counter('requests_received_total', 'Requests whose headers arrived.'),
  requests_aborted: counter(
    'requests_aborted_total',
    'Requests whose client disconnected before the response.',
  ),
  responses_unread: counter(
    'unread_responses_closed_total',
    'Connections closed because 64 others, too, left a page or a scrape unread.',
  ),
  metrics_accepted: counter('metrics_accepted_total', 'Metrics acknowledged with 200 or 202.'),
  metrics_unknown: counter('metrics_unknown_total', 'Metrics answered with 504: stored or not.'),
  body_bytes: counter('received_bytes_total', 'Body bytes received, as sent.'),
  decoded_bytes: counter('decoded_bytes_total', 'Body bytes after decompression.'),
  limited_requests: counter('limited_requests_total', 'Requests refused with 429 by the request limit.'),
  limited_metrics: counter('limited_metrics_total', 'Metrics refused with 429 by the metric limit.'),
  idempotency_stored: counter(
    'idempotency_keys_stored_total',
    'Idempotency keys whose requests were stored.',
  ),
  idempotency_replays: counter(
    'idempotency_replays_total',
    'Repeated requests that got their first response again and stored nothing.',
  ),
  idempotency_evictions: counter(
    'idempotency_evictions_total',
    'Idempotency keys forgotten before their window ended, to make room.',
  ),
  idempotency_in_flight_now: gauge('idempotency_in_flight', 'Idempotency keys of requests in flight.'),
  queue_tasks_now: gauge('queue_depth', 'Requests waiting for storage.'),
  queue_bytes_now: gauge('queue_bytes', 'Bytes in the journals, not yet stored.'),
  body_bytes_now: gauge(
    'inflight_body_bytes',
    'Bytes of memory that holds arriving bodies and compressed bodies that wait.',
  ),
  decompressions_now: gauge('decompression_queue_depth', 'Compressed bodies waiting for decompression.'),
  queue_head_age_ms_now: gauge('queue_head_age_seconds', 'Age of the oldest request waiting for storage.', {
    divisor: MS_PER_SECOND,
    combine: 'max',
  }),
  admission_limit_bytes_now: gauge(
    'admission_limit_bytes',
    'Bytes that may wait for storage while it is loaded.',
  ),
  admission_delay_us_now: gauge(
    'admission_delay_seconds',
    'Time from queueing to stored, in the slowest worker.',
    { divisor: US_PER_SECOND, combine: 'max' },
  ),
  admission_target_us_now: gauge(
    'admission_target_delay_seconds',
    'The delay that adaptive admission steers to.',
    { divisor: US_PER_SECOND, combine: 'max' },
  ),
} as const satisfies Record<string, SlotRow>;

/** Slots of an ingest worker that form one metric with a label. */
export const WORKER_FAMILIES = {
  requests: {
    name: 'requests_total',
    help: 'Requests answered, by status.',
    label: 'status',
    values: STATUSES,
  },
  unavailable: {
    name: 'requests_unavailable_total',
    help: 'Requests refused with 503, by reason.',
    label: 'reason',
    values: COUNTED_REASONS,
  },
  rejected: {
    name: 'metrics_rejected_total',
    help: 'Metrics not stored, by reason; malformed and too_large count requests where the metrics are unknown.',
    label: 'reason',
    values: REJECT_REASONS,
  },
  late: {
    name: 'late_outcomes_total',
    help: 'Metrics answered with 504 before storage settled them, by their later outcome.',
    label: 'outcome',
    values: LATE_OUTCOMES,
  },
} as const satisfies Record<string, SlotFamily>;

type Families = typeof WORKER_FAMILIES;
type FamilySlot = {
  [Key in keyof Families & string]: `${Key}_${Families[Key]['values'][number]}`;
}[keyof Families & string];

/** The slot of one value of a family. */
export function familySlot<Key extends keyof Families & string>(
  key: Key,
  value: Families[Key]['values'][number],
): FamilySlot {
  return `${key}_${value}` as FamilySlot;
}

const familySlots = (Object.keys(WORKER_FAMILIES) as (keyof Families)[]).flatMap((key) =>
  WORKER_FAMILIES[key].values.map((value) => `${key}_${value}` as FamilySlot),
);

/** exposition/metrics/ingest.ts exposes these: they have two labels, or a value from elsewhere. */
const timeoutSlots = TIMEOUT_KINDS.map((kind) => `timeouts_${kind}` as const);
/** By content type, failed first: the slot of `parsed_json_failed`, plus 2 times the format, plus 1 if well-formed. */
const parsedSlots = CONTENT_TYPES.flatMap((type) => [`parsed_${type}_failed`, `parsed_${type}_ok`] as const);
const classRequestSlots = CLASSES.map((index) => `class_${index}_requests` as const);
/** By class, then by type: the slot of `ingested_0_gauge`, plus 4 times the class, plus the type's code. */
const ingestedSlots = CLASSES.flatMap((index) =>
  METRIC_TYPES.map((type) => `ingested_${index}_${type}` as const),
);

/** Slots of an ingest worker. */
export const WORKER_SLOTS = [
  ...familySlots,
  ...timeoutSlots,
  ...parsedSlots,
  ...classRequestSlots,
  ...ingestedSlots,
  ...(Object.keys(WORKER_TABLE) as (keyof typeof WORKER_TABLE)[]),
];

/** Slots of the writer, one metric each. */
export const WRITER_TABLE = {
  commits: counter('commits_total', 'Group commits written.'),
  lines_written: counter('stored_metrics_total', 'Metrics written to segments.'),
  bytes_written: counter('stored_bytes_total', 'Bytes written to segments.'),
  direct_writes: counter('direct_writes_total', 'Writes that bypassed the page cache.'),
  short_writes: counter('short_writes_total', 'Writes that stored only a part.'),
  syncs: counter('syncs_total', 'Calls of fdatasync that succeeded.'),
  wal_bytes: counter('wal_written_bytes_total', 'Bytes written to the write-ahead log, with padding.'),
  wal_records: counter('wal_records_total', 'Records made durable in the write-ahead log.'),
  wal_fill_now: gauge('wal_fill_ratio', 'Share of the fullest write-ahead file not yet synced in segments.'),
  write_errors: counter('write_errors_total', 'Writes that failed.'),
  sync_errors: counter(
    'sync_errors_total',
    'Syncs of a file or the directory, and writes to the write-ahead log, that failed.',
  ),
  rotation_failures: counter('rotation_failures_total', 'Failed attempts to create a new segment.'),
  segments_created: counter('segments_created_total', 'Segment files created.'),
  segments_deleted: counter('segments_deleted_total', 'Segment files deleted by retention.'),
  segments_unshipped: counter(
    'segments_deleted_unshipped_total',
    'Segments deleted although a required sink lacked them.',
  ),
  held_segments_now: gauge(
    'retention_held_segments',
    'Segments that retention keeps only because a required sink lacks them.',
  ),
  refused_lines: counter('refused_metrics_total', 'Metrics the writer could not store.'),
  unknown_lines: counter('unknown_metrics_total', 'Metrics whose sync failed: on disk or not.'),
  lost_acknowledged_lines: counter(
    'lost_acknowledged_metrics_total',
    'Metrics acknowledged with 202 and then not stored.',
  ),
  recovered_bytes: gauge('recovered_bytes', 'Valid bytes found in the last segment at start.'),
  truncated_bytes: gauge('recovery_truncated_bytes', 'Bytes of a torn tail cut off at start.'),
  damaged_commits: gauge('damaged_commits', 'Commits found damaged before the last good one at start.'),
  set_aside_files: gauge('set_aside_files', 'Segments with a damaged end that the start set aside.'),
  missing_commits: gauge('missing_commits', 'Commits of the log that no segment held at start.'),
  restored_keys: gauge('idempotency_restored_keys', 'Idempotency keys read back from segments at start.'),
  segments_touched: counter(
    'segments_touched_total',
    'Segments found deleted, moved, replaced, cut or extended by another process.',
  ),
  segment_sequence_now: gauge('segment_sequence', 'Sequence number of the open segment.'),
  segment_bytes_now: gauge('segment_bytes', 'Bytes in the open segment.'),
  unsynced_bytes_now: gauge('unsynced_bytes', 'Bytes written and not yet synced.'),
  unsynced_lines_now: gauge('unsynced_metrics', 'Metrics written and not yet synced.'),
  free_bytes_now: internal('disk_free_bytes, which main also measures itself'),
  commit_fixed_ms_now: internal('the cost model of adaptive admission'),
  commit_bytes_per_ms_now: internal('the cost model of adaptive admission'),
  released_at_ms_now: internal('the storage delay that adaptive admission sees'),
} as const satisfies Record<string, SlotRow>;

/** Slots of the writer thread. */
export const WRITER_SLOTS = Object.keys(WRITER_TABLE) as (keyof typeof WRITER_TABLE)[];

export type WorkerSlot = (typeof WORKER_SLOTS)[number];
export type WriterSlot = (typeof WRITER_SLOTS)[number];

/** The index of each name, to write `block[WORKER.metrics_accepted] += n`. */
export function slotIndex<Name extends string>(names: readonly Name[]): Readonly<Record<Name, number>> {
  return Object.freeze(Object.fromEntries(names.map((name, index) => [name, index]))) as Record<Name, number>;
}

export const WORKER = slotIndex(WORKER_SLOTS);
export const WRITER = slotIndex(WRITER_SLOTS);

/** A zeroed block for `names`, in its own shared memory, padded to whole cache lines. */
export function createCounterBlock(names: readonly string[]): SharedArrayBuffer {
  return new SharedArrayBuffer(alignUp(names.length * Float64Array.BYTES_PER_ELEMENT, LINE_BYTES));
}
