/** Metrics of requests that one slot cannot hold: sizes, durations and the queue's capacity. */
import { NS_PER_SECOND } from '../../base/units.ts';
import { STAGES, STATUS_CLASSES } from '../../telemetry/recorder.ts';
import {
  COUNTS,
  DURATIONS,
  histogram,
  type MetricDescription,
  SIZES,
  scalar,
} from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function requestMetrics(readings: Readings): MetricDescription[] {
  return [
    histogram('request_body_bytes', 'Bytes of complete bodies, after decompression.', 1, SIZES, () => [
      { reading: readings.workerHistogram('body_bytes') },
    ]),
    histogram('request_metrics', 'Items of each journaled request, valid and invalid.', 1, COUNTS, () => [
      { reading: readings.workerHistogram('batch_metrics') },
    ]),
    scalar(
      'gauge',
      'queue_capacity',
      'Requests that may wait for storage.',
      () => readings.sources.queueCapacity,
    ),
  ];
}

export function latencyMetrics(readings: Readings): MetricDescription[] {
  return [
    histogram(
      'request_duration_seconds',
      'Time from the headers to the response, by class of status; sampled, see events_dropped_total.',
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
