/** Metrics of the process and of each of its threads. */
import { MS_PER_SECOND, NS_PER_SECOND } from '../../base/units.ts';
import { type MetricDescription, scalar } from '../metric-description.ts';
import type { Readings } from '../readings.ts';

export function processMetrics(readings: Readings): MetricDescription[] {
  const { version, phase, uws, wal, lostLogLines } = readings.sources;
  const build = { version, phase: `${phase}`, uws, wal, node: process.version };
  return [
    scalar(
      'gauge',
      'build_info',
      'Version, phase, uWebSockets.js, write-ahead log and Node.js in use; always 1.',
      () => [{ value: 1, labels: build }],
      [...Object.keys(build)],
    ),
    scalar(
      'counter',
      'log_lines_lost_total',
      'Log lines lost because the log could not be written.',
      lostLogLines,
    ),
    scalar('gauge', 'uptime_seconds', 'Time since the process started.', () => process.uptime()),
    scalar(
      'gauge',
      'threads',
      'Permanent threads, by kind.',
      () => [...readings.threadKinds()].map(([kind, value]) => ({ value, labels: { kind } })),
      ['kind'],
    ),
  ];
}

export function threadMetrics(readings: Readings): MetricDescription[] {
  type Stats = Readings['threads'][number][1];
  const each = (type: 'counter' | 'gauge', name: string, help: string, pick: (stats: Stats) => number) =>
    scalar(
      type,
      `thread_${name}`,
      help,
      () => readings.threads.map(([thread, stats]) => ({ value: pick(stats), labels: { thread } })),
      ['thread'],
    );
  const delays = [
    ['p50', 'loop_delay_p50_ns'],
    ['p99', 'loop_delay_p99_ns'],
    ['max', 'loop_delay_max_ns'],
  ] as const;
  return [
    scalar(
      'gauge',
      'thread_event_loop_delay_seconds',
      'Delay of the event loop over the last second.',
      () =>
        readings.threads.flatMap(([thread, stats]) =>
          delays.map(([stat, slot]) => ({ value: stats[slot] / NS_PER_SECOND, labels: { thread, stat } })),
        ),
      ['thread', 'stat'],
    ),
    each(
      'counter',
      'event_loop_active_seconds_total',
      'Time the event loop was busy.',
      (stats) => stats.loop_active_ms / MS_PER_SECOND,
    ),
    each(
      'counter',
      'event_loop_idle_seconds_total',
      'Time the event loop waited for events.',
      (stats) => stats.loop_idle_ms / MS_PER_SECOND,
    ),
    each('gauge', 'heap_used_bytes', 'V8 heap in use.', (stats) => stats.heap_used_bytes),
    each('gauge', 'heap_size_bytes', 'V8 heap allocated.', (stats) => stats.heap_total_bytes),
    each('gauge', 'external_bytes', 'Memory outside the V8 heap.', (stats) => stats.external_bytes),
    each('counter', 'gc_pauses_total', 'Garbage collections.', (stats) => stats.gc_pauses),
    each(
      'counter',
      'gc_seconds_total',
      'Time in garbage collection.',
      (stats) => stats.gc_ns / NS_PER_SECOND,
    ),
  ];
}
