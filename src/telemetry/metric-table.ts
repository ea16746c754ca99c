/**
 * Every metric of our own, once: name, type, labels, help, and where its value comes from.
 *
 * Names follow https://prometheus.io/docs/practices/naming/: base units (seconds, bytes), `_total` for counters.
 * docs/operating.md lists the same names; a test compares the two.
 */

import { admissionMetrics } from './admission-metrics.ts';
import { breakerMetrics } from './breaker-metrics.ts';
import { ingestMetrics, timeoutMetrics } from './ingest-metrics.ts';
import { limiterMetrics } from './limiter-metrics.ts';
import type { MetricDescription } from './metric-description.ts';
import type { Readings } from './readings.ts';
import { latencyMetrics, queueMetrics, requestMetrics } from './request-metrics.ts';
import { diskMetrics, faultMetrics, storageMetrics } from './storage-metrics.ts';
import { processMetrics, threadMetrics } from './thread-metrics.ts';

export function describeMetrics(readings: Readings): MetricDescription[] {
  return [
    ...requestMetrics(readings),
    ...ingestMetrics(readings),
    ...timeoutMetrics(readings),
    ...latencyMetrics(readings),
    ...queueMetrics(readings),
    ...admissionMetrics(readings),
    ...storageMetrics(readings),
    ...diskMetrics(readings),
    ...faultMetrics(readings),
    ...breakerMetrics(readings),
    ...limiterMetrics(readings),
    ...processMetrics(readings),
    ...threadMetrics(readings),
  ];
}
