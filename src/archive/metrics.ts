/** The metrics of `metricsstream archive`, in one table; `GET /metrics` of `--metrics-port` serves them. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { ArchiveTotals } from './archiver.ts';

const PREFIX = 'metricsstream_archive_';

const COUNTERS = {
  commits: 'Commits archived.',
  lines: 'Metrics archived.',
  sourceBytes: 'Bytes of the commits archived, as the segments hold them.',
  writtenBytes: 'Bytes of Parquet written for them, merges not counted.',
  segmentsDeleted: 'Segments deleted because the archive and all sinks have their commits.',
  merges: 'Merges of small files.',
  expiredFiles: 'Files deleted by retention.',
  expiredLines: 'Metrics deleted by retention.',
} as const satisfies Record<keyof ArchiveTotals, string>;

const GAUGES = {
  files: 'Files of the archive.',
  bytes: 'Bytes of all files.',
  lag_segments: 'Closed segments that the archive lacks.',
  lag_bytes: 'Bytes of these segments.',
  lag_seconds: 'Age of the last write to the oldest of these segments; 0 without one.',
  damaged_segments: 'Segments that are kept because a part of them is damaged.',
  last_success_timestamp_seconds: 'Unix time at which the last pass ended well; 0 before the first.',
  pass_seconds: 'Time of the last pass that ended well.',
  pass_cpu_seconds: 'CPU time of that pass.',
  up: 'Whether the last pass ended well.',
} as const;

export type ArchiveGauge = keyof typeof GAUGES;

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export class ArchiveMetrics {
  readonly registry = new Registry();
  private readonly gauges: Readonly<Record<ArchiveGauge, Gauge>>;
  private readonly failures: Counter;

  constructor(totals: ArchiveTotals) {
    const registers = [this.registry];
    for (const [name, help] of Object.entries(COUNTERS)) {
      new Counter({
        name: `${PREFIX}${snakeCase(name)}_total`,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(totals[name as keyof ArchiveTotals]);
        },
      });
    }
    this.failures = new Counter({ name: `${PREFIX}failures_total`, help: 'Passes that failed.', registers });
    const gauges = Object.entries(GAUGES).map(([name, help]) => [
      name,
      new Gauge({ name: PREFIX + name, help, registers }),
    ]);
    this.gauges = Object.fromEntries(gauges) as Record<ArchiveGauge, Gauge>;
  }

  set(values: Partial<Record<ArchiveGauge, number>>): void {
    for (const [name, value] of Object.entries(values)) this.gauges[name as ArchiveGauge].set(value);
  }

  failed(): void {
    this.failures.inc();
  }
}
