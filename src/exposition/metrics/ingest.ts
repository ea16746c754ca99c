/** Metrics of ingestion by client class and metric type, of bodies by content type, and of timeouts. */
import {
  CLASSES,
  type ClassIndex,
  CONTENT_TYPES,
  METRIC_TYPES,
  TIMEOUT_KINDS,
} from '../../telemetry/counters.ts';
import { type MetricDescription, type Sample, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function ingestMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar(
      'counter',
      'ingested_metrics_total',
      'Metrics acknowledged, by class of client and type of metric.',
      () => classes(readings).flatMap(([index, name]) => ingested(readings, index, name)),
      ['class', 'type'],
    ),
    scalar(
      'counter',
      'class_requests_total',
      'Requests with metrics that were answered, by class of client.',
      () =>
        classes(readings).map(([index, name]) => ({
          value: readings.workers(`class_${index}_requests`),
          labels: { class: name },
        })),
      ['class'],
    ),
    scalar(
      'counter',
      'bodies_parsed_total',
      'Complete bodies, by content type and by whether they were well-formed.',
      () =>
        CONTENT_TYPES.flatMap((type) =>
          (['ok', 'failed'] as const).map((result) => ({
            value: readings.workers(`parsed_${type}_${result}`),
            labels: { content_type: type, result },
          })),
        ),
      ['content_type', 'result'],
    ),
  ];
}

/** The classes that currently have a name. */
function classes(readings: Readings): [index: ClassIndex, name: string][] {
  const names = readings.sources.classNames();
  return CLASSES.flatMap((index) => (names[index] ? [[index, names[index]]] : []));
}

function ingested(readings: Readings, index: ClassIndex, name: string): Sample[] {
  return METRIC_TYPES.map((type) => ({
    value: readings.workers(`ingested_${index}_${type}`),
    labels: { class: name, type },
  }));
}

export function timeoutMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar(
      'counter',
      'timeouts_total',
      'Deadlines missed, by kind: of requests, or of calls of fdatasync (sync).',
      () => [
        ...TIMEOUT_KINDS.map((kind) => ({ value: readings.workers(`timeouts_${kind}`), labels: { kind } })),
        { value: readings.breaker.stalls, labels: { kind: 'sync' } },
      ],
      ['kind'],
    ),
  ];
}
