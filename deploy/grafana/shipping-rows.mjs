// Rows of the dashboard about the processes beside a server: export, consume and archive, each with a --metrics-port.
import { BREAKER_STATES, lines, own, panel, quantile, query, rate, sumRate, thresholds } from './queries.mjs';

/** A histogram's median and 99th percentile. */
const quantiles = (name) => [query(quantile(0.5, name), 'p50'), query(quantile(0.99, name), 'p99')];

const exporters = [
  lines('Export: queue latency', 'From a write to the log until the sink holds it, sampled.', 's', [
    ...quantiles('export_queue_latency_seconds'),
  ]),
  lines(
    'Export: time of one range',
    'One transaction, or the messages of one range until the stream holds them.',
    's',
    [...quantiles('export_ship_seconds')],
  ),
  lines('Export: metrics shipped', 'Metrics a second that the sink has stored.', 'cps', [
    query(sumRate('export_metrics_total', { by: 'instance, sink' }), '{{instance}} {{sink}}'),
  ]),
  lines(
    'Export: repairs',
    'New connections after a failure, and commits sent again because the sink had lost them, since the start.',
    'short',
    [
      query(own('export_retries_total'), '{{instance}} {{sink}} retries'),
      query(own('export_resent_commits_total'), '{{instance}} {{sink}} commits sent again'),
    ],
  ),
];

const consumers = [
  lines(
    'Consume: lag',
    'Time since the stream stored the newest message that the database holds; 0 if none waits. An alert fires above five minutes.',
    's',
    [query(own('consume_lag_seconds'), '{{instance}}')],
    { steps: thresholds(['green'], ['red', 300]), showThreshold: true },
  ),
  lines(
    'Consume: messages waiting',
    'In the stream, not fetched yet; and fetched, not acknowledged yet.',
    'short',
    [
      query(own('consume_pending_messages'), '{{instance}} not fetched'),
      query(own('consume_unacknowledged_messages'), '{{instance}} not acknowledged'),
    ],
  ),
  lines(
    'Consume: stream',
    'Bytes in the stream and its limit. A full stream refuses messages, and the logs of the nodes grow.',
    'bytes',
    [
      query(own('consume_stream_bytes'), '{{instance}} stored'),
      query(own('consume_stream_limit_bytes'), '{{instance}} limit'),
    ],
  ),
  lines('Consume: metrics stored', 'Metrics a second, by process.', 'cps', [
    query(sumRate('consume_metrics_total', { by: 'instance' }), '{{instance}}'),
  ]),
  lines('Consume: bytes in a batch', 'Mean; it grows with the queue up to --batch-bytes.', 'bytes', [
    query(
      `${sumRate('consume_bytes_total', { by: 'instance' })} / ${sumRate('consume_batches_total', { by: 'instance' })}`,
      '{{instance}}',
    ),
  ]),
  lines('Consume: messages in a batch', 'Mean; one message when the stream is empty.', 'short', [
    query(
      `${sumRate('consume_messages_total', { by: 'instance' })} / ${sumRate('consume_batches_total', { by: 'instance' })}`,
      '{{instance}}',
    ),
  ]),
  lines('Consume: time to store a batch', 'One transaction of the database.', 's', [
    ...quantiles('consume_apply_seconds'),
  ]),
  lines(
    'Consume: age of messages',
    'From the arrival of a message in the stream until the database holds it.',
    's',
    [...quantiles('consume_stream_seconds')],
  ),
  lines(
    'Consume: queue latency',
    "From the exporter's read of a commit until the database holds it.",
    's',
    quantiles('consume_queue_latency_seconds'),
  ),
  panel(
    'state-timeline',
    'Consume: breaker',
    'While it is open no worker fetches: the database failed several times.',
    'none',
    [query(own('consume_breaker_state'), '{{instance}}')],
    { mappings: BREAKER_STATES, steps: thresholds(['green'], ['red', 1]) },
  ),
  lines(
    'Consume: deliveries that did not count',
    'Messages a second that were given back, or that the database held already.',
    'cps',
    [
      query(sumRate('consume_returned_messages_total', { by: 'instance' }), '{{instance}} given back'),
      query(sumRate('consume_repeated_messages_total', { by: 'instance' }), '{{instance}} held already'),
    ],
  ),
  lines(
    'Consume: quarantine',
    'Messages that the database refuses. Repair the cause, then run consume --retry-quarantine.',
    'short',
    [query(own('consume_quarantine_messages'), '{{instance}}')],
    { steps: thresholds(['green'], ['red', 1]), showThreshold: true },
  ),
];

const archive = [
  lines(
    'Archive: lag',
    'Age of the last write to the oldest closed segment that the archive lacks. An alert fires above an hour.',
    's',
    [query(own('archive_lag_seconds'), '{{instance}}')],
    { steps: thresholds(['green'], ['red', 3_600]), showThreshold: true },
  ),
  lines('Archive: bytes behind', 'Bytes of closed segments that the archive lacks.', 'bytes', [
    query(own('archive_lag_bytes'), '{{instance}}'),
  ]),
  lines(
    'Archive: passes',
    'Passes that failed since the start, and segments kept because a part of them is damaged.',
    'short',
    [
      query(own('archive_failures_total'), '{{instance}} failed'),
      query(own('archive_damaged_segments'), '{{instance}} damaged segments'),
    ],
  ),
  lines('Archive: time of a pass', 'Of the last pass that ended well, and the CPU that it used.', 's', [
    query(own('archive_pass_seconds'), '{{instance}} time'),
    query(own('archive_pass_cpu_seconds'), '{{instance}} CPU'),
  ]),
  lines('Archive: written', 'Bytes a second: segments read, and Parquet written for them.', 'Bps', [
    query(rate('archive_source_bytes_total'), '{{instance}} segments'),
    query(rate('archive_written_bytes_total'), '{{instance}} Parquet'),
  ]),
  lines('Archive: size', 'Bytes of all its files.', 'bytes', [query(own('archive_bytes'), '{{instance}}')]),
];

export const SHIPPING_ROWS = [
  ['Exporters', exporters],
  ['Consumers', consumers],
  ['Archive', archive],
];
