// The panels of the dashboard, row by row.
import {
  BREAKER_STATES,
  heatmap,
  lines,
  mean,
  own,
  panel,
  quantile,
  query,
  rate,
  SERVED,
  SERVER,
  stacked,
  stat,
  sumRate,
  thresholds,
} from './queries.mjs';

const overview = [
  stat(
    'Requests answered',
    'All answers a second, whatever their status.',
    'reqps',
    sumRate('requests_total'),
  ),
  stat('Metrics accepted', 'Metrics acknowledged with 200 or 202.', 'cps', sumRate('metrics_accepted_total')),
  stat(
    'Errors',
    'Share of 5xx among all answers but 429, as the alert MetricsStreamErrors has it.',
    'percentunit',
    `${sumRate('requests_total', { labels: 'status=~"5.."' })} / ${sumRate('requests_total', { labels: 'status!="429"' })}`,
    thresholds(['green'], ['orange', 0.01], ['red', 0.05]),
  ),
  stat(
    'p99 of served requests',
    'From the headers to a 2xx answer; interpolated within a bucket, whose bounds are powers of two.',
    's',
    quantile(0.99, 'request_duration_seconds', { labels: SERVED }),
    thresholds(['green'], ['orange', 0.05], ['red', 0.1]),
  ),
  stat(
    'Breaker',
    'The worst state of any stage on any server.',
    'none',
    `max(${own('breaker_state')})`,
    thresholds(['green'], ['red', 1]),
    { mappings: BREAKER_STATES },
  ),
  stat(
    'Disk full in',
    'Until only the reserve is left, at the rate of the last five minutes; no value while the disk does not fill.',
    's',
    `min(${own('disk_full_seconds')})`,
    thresholds(['red'], ['orange', 6 * 3600], ['green', 3 * 86_400]),
  ),
  stacked(
    'Requests by status',
    '2xx stored, 4xx the client, 429 its limit, 503 refused and 504 unknown.',
    'reqps',
    [query(sumRate('requests_total', { by: 'status' }), '{{status}}')],
    { width: 12 },
  ),
  stacked(
    'Metrics by outcome',
    'Accepted, refused by reason, and answered with 504: stored or not.',
    'cps',
    [
      query(sumRate('metrics_accepted_total'), 'accepted'),
      query(sumRate('metrics_rejected_total', { by: 'reason' }), '{{reason}}'),
      query(sumRate('metrics_unknown_total'), 'unknown'),
    ],
    { width: 12 },
  ),
];

const latency = [
  lines(
    'Served requests: percentiles',
    'From the headers to a 2xx answer.',
    's',
    [0.5, 0.9, 0.99, 0.999].map((q) =>
      query(quantile(q, 'request_duration_seconds', { labels: SERVED }), `p${q * 100}`),
    ),
    { steps: thresholds(['green'], ['red', 0.1]), showThreshold: true },
  ),
  heatmap(
    'Served requests: distribution',
    'How many 2xx answers took how long.',
    `sum by (le) (increase(${own('request_duration_seconds_bucket', SERVED)}[$__rate_interval]))`,
  ),
  lines('p99 by kind of answer', 'Refusals (4xx, 5xx) should be quick; a slow 5xx is a 504.', 's', [
    query(quantile(0.99, 'request_duration_seconds', { by: 'code' }), '{{code}}'),
  ]),
  lines('p99 by stage', 'Receive to queue for each request, journal and sync for each commit.', 's', [
    query(quantile(0.99, 'stage_duration_seconds', { by: 'stage' }), '{{stage}}'),
  ]),
  lines(
    'Mean by stage',
    'Where the time goes; journal and sync are shared by all requests of a commit.',
    's',
    [query(mean('stage_duration_seconds', 'stage'), '{{stage}}')],
  ),
  heatmap(
    'Stage $stage: distribution',
    'Choose the stage above.',
    `sum by (le) (increase(${own('stage_duration_seconds_bucket', 'stage="$stage"')}[$__rate_interval]))`,
  ),
];

