/** Metrics of the writer: what it stored, how, and what went wrong. */
import {
  COUNTS,
  histogram,
  type MetricDescription,
  type ScalarMetric,
  SIZES,
  scalar,
} from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function storageMetrics(readings: Readings): MetricDescription[] {
  const { writer } = writerScalars(readings);
  return [
    writer('counter', 'stored_metrics_total', 'Metrics written to segments.', 'lines_written'),
    writer('counter', 'stored_bytes_total', 'Bytes written to segments.', 'bytes_written'),
    writer('counter', 'commits_total', 'Group commits written.', 'commits'),
    writer('counter', 'syncs_total', 'Calls of fdatasync that succeeded.', 'syncs'),
    writer('counter', 'direct_writes_total', 'Writes that went past the page cache.', 'direct_writes'),
    histogram('commit_bytes', 'Bytes of each group commit.', 1, SIZES, () => [
      { reading: readings.writerHistogram('commit_bytes') },
    ]),
    histogram('commit_lines', 'Metrics of each group commit.', 1, COUNTS, () => [
      { reading: readings.writerHistogram('commit_lines') },
    ]),
    writer('counter', 'segments_created_total', 'Segment files created.', 'segments_created'),
    writer('counter', 'segments_deleted_total', 'Segment files deleted by retention.', 'segments_deleted'),
    writer('gauge', 'segment_sequence', 'Sequence number of the open segment.', 'segment_sequence_now'),
    writer('gauge', 'segment_bytes', 'Bytes in the open segment.', 'segment_bytes_now'),
    writer('gauge', 'unsynced_bytes', 'Bytes written and not yet synced.', 'unsynced_bytes_now'),
    writer('gauge', 'unsynced_metrics', 'Metrics written and not yet synced.', 'unsynced_lines_now'),
  ];
}

export function diskMetrics({ disk }: Readings): MetricDescription[] {
  return [
    scalar('gauge', 'disk_free_bytes', 'Free bytes of the file system with the data.', () => disk.freeBytes),
    scalar(
      'gauge',
      'disk_reserve_bytes',
      'Free bytes below which requests are refused.',
      () => disk.reserveBytes,
    ),
    scalar(
      'gauge',
      'disk_use_bytes_per_second',
      'How fast the disk filled over the last five minutes: own writes or loss of free space, whichever is more.',
      () => disk.bytesPerSecond,
    ),
    scalar(
      'gauge',
      'disk_full_seconds',
      'Time until only the reserve is left, at that rate; +Inf while the disk does not fill.',
      () => disk.fullSeconds,
    ),
  ];
}

export function faultMetrics(readings: Readings): MetricDescription[] {
  const { writer } = writerScalars(readings);
  return [
    writer(
      'counter',
      'lost_acknowledged_metrics_total',
      'Metrics acknowledged with 202 and then not stored.',
      'lost_acknowledged_lines',
    ),
    writer('counter', 'refused_metrics_total', 'Metrics the writer could not store.', 'refused_lines'),
    writer('counter', 'unknown_metrics_total', 'Metrics whose sync failed: on disk or not.', 'unknown_lines'),
    writer('counter', 'write_errors_total', 'Writes that failed.', 'write_errors'),
    writer('counter', 'short_writes_total', 'Writes that took only a part.', 'short_writes'),
    writer('counter', 'sync_errors_total', 'Calls of fdatasync that failed.', 'sync_errors'),
    writer(
      'counter',
      'rotation_failures_total',
      'Times a new segment could not be created.',
      'rotation_failures',
    ),
    writer('gauge', 'recovered_bytes', 'Valid bytes found in the last segment at start.', 'recovered_bytes'),
    writer('gauge', 'recovery_truncated_bytes', 'Bytes of a torn tail cut off at start.', 'truncated_bytes'),
    writer('gauge', 'damaged_commits', 'Commits found damaged at start and set aside.', 'damaged_commits'),
  ];
}

function writerScalars(readings: Readings) {
  const writer = (
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    slot: Parameters<Readings['writer']>[0],
  ): ScalarMetric => scalar(type, name, help, () => readings.writer(slot));
  return { writer };
}
