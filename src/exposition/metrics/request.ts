/** Metrics of requests: what came of them, how long they took, and what waits. */
import { REJECT_REASONS, STATUSES, UNAVAILABLE_REASONS } from '../../telemetry/counters.ts';
import { STATUS_CLASSES } from '../../telemetry/recorder.ts';
import {
  COUNTS,
  DURATIONS,
  histogram,
  type MetricDescription,
  MS_PER_SECOND,
  NS_PER_SECOND,
  SIZES,
  scalar,
} from '../metric-description.ts';
import { type Readings, STAGES } from '../readings.ts';

export function requestMetrics(readings: Readings): MetricDescription[] {
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

export function latencyMetrics(readings: Readings): MetricDescription[] {
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

export function queueMetrics(readings: Readings): MetricDescription[] {
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
