/**
 * Every metric of our own, once: name, type, labels, help, and where its value comes from.
 *
 * Names follow https://prometheus.io/docs/practices/naming/: base units (seconds, bytes), `_total` for counters.
 * docs/operating.md lists the same names; a test compares the two.
 */

import type { MetricDescription } from './metric-description.ts';
import { admissionMetrics } from './metrics/admission.ts';
import { breakerMetrics } from './metrics/breaker.ts';
import { ingestMetrics, timeoutMetrics } from './metrics/ingest.ts';
import { limiterMetrics } from './metrics/limiter.ts';
import { latencyMetrics, queueMetrics, requestMetrics } from './metrics/request.ts';
import { diskMetrics, faultMetrics, storageMetrics } from './metrics/storage.ts';
import { processMetrics, threadMetrics } from './metrics/thread.ts';
import type { Readings } from './readings.ts';

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
