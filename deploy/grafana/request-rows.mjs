// Rows of the dashboard that follow requests: answers, latency, stages, refusals and errors.
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
    'One commit groups all that waits. Without the write-ahead log, --ack synced syncs each.',
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
      query(
        reasons(
          'queue_full|body_bytes_full|decompression_full|journal_full|idempotency_full|overloaded|limiter_busy',
        ),
        'admit',
      ),
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

export const REQUEST_ROWS = [
  ['Request overview', overview],
  ['Latency', latency],
  ['Pipeline and workers', pipeline],
  ['Breaker, admission, timeouts', protection],
  ['Errors', errors],
];
