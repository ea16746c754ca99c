/** How far each sink of the log is, as its exporter last wrote it (storage/cursor-file.ts). */
import { MS_PER_SECOND } from '../../base/units.ts';
import type { CursorFile } from '../../storage/cursor-file.ts';
import { type MetricDescription, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

const GAUGES: readonly (readonly [string, string, (cursor: CursorFile) => number])[] = [
  ['sink_durable_commit', 'The last commit that survives a crash of the sink.', ({ commit }) => commit],
  ['sink_lag_commits', 'Commits of the log that the sink does not hold.', ({ lagCommits }) => lagCommits],
  ['sink_lag_bytes', 'Bytes of the log that the sink does not hold.', ({ lagBytes }) => lagBytes],
  [
    'sink_lag_seconds',
    'Age of the oldest bytes that the sink does not hold.',
    ({ lagSeconds }) => lagSeconds,
  ],
  [
    'sink_quarantined',
    'Metrics and damaged commits that the running exporter put into the quarantine of the sink.',
    ({ quarantined }) => quarantined,
  ],
  [
    'sink_report_age_seconds',
    'Time since the exporter of the sink last reported; it does every second.',
    ({ updatedMs }) => Math.max(0, Date.now() - updatedMs) / MS_PER_SECOND,
  ],
];

export function sinkMetrics(readings: Pick<Readings, 'sinks'>): MetricDescription[] {
  return GAUGES.map(([name, help, read]) => {
    // A file of another version may lack a figure: leave the sample out, or the whole exposition is invalid.
    const samples = () =>
      readings.sinks
        .map((cursor) => ({ value: read(cursor), labels: { sink: cursor.sink } }))
        .filter(({ value }) => Number.isFinite(value));
    return scalar('gauge', name, help, samples, ['sink']);
  });
}
