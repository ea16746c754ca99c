/** Metrics of storage that one slot cannot hold: sizes of commits, and the disk as main measures it. */
import { COUNTS, histogram, type MetricDescription, SIZES, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function commitMetrics(readings: Readings): MetricDescription[] {
  return [
    histogram('commit_bytes', 'Bytes of each group commit.', 1, SIZES, () => [
      { reading: readings.writerHistogram('commit_bytes') },
    ]),
    histogram('commit_lines', 'Metrics of each group commit.', 1, COUNTS, () => [
      { reading: readings.writerHistogram('commit_lines') },
    ]),
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
      'Rate at which the disk filled over the last five minutes: own writes or lost free space, whichever is higher.',
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
