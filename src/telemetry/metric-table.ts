/**
 * Every metric of our own, once: name, type, labels, help, and where its value comes from.
 *
 * Names follow https://prometheus.io/docs/practices/naming/: base units (seconds, bytes), `_total` for counters.
 * docs/operating.md lists the same names; a test compares the two.
 */
import { REJECT_REASONS, STATUSES, UNAVAILABLE_REASONS } from './counters.ts';
import { type HistogramReading, UPPER_BOUNDS } from './histogram.ts';
import { type Readings, STAGES } from './readings.ts';
import { STATUS_CLASSES } from './recorder.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly value: number;
  readonly labels?: Labels;
}

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface ScalarMetric extends Described {
  readonly type: 'counter' | 'gauge';
  read(): readonly Sample[];
}

export interface HistogramMetric extends Described {
  readonly type: 'histogram';
  /** Recorded units in a base unit; a divisor, because 1 / 1e9 is no exact factor. */
  readonly divisor: number;
  /** Which of UPPER_BOUNDS are shown; `+Inf` always is. */
  readonly buckets: readonly number[];
  read(): readonly { readonly reading: HistogramReading; readonly labels?: Labels }[];
}

export type MetricDescription = ScalarMetric | HistogramMetric;

const PREFIX = 'metricsstream_';
const NS_PER_SECOND = 1e9;
const MS_PER_SECOND = 1e3;

/** Every `step`-th power of two from 2^first to 2^last, as indexes of UPPER_BOUNDS. */
function powersOfTwo(first: number, last: number, step = 1): number[] {
  const exponents = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, k) => first + k * step);
  return exponents.map((exponent) => UPPER_BOUNDS.indexOf(2 ** exponent));
}

/** 256 ns to 8.6 s. */
const DURATIONS = powersOfTwo(8, 33);
/** 64 B to 64 MiB. */
const SIZES = powersOfTwo(6, 26, 2);
/** 1 to 131,072. */
const COUNTS = powersOfTwo(0, 17);

function scalar(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: () => number | readonly Sample[],
  labels: readonly string[] = [],
): ScalarMetric {
  const samples = (): readonly Sample[] => {
    const value = read();
    return typeof value === 'number' ? [{ value }] : value;
  };
  return { type, name: PREFIX + name, help, labels, read: samples };
}

function histogram(
  name: string,
  help: string,
  divisor: number,
  buckets: readonly number[],
  read: HistogramMetric['read'],
  labels: readonly string[] = [],
): HistogramMetric {
  return { type: 'histogram', name: PREFIX + name, help, divisor, buckets, read, labels };
}

export function describeMetrics(readings: Readings): MetricDescription[] {
  return [
    ...requestMetrics(readings),
    ...latencyMetrics(readings),
    ...queueMetrics(readings),
    ...storageMetrics(readings),
    ...faultMetrics(readings),
    ...limiterMetrics(readings),
    ...processMetrics(readings),
    ...threadMetrics(readings),
  ];
}

function requestMetrics(readings: Readings): MetricDescription[] {
  const total = (name: string, help: string, slot: Parameters<Readings['workers']>[0]) =>
    scalar('counter', name, help, () => readings.workers(slot));
  return [
    scalar(
      'counter',
      'requests_total',
      'Requests answered, by status.',
      () =>
        STATUSES.map((status) => ({
          value: readings.workers(`requests_${status}`),
          labels: { status: `${status}` },
        })),
      ['status'],
    ),
    total('requests_received_total', 'Requests whose headers arrived.', 'requests_received'),
    total('requests_aborted_total', 'Requests whose client went away before the answer.', 'requests_aborted'),
    scalar(
      'counter',
      'requests_unavailable_total',
      'Requests refused with 503, by reason.',
      () =>
        UNAVAILABLE_REASONS.map((reason) => ({
          value: readings.workers(`unavailable_${reason}`),
          labels: { reason },
        })),
      ['reason'],
    ),
    total('metrics_accepted_total', 'Metrics acknowledged with 200 or 202.', 'metrics_accepted'),
    scalar(
      'counter',
      'metrics_rejected_total',
      'Metrics not stored, by reason; malformed and too_large count requests where the metrics are unknown.',
      () =>
        REJECT_REASONS.map((reason) => ({
          value: readings.workers(`rejected_${reason}`),
          labels: { reason },
        })),
      ['reason'],
    ),
    total('metrics_unknown_total', 'Metrics answered with 504: stored or not.', 'metrics_unknown'),
    total('limited_requests_total', 'Requests refused with 429.', 'limited_requests'),
    total('limited_metrics_total', 'Metrics refused with 429 by the metric limit.', 'limited_metrics'),
    total('received_bytes_total', 'Body bytes received, as sent.', 'body_bytes'),
    total('decoded_bytes_total', 'Body bytes after decompression.', 'decoded_bytes'),
    histogram('request_body_bytes', 'Bytes of complete bodies, after decompression.', 1, SIZES, () => [
      { reading: readings.workerHistogram('body_bytes') },
    ]),
    histogram('request_metrics', 'Metrics in each stored request.', 1, COUNTS, () => [
      { reading: readings.workerHistogram('batch_metrics') },
    ]),
  ];
}

