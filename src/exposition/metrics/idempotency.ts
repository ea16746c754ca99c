/** Metrics of the table of idempotency keys; counters.ts has what the serving threads count. */
import { type MetricDescription, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function idempotencyMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar(
      'gauge',
      'idempotency_keys',
      'Idempotency keys in the table; those past their window leave it when others need the room.',
      () => readings.keys.keys,
    ),
    scalar(
      'gauge',
      'idempotency_capacity',
      'Idempotency keys the table has room for.',
      () => readings.keys.capacity,
    ),
    scalar(
      'gauge',
      'idempotency_window_seconds',
      'How long an idempotency key is remembered.',
      () => readings.keys.windowSeconds,
    ),
  ];
}