const pipeline = [
  lines('Queue', 'Requests that wait for storage; above half of the capacity an alert fires.', 'short', [
    query(`sum by (instance) (${own('queue_depth')})`, '{{instance}} depth'),
    query(`sum by (instance) (${own('queue_capacity')})`, '{{instance}} capacity'),
  ]),
  lines('Queue: age of its head', 'How long the oldest waiting request has waited.', 's', [
    query(`max by (instance) (${own('queue_head_age_seconds')})`, '{{instance}}'),
  ]),
  lines(
    'Bytes on their way',
    'Bodies still arriving, encoded lines in the journals, and written but not synced.',
    'bytes',
    [
      query(`sum(${own('inflight_body_bytes')})`, 'bodies arriving'),
      query(`sum(${own('queue_bytes')})`, 'in journals'),
      query(`sum(${own('unsynced_bytes')})`, 'not synced'),
    ],
  ),
  lines(
    'Thread utilisation',
    'Busy share of each event loop. Direct writes and blocking syncs count as busy in the writer.',
    'percentunit',
    [
      query(
        `${rate('thread_event_loop_active_seconds_total')} / (${rate('thread_event_loop_active_seconds_total')} + ${rate('thread_event_loop_idle_seconds_total')})`,
        '{{instance}} {{thread}}',
      ),
    ],
    { steps: thresholds(['green'], ['orange', 0.8], ['red', 0.95]) },
  ),
  lines('Event loop delay, p99', 'How late timers fire in each thread.', 's', [
    query(own('thread_event_loop_delay_seconds', 'stat="p99"'), '{{instance}} {{thread}}'),
  ]),
  lines(
    'Commits and syncs',
    'One commit groups all that waits; with --ack synced each is followed by a sync.',
    'ops',
    [
      query(sumRate('commits_total'), 'commits'),
      query(sumRate('syncs_total'), 'syncs'),
      query(sumRate('direct_writes_total'), 'past the page cache'),
    ],
  ),
  lines('Metrics a commit', 'Larger groups share a sync among more requests.', 'short', [
    query(quantile(0.5, 'commit_lines'), 'p50'),
    query(quantile(0.99, 'commit_lines'), 'p99'),
  ]),
  lines('Bytes', 'Bodies as sent, bodies inflated, and what was written to segments.', 'Bps', [
    query(sumRate('received_bytes_total'), 'received'),
    query(sumRate('decoded_bytes_total'), 'decoded'),
    query(sumRate('stored_bytes_total'), 'stored'),
  ]),
  lines('Metrics a request', 'Of stored requests.', 'short', [
    query(quantile(0.5, 'request_metrics'), 'p50'),
    query(quantile(0.99, 'request_metrics'), 'p99'),
  ]),
];

const protection = [
  panel(
    'state-timeline',
    'Breaker state',
    'Closed: working. Open: every POST gets 503 at once. Half-open: probes decide.',
    'none',
    [query(own('breaker_state'), '{{instance}} {{stage}}')],
    { mappings: BREAKER_STATES },
  ),
  lines('Breaker transitions', 'Changes of state within the interval.', 'short', [
    query(
      `sum by (stage, to) (increase(${own('breaker_transitions_total')}[$__rate_interval]))`,
      '{{stage}} to {{to}}',
    ),
  ]),
  stacked(
    'Refused with 503, by reason',
    'Each refusal carries Retry-After; nothing of it was stored.',
    'reqps',
    [query(sumRate('requests_unavailable_total', { by: 'reason' }), '{{reason}}')],
  ),
  lines(
    'Admission: delay',
    'Measured delay against the target (--target-delay-ms) that admission steers to.',
    's',
    [
      query(`max by (instance) (${own('admission_delay_seconds')})`, '{{instance}} measured'),
      query(`max by (instance) (${own('admission_target_delay_seconds')})`, '{{instance}} target'),
    ],
  ),
  lines('Admission: bytes let in', 'What may wait for storage at once, and what does.', 'bytes', [
    query(`sum by (instance) (${own('admission_limit_bytes')})`, '{{instance}} limit'),
    query(`sum by (instance) (${own('queue_bytes')})`, '{{instance}} waiting'),
  ]),
  lines('Timeouts by kind', 'What ran out of time; request is a 504, sync a stalled disk.', 'ops', [
    query(sumRate('timeouts_total', { by: 'kind' }), '{{kind}}'),
  ]),
];