function latencyMetrics(readings: Readings): MetricDescription[] {
  return [
    histogram(
      'request_duration_seconds',
      'From the headers to the answer, by class of status; sampled, see events_dropped_total.',
      NS_PER_SECOND,
      DURATIONS,
      () => STATUS_CLASSES.map((code) => ({ reading: readings.samples.requests(code), labels: { code } })),
      ['code'],
    ),
    histogram(
      'stage_duration_seconds',
      'Time in each stage: receive to queue for each request, journal and sync for each commit.',
      NS_PER_SECOND,
      DURATIONS,
      () => STAGES.map((stage) => ({ reading: readings.stage(stage), labels: { stage } })),
      ['stage'],
    ),
    scalar(
      'counter',
      'events_dropped_total',
      'Request samples lost to a full event ring or a busy lock; counters are not affected.',
      () => readings.samples.dropped,
    ),
  ];
}

function queueMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar('gauge', 'queue_depth', 'Requests that wait for storage.', () =>
      readings.workers('queue_tasks_now'),
    ),
    scalar(
      'gauge',
      'queue_capacity',
      'Requests that may wait for storage.',
      () => readings.sources.queueCapacity,
    ),
    scalar('gauge', 'queue_bytes', 'Bytes in the journals, not yet stored.', () =>
      readings.workers('queue_bytes_now'),
    ),
    scalar(
      'gauge',
      'queue_head_age_seconds',
      'How long the oldest waiting request has waited.',
      () => readings.highest('queue_head_age_ms_now') / MS_PER_SECOND,
    ),
    scalar('gauge', 'inflight_body_bytes', 'Bytes of buffers that hold bodies still arriving.', () =>
      readings.workers('body_bytes_now'),
    ),
  ];
}

function storageMetrics(readings: Readings): MetricDescription[] {
  const { writer } = writerScalars(readings);
  return [
    writer('counter', 'stored_metrics_total', 'Metrics written to segments.', 'lines_written'),
    writer('counter', 'stored_bytes_total', 'Bytes written to segments.', 'bytes_written'),
    writer('counter', 'commits_total', 'Group commits written.', 'commits'),
    writer('counter', 'syncs_total', 'Calls of fdatasync that succeeded.', 'syncs'),
    writer('counter', 'direct_writes_total', 'Writes that went past the page cache.', 'direct_writes'),
    histogram('commit_bytes', 'Bytes of each group commit.', 1, SIZES, () => [
      { reading: readings.writerHistogram('commit_bytes') },
    ]),
    histogram('commit_lines', 'Metrics of each group commit.', 1, COUNTS, () => [
      { reading: readings.writerHistogram('commit_lines') },
    ]),
    writer('counter', 'segments_created_total', 'Segment files created.', 'segments_created'),
    writer('counter', 'segments_deleted_total', 'Segment files deleted by retention.', 'segments_deleted'),
    writer('gauge', 'segment_sequence', 'Sequence number of the open segment.', 'segment_sequence_now'),
    writer('gauge', 'segment_bytes', 'Bytes in the open segment.', 'segment_bytes_now'),
    writer('gauge', 'unsynced_bytes', 'Bytes written and not yet synced.', 'unsynced_bytes_now'),
    writer('gauge', 'unsynced_metrics', 'Metrics written and not yet synced.', 'unsynced_lines_now'),
    writer('gauge', 'disk_free_bytes', 'Free bytes of the file system with the data.', 'free_bytes_now'),
  ];
}

function faultMetrics(readings: Readings): MetricDescription[] {
  const { writer } = writerScalars(readings);
  return [
    writer(
      'counter',
      'lost_acknowledged_metrics_total',
      'Metrics acknowledged with 202 and then not stored.',
      'lost_acknowledged_lines',
    ),
    writer('counter', 'refused_metrics_total', 'Metrics the writer could not store.', 'refused_lines'),
    writer('counter', 'unknown_metrics_total', 'Metrics whose sync failed: on disk or not.', 'unknown_lines'),
    writer('counter', 'write_errors_total', 'Writes that failed.', 'write_errors'),
    writer('counter', 'short_writes_total', 'Writes that took only a part.', 'short_writes'),
    writer('counter', 'sync_errors_total', 'Calls of fdatasync that failed.', 'sync_errors'),
    writer(
      'counter',
      'rotation_failures_total',
      'Times a new segment could not be created.',
      'rotation_failures',
    ),
    writer('gauge', 'recovered_bytes', 'Valid bytes found in the last segment at start.', 'recovered_bytes'),
    writer('gauge', 'recovery_truncated_bytes', 'Bytes of a torn tail cut off at start.', 'truncated_bytes'),
    writer('gauge', 'damaged_commits', 'Commits found damaged at start and set aside.', 'damaged_commits'),
  ];
}

