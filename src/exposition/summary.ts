/** A JSON summary of the metrics for people and scripts: `GET /metrics` with `Accept: application/json`. */

import { MS_PER_SECOND, NS_PER_SECOND, US_PER_SECOND } from '../base/units.ts';
import { STATE_NAMES } from '../breaker/breaker.ts';
import {
  CLASSES,
  type ClassIndex,
  CONTENT_TYPES,
  LATE_OUTCOMES,
  METRIC_TYPES,
  REJECT_REASONS,
  STATUSES,
  TIMEOUT_KINDS,
} from '../telemetry/counters.ts';
import { type HistogramReading, mergeHistograms, quantile } from '../telemetry/histogram.ts';
import { STAGES } from '../telemetry/recorder.ts';
import { COUNTED_REASONS } from '../telemetry/unavailable.ts';
import { answeredRequests, type Rates } from './rates.ts';
import type { Readings } from './readings.ts';

export interface Latency {
  readonly count: number;
  readonly p50Seconds: number;
  readonly p99Seconds: number;
}

export type Summary = ReturnType<typeof summarize>;

export function summarize(readings: Readings, rates: Rates) {
  const { sources, samples, census, disk, breaker } = readings;
  const { slowest } = samples;
  return {
    version: sources.version,
    phase: sources.phase,
    uptimeSeconds: process.uptime(),
    requests: {
      answered: answeredRequests(readings),
      perSecond: rates.requests,
      byStatus: counts(STATUSES, (status) => readings.workers(`requests_${status}`)),
      unavailable: counts(COUNTED_REASONS, (reason) => readings.workers(`unavailable_${reason}`)),
      latency: latency(
        mergeHistograms([samples.requests('2xx'), samples.requests('4xx'), samples.requests('5xx')]),
      ),
      slowest: slowest && {
        client: slowest.client,
        status: slowest.status,
        metrics: slowest.metrics,
        seconds: slowest.totalNs / NS_PER_SECOND,
      },
    },
    metrics: {
      accepted: readings.workers('metrics_accepted'),
      acceptedPerSecond: rates.accepted,
      rejected: counts(REJECT_REASONS, (reason) => readings.workers(`rejected_${reason}`)),
      unknown: readings.workers('metrics_unknown'),
      stored: readings.writer('lines_written'),
    },
    ingestion: ingestion(readings, rates),
    parsing: Object.fromEntries(
      CONTENT_TYPES.map((type) => [
        type,
        { ok: readings.workers(`parsed_${type}_ok`), failed: readings.workers(`parsed_${type}_failed`) },
      ]),
    ),
    timeouts: {
      ...counts(TIMEOUT_KINDS, (kind) => readings.workers(`timeouts_${kind}`)),
      sync: breaker.stalls,
    },
    lateOutcomes: counts(LATE_OUTCOMES, (outcome) => readings.workers(`late_${outcome}`)),
    stages: Object.fromEntries(STAGES.map((stage) => [stage, latency(readings.stage(stage))])),
    queue: {
      depth: readings.workers('queue_tasks_now'),
      capacity: sources.queueCapacity,
      bytes: readings.workers('queue_bytes_now'),
      headAgeSeconds: readings.highest('queue_head_age_ms_now') / MS_PER_SECOND,
    },
    admission: {
      limitBytes: readings.workers('admission_limit_bytes_now'),
      delaySeconds: readings.highest('admission_delay_us_now') / US_PER_SECOND,
      targetDelaySeconds: readings.highest('admission_target_us_now') / US_PER_SECOND,
    },
    disk: {
      storedBytes: readings.writer('bytes_written'),
      commits: readings.writer('commits'),
      syncs: readings.writer('syncs'),
      unsyncedBytes: readings.writer('unsynced_bytes_now'),
      freeBytes: disk.freeBytes,
      reserveBytes: disk.reserveBytes,
      useBytesPerSecond: disk.bytesPerSecond,
      /** Null while the disk does not fill. */
      fullSeconds: Number.isFinite(disk.fullSeconds) ? disk.fullSeconds : null,
      segmentBytes: readings.writer('segment_bytes_now'),
      errors: readings.writer('write_errors') + readings.writer('sync_errors'),
    },
    breaker: {
      state: STATE_NAMES[breaker.state],
      transitions: Object.fromEntries(STATE_NAMES.map((to, state) => [to, breaker.transitions[state]!])),
    },
    limiter: {
      clients: census.occupied,
      capacity: census.capacity,
      evictions: census.evictions,
      overflowed: census.overflowed,
      busiest: census.busiest,
    },
    samplesDropped: samples.dropped,
  };
}

/** Requests and metrics of each client class; rates per second over the last ten seconds. */
function ingestion(readings: Readings, rates: Rates) {
  const names = readings.sources.classNames();
  const entries = CLASSES.filter((index) => names[index]).map(
    (index) => [names[index]!, classIngestion(readings, rates, index)] as const,
  );
  return Object.fromEntries(entries);
}

function classIngestion(readings: Readings, rates: Rates, index: ClassIndex) {
  const metrics = METRIC_TYPES.map((type) => {
    const accepted = readings.workers(`ingested_${index}_${type}`);
    return [type, { accepted, perSecond: rates.ingested(index, type) }] as const;
  });
  return {
    requests: readings.workers(`class_${index}_requests`),
    requestsPerSecond: rates.classRequests(index),
    metrics: Object.fromEntries(metrics),
  };
}

/** The counts of `names`, without zeros. */
function counts<Name extends string | number>(
  names: readonly Name[],
  read: (name: Name) => number,
): Record<string, number> {
  const entries = names.map((name) => [`${name}`, read(name)] as const);
  return Object.fromEntries(entries.filter(([, count]) => count > 0));
}

function latency(reading: HistogramReading): Latency {
  return {
    count: reading.count,
    p50Seconds: quantile(reading, 0.5) / NS_PER_SECOND,
    p99Seconds: quantile(reading, 0.99) / NS_PER_SECOND,
  };
}
