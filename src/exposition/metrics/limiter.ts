/** Metrics of the rate limiter: its table, and its busiest clients. */
import { type MetricDescription, type Sample, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function limiterMetrics(readings: Readings): MetricDescription[] {
  return [
    scalar('gauge', 'limiter_clients', 'Clients the limiter remembers.', () => readings.census.occupied),
    scalar('gauge', 'limiter_capacity', 'Clients the limiter can remember.', () => readings.census.capacity),
    scalar(
      'counter',
      'limiter_evictions_total',
      'Idle clients forgotten to make room.',
      () => readings.census.evictions,
    ),
    scalar(
      'counter',
      'limiter_overflow_total',
      'Charges to shared overflow buckets, because only active clients held the slots that a new client may use.',
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
