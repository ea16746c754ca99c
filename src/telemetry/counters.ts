/**
 * Exact counters and gauges: one Float64 slot per name in a block that only its own thread writes (that of the
 * synchronous writer: only whoever holds its lock).
 *
 * Plain stores suffice: an aligned 8-byte store is not torn on the platforms supported, a scrape may be a few
 * events late, and sums over threads are taken at scrape time. Each block is padded to whole cache lines.
 */
import { alignUp, LINE_BYTES } from '../base/shared-memory.ts';

/** Every status a request can be answered with, in the order of the counter slots. */
export const STATUSES = [200, 202, 400, 401, 404, 405, 408, 413, 415, 429, 431, 503, 504] as const;
export type Status = (typeof STATUSES)[number];

/** Why a request was refused with 503. */
export const UNAVAILABLE_REASONS = [
  'queue_full',
  'body_bytes_full',
  'journal_full',
  'disk_failed',
  'draining',
  'limiter_busy',
  'overloaded',
  'breaker_open',
] as const;

/** What ran out of time; see docs/operating.md for what each means to client and operator. */
export const TIMEOUT_KINDS = ['body', 'request', 'drain'] as const;

/** What became of metrics whose request had been answered 504 before. */
export const LATE_OUTCOMES = ['stored', 'refused', 'unknown'] as const;

/** Kinds of body, in the order of `BodyFormat`. */
export const CONTENT_TYPES = ['json', 'ndjson'] as const;

/** Types of metric, in the order of their codes in the parser's columns (a test compares). */
export const METRIC_TYPES = ['gauge', 'counter', 'histogram', 'summary'] as const;
export type MetricType = (typeof METRIC_TYPES)[number];

/** Client classes that are counted apart: names from the tokens file, `anonymous` first, `other` last. */
export const CLASSES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** Why metrics were not accepted; item reasons are counted per metric, the others per request. */
export const REJECT_REASONS = [
  'malformed',
  'invalid_item',
  'strict',
  'too_large',
  'rate_limited',
  'unavailable',
] as const;

const statusNames = STATUSES.map((status) => `requests_${status}` as const);
const unavailableNames = UNAVAILABLE_REASONS.map((reason) => `unavailable_${reason}` as const);
const rejectNames = REJECT_REASONS.map((reason) => `rejected_${reason}` as const);

const timeoutNames = TIMEOUT_KINDS.map((kind) => `timeouts_${kind}` as const);
const lateNames = LATE_OUTCOMES.map((outcome) => `late_${outcome}` as const);
/** By content type, and of each first those that failed: slot of `parsed_json_failed` plus 2 times the format, plus 1 when ok. */
const parsedNames = CONTENT_TYPES.flatMap((type) => [`parsed_${type}_failed`, `parsed_${type}_ok`] as const);

const classRequestNames = CLASSES.map((index) => `class_${index}_requests` as const);
/** By class, then by type: the slot of a class and a type is the first one's plus 4 times the class plus the type's code. */
const ingestedNames = CLASSES.flatMap((index) =>
  METRIC_TYPES.map((type) => `ingested_${index}_${type}` as const),
);

/** Slots of an ingest worker. `*_now` are gauges of that worker's own state. */
export const WORKER_SLOTS = [
  ...statusNames,
  ...unavailableNames,
  ...rejectNames,
  ...timeoutNames,
  ...lateNames,
  ...parsedNames,
  ...classRequestNames,
  ...ingestedNames,
  'requests_received',
  'requests_aborted',
  'metrics_accepted',
  'metrics_unknown',
  'body_bytes',
  'decoded_bytes',
  'limited_requests',
  'limited_metrics',
  'queue_tasks_now',
  'queue_bytes_now',
  'body_bytes_now',
  'queue_head_age_ms_now',
  'admission_limit_bytes_now',
  'admission_delay_us_now',
  'admission_target_us_now',
] as const;

/** Slots of the writer thread. */
export const WRITER_SLOTS = [
  'commits',
  'lines_written',
  'bytes_written',
  'direct_writes',
  'short_writes',
  'syncs',
  'write_errors',
  'sync_errors',
  'rotation_failures',
  'segments_created',
  'segments_deleted',
  'refused_lines',
  'unknown_lines',
  'lost_acknowledged_lines',
  'recovered_bytes',
  'truncated_bytes',
  'damaged_commits',
  'segment_sequence_now',
  'segment_bytes_now',
  'unsynced_bytes_now',
  'unsynced_lines_now',
  'free_bytes_now',
  'commit_fixed_ms_now',
  'commit_bytes_per_ms_now',
  'released_at_ms_now',
] as const;

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