const statuses = (pattern) => sumRate('requests_total', { labels: `status=~"${pattern}"` });
const reasons = (pattern) => sumRate('requests_unavailable_total', { labels: `reason=~"${pattern}"` });
const errors = [
  stacked(
    'Errors by stage',
    'Where requests that were not served ended. Storage includes 504, whose outcome is unknown.',
    'reqps',
    [
      query(statuses('404|405|408|413|415|431'), 'receive'),
      query(statuses('401'), 'authorise'),
      query(statuses('429'), 'limit'),
      query(statuses('400'), 'parse'),
      query(reasons('queue_full|body_bytes_full|journal_full|overloaded|limiter_busy'), 'admit'),
      query(`${reasons('disk_failed|breaker_open')} + ${statuses('504')}`, 'store'),
      query(reasons('draining'), 'drain'),
      query(sumRate('requests_aborted_total'), 'client went away'),
    ],
  ),
  stacked('Errors by status', 'All answers of 400 and above.', 'reqps', [
    query(sumRate('requests_total', { by: 'status', labels: 'status=~"[45].."' }), '{{status}}'),
  ]),
  stacked(
    'Metrics rejected, by reason',
    'malformed and too_large count requests: the metrics in them are unknown.',
    'cps',
    [query(sumRate('metrics_rejected_total', { by: 'reason' }), '{{reason}}')],
  ),
  lines(
    'Bodies well-formed, by content type',
    'Share of complete bodies that are JSON or NDJSON at all.',
    'percentunit',
    [
      query(
        `${sumRate('bodies_parsed_total', { by: 'content_type', labels: 'result="ok"' })} / ${sumRate('bodies_parsed_total', { by: 'content_type' })}`,
        '{{content_type}}',
      ),
    ],
  ),
  lines('Storage faults', 'Calls that failed or did less than asked.', 'ops', [
    query(sumRate('write_errors_total'), 'write failed'),
    query(sumRate('short_writes_total'), 'write was short'),
    query(sumRate('sync_errors_total'), 'sync failed'),
    query(sumRate('rotation_failures_total'), 'no new segment'),
  ]),
  lines(
    'Metrics in doubt or lost',
    'Since the start of each process. Lost: acknowledged with 202 and then not stored; it must stay 0.',
    'short',
    [
      query(`sum(${own('lost_acknowledged_metrics_total')})`, 'lost after 202'),
      query(`sum(${own('unknown_metrics_total')})`, 'sync failed'),
      query(`sum(${own('metrics_unknown_total')})`, 'answered 504'),
      query(`sum by (outcome) (${own('late_outcomes_total')})`, 'after a 504: {{outcome}}'),
      query(`sum(${own('refused_metrics_total')})`, 'refused by the writer'),
      query(`sum(${own('damaged_commits')})`, 'commits damaged at start'),
    ],
    { steps: thresholds(['green'], ['red', 1]) },
  ),
];

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

export const ROWS = [
  ['Request overview', overview],
  ['Latency', latency],
  ['Pipeline and workers', pipeline],
  ['Breaker, admission, timeouts', protection],
  ['Errors', errors],
  ['Clients and capacity', capacity],
  ['Sinks', sinks],
  ['System', system],
];
