// Rows of the dashboard about what a server uses up: clients, disk, sinks, CPU and memory.
import { lines, own, panel, query, rate, SERVER, stacked, sumRate, thresholds } from './queries.mjs';

const capacity = [
  stacked(
    'Ingestion by class of client',
    'Classes are named in the tokens file; without one all are anonymous.',
    'cps',
    [query(sumRate('ingested_metrics_total', { by: 'class' }), '{{class}}')],
  ),
  stacked('Ingestion by type of metric', 'Metrics acknowledged.', 'cps', [
    query(sumRate('ingested_metrics_total', { by: 'type' }), '{{type}}'),
  ]),
  stacked('Requests by class of client', 'Requests with metrics that were answered.', 'reqps', [
    query(sumRate('class_requests_total', { by: 'class' }), '{{class}}'),
  ]),
  lines(
    'Clients held back',
    'The busiest clients that get 429; the name is a keyed hash of this process.',
    'reqps',
    [query(`topk(10, ${rate('client_requests_total', 'verdict="refused"')})`, '{{instance}} {{client}}')],
  ),
  lines(
    'Clients of the limiter',
    'A newcomer to a table full of active clients shares a bucket (overflow).',
    'short',
    [
      query(`sum by (instance) (${own('limiter_clients')})`, '{{instance}} remembered'),
      query(`sum by (instance) (${own('limiter_capacity')})`, '{{instance}} capacity'),
      query(`sum by (instance) (${own('limiter_overflow_total')})`, '{{instance}} overflow, in all'),
    ],
  ),
  lines(
    'Idempotency keys',
    'Keys remembered; those forgotten before their window ended had no room. Repeats got their first response again.',
    'short',
    [
      query(`sum by (instance) (${own('idempotency_keys')})`, '{{instance}} remembered'),
      query(`sum by (instance) (${own('idempotency_capacity')})`, '{{instance}} capacity'),
      query(
        `sum by (instance) (${own('idempotency_evictions_total')})`,
        '{{instance}} forgotten early, in all',
      ),
      query(`sum by (instance) (${own('idempotency_replays_total')})`, '{{instance}} repeats, in all'),
    ],
  ),
  lines('Disk: free', 'Below the reserve (--min-free-bytes) POST gets 503.', 'bytes', [
    query(own('disk_free_bytes'), '{{instance}} free'),
    query(own('disk_reserve_bytes'), '{{instance}} reserve'),
  ]),
  lines('Disk: use', 'Own writes or loss of free space over five minutes, whichever is more.', 'Bps', [
    query(own('disk_use_bytes_per_second'), '{{instance}}'),
  ]),
  lines(
    'Disk: time to full',
    'Until only the reserve is left; no line while the disk does not fill. An alert fires below six hours.',
    's',
    [query(own('disk_full_seconds'), '{{instance}}')],
    { steps: thresholds(['red'], ['green', 6 * 3600]), showThreshold: true },
  ),
  lines(
    'Segments',
    'Files created and deleted by retention since the start, and bytes in the open one.',
    'short',
    [
      query(own('segments_created_total'), '{{instance}} created'),
      query(own('segments_deleted_total'), '{{instance}} deleted'),
    ],
  ),
];

const sinks = [
  lines(
    'Sinks: lag',
    'Age of the oldest metrics that a sink lacks. An alert fires above five minutes.',
    's',
    [query(own('sink_lag_seconds'), '{{instance}} {{sink}}')],
  ),
  lines('Sinks: bytes behind', 'Bytes of the log that a sink lacks.', 'bytes', [
    query(own('sink_lag_bytes'), '{{instance}} {{sink}}'),
  ]),
  lines(
    'Sinks: exporters',
    'Seconds since each exporter reported, and what it put into the quarantine.',
    'short',
    [
      query(own('sink_report_age_seconds'), '{{instance}} {{sink}} report age'),
      query(own('sink_quarantined'), '{{instance}} {{sink}} quarantined'),
    ],
  ),
  lines(
    'Sinks: segments held',
    'Files that retention keeps only because a required sink lacks them.',
    'short',
    [query(own('retention_held_segments'), '{{instance}}')],
  ),
];

const ofProcess = (name) => `${name}{${SERVER}} and on (job, instance) metricsstream_build_info`;
const system = [
  stacked('CPU', 'Cores in use; all threads of the process.', 'short', [
    query(
      `sum by (instance) (rate(process_cpu_user_seconds_total{${SERVER}}[$__rate_interval]))`,
      '{{instance}} user',
    ),
    query(
      `sum by (instance) (rate(process_cpu_system_seconds_total{${SERVER}}[$__rate_interval]))`,
      '{{instance}} system',
    ),
  ]),
  lines('Memory', 'Resident set, and the V8 heaps and external memory of all threads within it.', 'bytes', [
    query(ofProcess('process_resident_memory_bytes'), '{{instance}} resident'),
    query(`sum by (instance) (${own('thread_heap_size_bytes')})`, '{{instance}} heaps'),
    query(`sum by (instance) (${own('thread_external_bytes')})`, '{{instance}} external'),
  ]),
  lines('Descriptors', 'Connections and files; at the limit no connection is accepted.', 'short', [
    query(ofProcess('process_open_fds'), '{{instance}} open'),
    query(ofProcess('process_max_fds'), '{{instance}} limit'),
  ]),
  lines('Garbage collection', 'Share of time each thread spends in it.', 'percentunit', [
    query(rate('thread_gc_seconds_total'), '{{instance}} {{thread}}'),
  ]),
  lines(
    'Write-ahead log in use',
    'Share of the fullest write-ahead file that waits for the sync of its segments. Near 1, answers wait for that sync.',
    'percentunit',
    [query(own('wal_fill_ratio'), '{{instance}}')],
  ),
  lines(
    'Write-ahead log written',
    'Bytes written to the write-ahead log, with padding, beside those that its copy adds to the segments.',
    'Bps',
    [
      query(sumRate('wal_written_bytes_total'), 'write-ahead log'),
      query(sumRate('stored_bytes_total'), 'segments'),
    ],
  ),
  lines(
    'Latency samples lost',
    'Share of requests whose sample was dropped; counters are exact all the same.',
    'percentunit',
    [query(`${sumRate('events_dropped_total')} / ${sumRate('requests_total')}`, 'dropped')],
  ),
  panel(
    'table',
    'What runs',
    'Version, phase, transport and Node.js of each server, and seconds since it started.',
    's',
    [
      query(
        `${own('uptime_seconds')} * on (job, instance) group_left (version, phase, uws, node) metricsstream_build_info`,
        '',
        { format: 'table', instant: true },
      ),
    ],
  ),
];

export const RESOURCE_ROWS = [
  ['Clients and capacity', capacity],
  ['Sinks', sinks],
  ['System', system],
];
