/** The metrics of a process that ships the log to a sink, in one table; `GET /metrics` of `--metrics-port` serves them. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { LATENCY_BUCKETS, metricsOf } from './metric-table.ts';

const PREFIX = 'metricsstream_export_';

const COUNTERS = {
  commits: 'Commits stored in the sink.',
  metrics: 'Metrics stored in the sink.',
  bytes: 'Bytes of lines stored in the sink.',
  ranges: 'Ranges of commits stored, each in one atomic step.',
  retries: 'Failures after which the exporter connected again.',
  resent_commits: 'Commits sent again because the sink had lost them.',
  damaged_commits: 'Damaged or missing commits, recorded in the quarantine of the sink.',
  quarantined_metrics: 'Metrics that the sink cannot hold, recorded in its quarantine.',
} as const;

const GAUGES = {
  lag_commits: 'Commits of the log that the sink does not hold.',
  lag_bytes: 'Bytes of the log that the sink does not hold.',
  lag_seconds: 'Age of the oldest bytes of the log that the sink does not hold.',
  cursor_commit: 'The last commit that the sink holds.',
  durable_commit: 'The last commit that survives a crash of the sink.',
  up: 'Whether the last try reached the sink.',
  maintenance_failing: 'Whether the last try to make partitions, end retention or merge the ledger failed.',
} as const;

const HISTOGRAMS = {
  queue_latency_seconds: 'Time from a write to the log until the sink holds it, sampled.',
  ship_seconds: 'Time to store one range.',
} as const;

type CounterName = keyof typeof COUNTERS;
type GaugeName = keyof typeof GAUGES;
type HistogramName = keyof typeof HISTOGRAMS;

export class ExportMetrics {
  readonly registry = new Registry();
  private readonly labels: { readonly sink: string };
  private readonly counters: Readonly<Record<CounterName, Counter<'sink'>>>;
  private readonly gauges: Readonly<Record<GaugeName, Gauge<'sink'>>>;
  private readonly histograms: Readonly<Record<HistogramName, Histogram<'sink'>>>;

  constructor(sink: string) {
    this.labels = { sink };
    const common = { labelNames: ['sink'] as const, registers: [this.registry] };
    this.counters = metricsOf(COUNTERS, (name, help) => {
      const counter = new Counter({ name: `${PREFIX}${name}_total`, help, ...common });
      counter.inc(this.labels, 0);
      return counter;
    });
    this.gauges = metricsOf(GAUGES, (name, help) => new Gauge({ name: PREFIX + name, help, ...common }));
    this.histograms = metricsOf(
      HISTOGRAMS,
      (name, help) => new Histogram({ name: PREFIX + name, help, buckets: LATENCY_BUCKETS, ...common }),
    );
    for (const name of Object.keys(GAUGES) as GaugeName[]) this.set(name, 0);
  }

  add(name: CounterName, count: number): void {
    this.counters[name].inc(this.labels, count);
  }

  set(name: GaugeName, value: number): void {
    this.gauges[name].set(this.labels, value);
  }

  observe(name: HistogramName, seconds: number): void {
    this.histograms[name].observe(this.labels, seconds);
  }
}