function writerScalars(readings: Readings) {
  const writer = (
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    slot: Parameters<Readings['writer']>[0],
  ): ScalarMetric => scalar(type, name, help, () => readings.writer(slot));
  return { writer };
}

function limiterMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar('gauge', 'limiter_clients', 'Clients the limiter remembers.', () => readings.census.occupied),
    scalar('gauge', 'limiter_capacity', 'Clients the limiter has room for.', () => readings.census.capacity),
    scalar(
      'counter',
      'limiter_evictions_total',
      'Idle clients forgotten to make room.',
      () => readings.census.evictions,
    ),
    scalar(
      'counter',
      'limiter_overflow_total',
      'Charges to shared overflow buckets, because a new client found only active ones in its place.',
      () => readings.census.overflowed,
    ),
    scalar(
      'counter',
      'client_requests_total',
      'Requests of the busiest clients (by keyed hash), allowed and refused.',
      () => usage(readings, 'allowedRequests', 'refusedRequests'),
      ['client', 'verdict'],
    ),
    scalar(
      'counter',
      'client_metrics_total',
      'Metrics of the busiest clients (by keyed hash), allowed and refused; empty without a metric limit.',
      () =>
        readings.sources.limiter.config.metricRate > 0
          ? usage(readings, 'allowedMetrics', 'refusedMetrics')
          : [],
      ['client', 'verdict'],
    ),
  ];
}

function usage(
  readings: Readings,
  allowed: 'allowedRequests' | 'allowedMetrics',
  refused: 'refusedRequests' | 'refusedMetrics',
): Sample[] {
  return readings.census.busiest.flatMap((client) => [
    { value: client[allowed], labels: { client: client.client, verdict: 'allowed' } },
    { value: client[refused], labels: { client: client.client, verdict: 'refused' } },
  ]);
}

function processMetrics(readings: Readings): MetricDescription[] {
  const { version, phase, uws } = readings.sources;
  const build = { version, phase: `${phase}`, uws, node: process.version };
  return [
    scalar('gauge', 'build_info', 'What runs; always 1.', () => [{ value: 1, labels: build }], [
      ...Object.keys(build),
    ]),
    scalar('gauge', 'uptime_seconds', 'Time since the process started.', () => process.uptime()),
    scalar(
      'gauge',
      'threads',
      'Threads that last, by kind.',
      () => [...readings.threadKinds()].map(([kind, value]) => ({ value, labels: { kind } })),
      ['kind'],
    ),
  ];
}

function threadMetrics(readings: Readings): MetricDescription[] {
  type Stats = ReturnType<Readings['threads']>[number][1];
  const each = (type: 'counter' | 'gauge', name: string, help: string, pick: (stats: Stats) => number) =>
    scalar(
      type,
      `thread_${name}`,
      help,
      () => readings.threads().map(([thread, stats]) => ({ value: pick(stats), labels: { thread } })),
      ['thread'],
    );
  const delays = [
    ['p50', 'loop_delay_p50_ns'],
    ['p99', 'loop_delay_p99_ns'],
    ['max', 'loop_delay_max_ns'],
  ] as const;
  return [
    scalar(
      'gauge',
      'thread_event_loop_delay_seconds',
      'Delay of the event loop over the last second.',
      () =>
        readings
          .threads()
          .flatMap(([thread, stats]) =>
            delays.map(([stat, slot]) => ({ value: stats[slot] / NS_PER_SECOND, labels: { thread, stat } })),
          ),
      ['thread', 'stat'],
    ),
    each(
      'counter',
      'event_loop_active_seconds_total',
      'Time the event loop was busy.',
      (stats) => stats.loop_active_ms / MS_PER_SECOND,
    ),
    each(
      'counter',
      'event_loop_idle_seconds_total',
      'Time the event loop waited for events.',
      (stats) => stats.loop_idle_ms / MS_PER_SECOND,
    ),
    each('gauge', 'heap_used_bytes', 'V8 heap in use.', (stats) => stats.heap_used_bytes),
    each('gauge', 'heap_size_bytes', 'V8 heap allocated.', (stats) => stats.heap_total_bytes),
    each('gauge', 'external_bytes', 'Memory outside the V8 heap.', (stats) => stats.external_bytes),
    each('counter', 'gc_pauses_total', 'Garbage collections.', (stats) => stats.gc_pauses),
    each(
      'counter',
      'gc_seconds_total',
      'Time in garbage collection.',
      (stats) => stats.gc_ns / NS_PER_SECOND,
    ),
  ];
}
