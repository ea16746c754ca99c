/**
 * Every metric of our own: name, type, labels, help, and the source of its value.
 *
 * Counters and gauges that one slot holds are rows in telemetry/counters.ts. Metrics with several labels, histograms,
 * and values that main computes are in `metrics/`. A test compares all of them with docs/operating.md.
 */
import {
  type ExposedSlot,
  familySlot,
  type SlotRow,
  WORKER_FAMILIES,
  WORKER_TABLE,
  WRITER_TABLE,
} from '../telemetry/counters.ts';
import { type MetricDescription, scalar } from './metric-description.ts';
import { breakerMetrics } from './metrics/breaker.ts';
import { idempotencyMetrics } from './metrics/idempotency.ts';
import { ingestMetrics, timeoutMetrics } from './metrics/ingest.ts';
import { limiterMetrics } from './metrics/limiter.ts';
import { latencyMetrics, requestMetrics } from './metrics/request.ts';
import { sinkMetrics } from './metrics/sinks.ts';
import { commitMetrics, diskMetrics } from './metrics/storage.ts';
import { processMetrics, threadMetrics } from './metrics/thread.ts';
import type { Readings } from './readings.ts';

export function describeMetrics(readings: Readings): MetricDescription[] {
  return [
    ...familyMetrics(readings),
    ...workerMetrics(readings),
    ...requestMetrics(readings),
    ...ingestMetrics(readings),
    ...timeoutMetrics(readings),
    ...latencyMetrics(readings),
    ...writerMetrics(readings),
    ...commitMetrics(readings),
    ...diskMetrics(readings),
    ...sinkMetrics(readings),
    ...breakerMetrics(readings),
    ...limiterMetrics(readings),
    ...idempotencyMetrics(readings),
    ...processMetrics(readings),
    ...threadMetrics(readings),
  ];
}

function familyMetrics(readings: Readings): MetricDescription[] {
  return (Object.keys(WORKER_FAMILIES) as (keyof typeof WORKER_FAMILIES)[]).map((key) => {
    const { name, help, label, values } = WORKER_FAMILIES[key];
    const samples = () =>
      values.map((value) => ({
        value: readings.workers(familySlot(key, value as never)),
        labels: { [label]: `${value}` },
      }));
    return scalar('counter', name, help, samples, [label]);
  });
}

function workerMetrics(readings: Readings): MetricDescription[] {
  return exposedRows(WORKER_TABLE).map(([slot, row]) =>
    slotMetric(row, () => (row.combine === 'max' ? readings.highest(slot) : readings.workers(slot))),
  );
}

function writerMetrics(readings: Readings): MetricDescription[] {
  return exposedRows(WRITER_TABLE).map(([slot, row]) => slotMetric(row, () => readings.writer(slot)));
}

function exposedRows<Slot extends string>(table: Readonly<Record<Slot, SlotRow>>): [Slot, ExposedSlot][] {
  return (Object.entries(table) as [Slot, SlotRow][]).flatMap(([slot, row]) =>
    'internalFor' in row ? [] : [[slot, row] as [Slot, ExposedSlot]],
  );
}

function slotMetric({ type, name, help, divisor = 1 }: ExposedSlot, read: () => number): MetricDescription {
  return scalar(type, name, help, () => read() / divisor);
}
