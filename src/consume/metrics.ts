/** The metrics of `consume`, in one table; `GET /metrics` of `--metrics-port` serves them. */
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { MS_PER_SECOND } from '../base/units.ts';
import { LATENCY_BUCKETS, metricsOf } from '../export/metric-table.ts';
import type { QueueReading } from './durable.ts';
import type { BatchReport, MetricsReport } from './worker-report.ts';

const PREFIX = 'metricsstream_consume_';

const COUNTERS = {
  messages: 'Messages acknowledged.',
  redelivered_messages: 'Messages acknowledged that had been delivered before.',
  repeated_messages: 'Messages that the sink held already, wholly or in part.',
  metrics: 'Metrics stored in the sink.',
  bytes: 'Bytes of lines in acknowledged messages.',
  batches: 'Batches stored, each before it was acknowledged.',
  returned_messages: 'Messages given back to the stream because the sink did not store them.',
  quarantined_messages: 'Messages put into the quarantine stream.',
  recovered_messages:
    'Messages that the sink lacked although the stream would not deliver them again, and holds now.',
  trimmed_messages: 'Messages deleted from the stream after every consumer had acknowledged them.',
} as const;

const GAUGES = {
  pending_messages: 'Messages in the stream that no worker has fetched.',
  unacknowledged_messages: 'Messages fetched by any process and not yet acknowledged.',
  stream_bytes: 'Bytes of the stream.',
  stream_limit_bytes: 'Bytes at which the stream refuses messages; -1 without a limit.',
  quarantine_messages: 'Messages in the quarantine stream.',
  lag_seconds: 'Time since the stream stored the newest message that the sink holds; 0 if none waits.',
  breaker_state: 'Breaker of the sink: 0 closed, 1 open, 2 half open.',
  workers: 'Workers that run.',
  up: 'Whether the last reading reached the stream.',
} as const;

const HISTOGRAMS = {
  apply_seconds: 'Time to store one batch.',
  stream_seconds: 'Time from the arrival of a message in the stream until the sink held it.',
  queue_latency_seconds: "Time from the exporter's read of a commit until the sink held it.",
} as const;

type CounterName = keyof typeof COUNTERS;
type GaugeName = keyof typeof GAUGES;

export class ConsumeMetrics {
  readonly registry = new Registry();
  private readonly counters: Readonly<Record<CounterName, Counter>>;
  private readonly gauges: Readonly<Record<GaugeName, Gauge>>;
  private readonly histograms: Readonly<Record<keyof typeof HISTOGRAMS, Histogram>>;
  /** The last metrics of each worker's sink. */
  private readonly ofWorkers = new Map<number, MetricsReport['metrics']>();

  constructor() {
    const registers = [this.registry];
    this.counters = metricsOf(
      COUNTERS,
      (name, help) => new Counter({ name: `${PREFIX}${name}_total`, help, registers }),
    );
    this.gauges = metricsOf(GAUGES, (name, help) => new Gauge({ name: PREFIX + name, help, registers }));
    this.histograms = metricsOf(
      HISTOGRAMS,
      (name, help) => new Histogram({ name: PREFIX + name, help, buckets: LATENCY_BUCKETS, registers }),
    );
  }

  add(name: CounterName, count: number): void {
    this.counters[name].inc(count);
  }

  set(name: GaugeName, value: number): void {
    this.gauges[name].set(value);
  }

  batch(report: BatchReport): void {
    this.add('batches', 1);
    this.add('messages', report.messages);
    this.add('redelivered_messages', report.redelivered);
    this.add('repeated_messages', report.repeated);
    this.add('metrics', report.lines);
    this.add('bytes', report.bytes);
    const { apply_seconds, queue_latency_seconds, stream_seconds } = this.histograms;
    apply_seconds.observe(report.applyMs / MS_PER_SECOND);
    for (const ms of report.queueMs) queue_latency_seconds.observe(Math.max(0, ms) / MS_PER_SECOND);
    for (const ms of report.streamMs) stream_seconds.observe(Math.max(0, ms) / MS_PER_SECOND);
  }

  queue(reading: QueueReading): void {
    const { pending, unacknowledged, streamBytes, streamLimitBytes, quarantined } = reading;
    this.set('pending_messages', pending);
    this.set('unacknowledged_messages', unacknowledged);
    this.set('stream_bytes', streamBytes);
    this.set('stream_limit_bytes', streamLimitBytes);
    this.set('quarantine_messages', quarantined);
  }

  ofWorker(worker: number, metrics: MetricsReport['metrics']): void {
    this.ofWorkers.set(worker, metrics);
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** The text for Prometheus: this table, and the sums of the workers' own metrics. */
  async metrics(): Promise<string> {
    const own = await this.registry.metrics();
    if (this.ofWorkers.size === 0) return own;
    return own + (await AggregatorRegistry.aggregate([...this.ofWorkers.values()]).metrics());
  }
}
