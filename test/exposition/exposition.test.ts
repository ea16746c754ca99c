import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Breaker, createBreakerMemory } from '../../src/breaker/breaker.ts';
import { Exposition } from '../../src/exposition/exposition.ts';
import type { MetricDescription } from '../../src/exposition/metric-description.ts';
import { describeMetrics } from '../../src/exposition/metrics.ts';
import type { MetricsForm } from '../../src/exposition/negotiate.ts';
import { openMetricsRegistry } from '../../src/exposition/node-metrics.ts';
import { Readings, type TelemetrySources } from '../../src/exposition/readings.ts';
import type { Summary } from '../../src/exposition/summary.ts';
import { familyOf, familyText } from '../../src/exposition/text-format.ts';
import { createKeyTable } from '../../src/idempotency/table.ts';
import { createLimiterMemory, openLimiter, readCensus } from '../../src/limiter/striped-lock.ts';
import {
  CLASSES,
  createCounterBlock,
  WORKER,
  WORKER_SLOTS,
  WRITER,
  WRITER_SLOTS,
  WRITER_TABLE,
} from '../../src/telemetry/counters.ts';
import {
  createHistogramBlock,
  Histograms,
  WORKER_HISTOGRAM_NAMES,
  WORKER_HISTOGRAMS,
  WRITER_HISTOGRAM_NAMES,
  WRITER_HISTOGRAMS,
} from '../../src/telemetry/histogram.ts';
import { createSampleMemories, openRecorder, openSamples } from '../../src/telemetry/ring-buffer.ts';
import { createThreadStats, startThreadStats } from '../../src/telemetry/thread-stats.ts';
import { sampleOf } from '../support/samples.ts';
import { requireTool } from '../support/tools.ts';
import { mirrorOf } from './prom-client-mirror.ts';

const LIMITS = { requestRate: 10, requestBurst: 3, metricRate: 100, metricBurst: 100, clients: 100 };

/** Sources of two ingest threads and a writer, and the memories that those threads write to. */
interface Rig {
  readonly sources: TelemetrySources;
  readonly events: readonly SharedArrayBuffer[];
}

/** A breaker opened by two stalls. */
function brokenStorage(): SharedArrayBuffer {
  const memory = createBreakerMemory({ failures: 5, errorPercent: 50, windowMs: 10_000, openMs: 1_000 });
  const breaker = new Breaker(memory);
  breaker.countStall();
  breaker.countStall();
  breaker.trip('a sync stalls', 1_000);
  return memory;
}

/** Everything at zero except the breaker. */
function emptyRig(): Rig {
  const counted = () => ({
    counters: createCounterBlock(WORKER_SLOTS),
    histograms: createHistogramBlock(WORKER_HISTOGRAM_NAMES),
  });
  const events = createSampleMemories(2);
  const sources: TelemetrySources = {
    version: '1.2.3',
    phase: 'pool',
    wal: 'off',
    uws: '20.57.0',
    queueCapacity: 500,
    disk: { dataDir: '.', reserveBytes: 1000 },
    breaker: brokenStorage(),
    classNames: () => ['anonymous', 'edge'],
    lostLogLines: () => 0,
    ingest: [counted(), counted()],
    writer: {
      counters: createCounterBlock(WRITER_SLOTS),
      histograms: createHistogramBlock(WRITER_HISTOGRAM_NAMES),
    },
    samples: openSamples(events),
    stats: ['ingest-0', 'ingest-1', 'writer'].map((name) => ({ name, memory: createThreadStats() })),
    idempotency: createKeyTable({ keys: 64, windowMs: 60_000 }),
    limiter: { memory: createLimiterMemory(LIMITS), config: LIMITS, readCensus },
  };
  return { sources, events };
}

/** A value in every kind of source. */
function busyRig(): Rig {
  const { sources, events } = emptyRig();
  sources.ingest.forEach(({ counters, histograms }, index) => {
    const slots = new Float64Array(counters);
    slots[WORKER.requests_200] = 100 + index;
    slots[WORKER.metrics_accepted] = 1000;
    slots[WORKER.queue_tasks_now] = 4;
    slots[WORKER.queue_head_age_ms_now] = 250 * (index + 1);
    new Histograms(histograms, WORKER_HISTOGRAM_NAMES).record(WORKER_HISTOGRAMS.batch_metrics, 3);
    const recorder = openRecorder(events[index]!);
    recorder.record(
      sampleOf({
        clientHash: 0x1234abcd,
        status: 200,
        metrics: 3,
        receiveNs: 1000,
        limitNs: 400,
        parseNs: 2000,
        encodeNs: 3000,
        queueNs: 4000,
        totalNs: 11_000,
      }),
    );
    recorder.record(
      sampleOf({
        clientHash: 7,
        status: 429,
        metrics: 0,
        receiveNs: 1000,
        limitNs: 400,
        parseNs: 0,
        encodeNs: 0,
        queueNs: 0,
        totalNs: 1500.5,
      }),
    );
    recorder.publish();
    startThreadStats(sources.stats[index]!.memory)();
  });
  const writer = new Float64Array(sources.writer.counters);
  writer[WRITER.syncs] = 9;
  new Histograms(sources.writer.histograms, WRITER_HISTOGRAM_NAMES).record(WRITER_HISTOGRAMS.sync_ns, 1e6);
  const limiter = openLimiter(sources.limiter.memory, LIMITS);
  const client = Buffer.from('10.1.2.3');
  for (let k = 0; k < 5; k++) limiter.chargeRequest(client, client.length, 1000);
  limiter.chargeMetrics(60, 1000);
  return { sources, events };
}

const emptySources = (): TelemetrySources => emptyRig().sources;
const busySources = (): TelemetrySources => busyRig().sources;

async function render(sources: TelemetrySources, form: MetricsForm = 'text') {
  return new Exposition(sources).render(form);
}

/** The samples of a text exposition: line up to the value → value. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describe('Prometheus text', () => {
  it('passes promtool check metrics without a warning', {
    skip: requireTool('promtool', 'prometheus'),
  }, async () => {
    for (const sources of [emptySources(), busySources()]) {
      const { body } = await render(sources);
      const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
        input: body,
        encoding: 'utf8',
      });
      assert.equal(`${stdout}${stderr}`, '');
      assert.equal(status, 0);
    }
  });

  it('sums counters and gauges over the workers, and reports the oldest head of queue', async () => {
    const values = samples((await render(busySources())).body);
    assert.equal(values.get('metricsstream_requests_total{status="200"}'), 201);
    assert.equal(values.get('metricsstream_metrics_accepted_total'), 2000);
    assert.equal(values.get('metricsstream_queue_depth'), 8);
    assert.equal(values.get('metricsstream_queue_capacity'), 500);
    assert.equal(values.get('metricsstream_queue_head_age_seconds'), 0.5);
    assert.equal(values.get('metricsstream_syncs_total'), 9);
    for (const [kind, threads] of [
      ['main', 1],
      ['ingest', 2],
      ['writer', 1],
    ] as const)
      assert.equal(values.get(`metricsstream_threads{kind="${kind}"}`), threads);
  });

  it('exposes samples as cumulative buckets in seconds', async () => {
    const values = samples((await render(busySources())).body);
    const parse = (le: string) =>
      values.get(`metricsstream_stage_duration_seconds_bucket{stage="parse",le="${le}"}`);
    assert.equal(parse('0.000001024'), 0);
    assert.equal(parse('0.000002048'), 2);
    assert.equal(parse('+Inf'), 2);
    assert.equal(values.get('metricsstream_stage_duration_seconds_sum{stage="parse"}'), 4e-6);
    assert.equal(values.get('metricsstream_stage_duration_seconds_count{stage="receive"}'), 4);
    assert.equal(values.get('metricsstream_stage_duration_seconds_count{stage="sync"}'), 1);
    assert.equal(values.get('metricsstream_request_duration_seconds_count{code="4xx"}'), 2);
    assert.equal(values.get('metricsstream_request_metrics_bucket{le="4"}'), 2);
  });

  it('renders the same text twice', async () => {
    const exposition = new Exposition(busySources());
    const own = async () =>
      [...samples((await exposition.render('text')).body)].filter(
        ([name]) => name.startsWith('metricsstream_') && !name.includes('uptime'),
      );
    const first = await own();
    await exposition.render('openmetrics');
    assert.deepEqual(await own(), first);
  });

  it('names clients by their keyed hash only', async () => {
    const { body } = await render(busySources());
    assert.match(body, /metricsstream_client_requests_total\{client="[0-9a-f]{16}",verdict="allowed"\} 3\n/);
    assert.match(body, /metricsstream_client_requests_total\{client="[0-9a-f]{16}",verdict="refused"\} 2\n/);
    assert.match(body, /metricsstream_client_metrics_total\{client="[0-9a-f]{16}",verdict="allowed"\} 60\n/);
    assert.ok(!body.includes('10.1.2.3'));
  });

  it('exposes dropped samples and statistics of each thread', async () => {
    const { sources, events } = busyRig();
    const recorder = openRecorder(events[0]!);
    // Two samples are in the ring already.
    for (let k = 0; k < 8192 - 2 + 5; k++) recorder.record(sampleOf());
    const values = samples((await render(sources)).body);
    assert.equal(values.get('metricsstream_events_dropped_total'), 5);
    assert.ok(values.get('metricsstream_thread_heap_used_bytes{thread="ingest-1"}')! > 1e6);
    assert.equal(values.get('metricsstream_thread_heap_used_bytes{thread="writer"}'), undefined);
  });
});

describe('our own text', () => {
  it('equals the text that prom-client writes for the same metrics, in both forms, with any label value', async () => {
    const sources: TelemetrySources = {
      ...busySources(),
      classNames: () => ['anonymous', 'a "quoted" \\ name\nof two lines'],
    };
    const readings = new Readings(sources, createThreadStats());
    readings.refresh();
    const descriptions = describeMetrics(readings).filter(({ name }) => !name.includes('uptime'));
    const registry = mirrorOf(descriptions);
    const open = openMetricsRegistry(registry);
    for (const description of descriptions) {
      const { name, type } = description;
      const own = familyText(description);
      assert.equal(own('text'), await registry.getSingleMetricAsString(name));
      const family = type === 'counter' ? familyOf(name) : name;
      assert.equal(own('openmetrics'), await open.getSingleMetricAsString(family));
    }
  });

  it('renders every value that a gauge can have', async () => {
    const gauge = (value: number) =>
      familyText({
        ...{ type: 'gauge', name: 'g', help: 'A \\ and\na line feed.', labels: [] },
        read: () => [{ value }],
      })('text');
    for (const [value, text] of [
      [Number.POSITIVE_INFINITY, '+Inf'],
      [Number.NEGATIVE_INFINITY, '-Inf'],
      [1e21, '1e+21'],
      [0.1, '0.1'],
    ] as const) {
      assert.equal(gauge(value), `# HELP g A \\\\ and\\na line feed.\n# TYPE g gauge\ng ${text}`);
    }
  });
});

describe('simultaneous scrapes', () => {
  it('share one rendering; a later scrape gets a new one', async () => {
    const { sources } = busyRig();
    const exposition = new Exposition(sources);
    const [one, two, json] = await Promise.all([
      exposition.render('text'),
      exposition.render('text'),
      exposition.render('json'),
    ]);
    assert.equal(one, two);
    assert.notEqual(one.contentType, json.contentType);
    new Float64Array(sources.ingest[0]!.counters)[WORKER.requests_200]! += 1;
    const later = samples((await exposition.render('text')).body);
    assert.equal(later.get('metricsstream_requests_total{status="200"}'), 202);
  });
});

describe('OpenMetrics', () => {
  it('declares counters without _total, samples them with it, and ends in EOF', async () => {
    const { body, contentType } = await render(busySources(), 'openmetrics');
    assert.match(contentType, /^application\/openmetrics-text; version=1\.0\.0/);
    assert.ok(body.endsWith('\n# EOF\n'));
    assert.ok(!body.includes('\n\n'));
    assert.match(body, /^# TYPE metricsstream_requests counter$/m);
    assert.match(body, /^metricsstream_requests_total\{status="200"\} 201$/m);
    const families = [...body.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
    assert.equal(new Set(families.map(([, name]) => name)).size, families.length);
    for (const [, name = '', type] of families) {
      if (type === 'counter')
        assert.match(body, new RegExp(`^${name}_total[ {]|^# TYPE ${name} counter\n#`, 'm'));
      assert.ok(!name.endsWith('_total'), name);
    }
  });

  it('has the same values as the Prometheus text', async () => {
    const exposition = new Exposition(busySources());
    const own = (body: string) =>
      [...samples(body)].filter(([name]) => name.startsWith('metricsstream_') && !name.includes('uptime'));
    const text = own((await exposition.render('text')).body);
    assert.deepEqual(own((await exposition.render('openmetrics')).body), text);
  });
});

describe('JSON summary', () => {
  it('reports requests, latencies, queue, disk and limiter', async () => {
    const { body, contentType } = await render(busySources(), 'json');
    assert.equal(contentType, 'application/json');
    const summary = JSON.parse(body) as Summary;
    assert.equal(summary.requests.answered, 201);
    assert.deepEqual(summary.requests.byStatus, { 200: 201 });
    assert.equal(summary.requests.latency.count, 4);
    assert.equal(summary.requests.slowest?.client, '1234abcd');
    assert.equal(summary.metrics.accepted, 2000);
    assert.ok(summary.stages.parse!.p50Seconds > 1.5e-6 && summary.stages.parse!.p50Seconds <= 2.048e-6);
    assert.equal(summary.queue.depth, 8);
    assert.equal(summary.limiter.busiest[0]?.allowedRequests, 3);
  });
});

describe('a slot', () => {
  const text = async (sources: TelemetrySources) => [...samples((await render(sources)).body)];
  const withoutClocks = (entries: [string, number][]) =>
    entries.filter(([name]) => name.startsWith('metricsstream_') && !/uptime|thread_/.test(name));

  it('of a worker changes exactly one sample of the exposition', async () => {
    for (const slot of WORKER_SLOTS) {
      const sources = { ...emptySources(), classNames: () => CLASSES.map((index) => `class-${index}`) };
      const before = withoutClocks(await text(sources));
      new Float64Array(sources.ingest[1]!.counters)[WORKER[slot]] = 12e6;
      const after = withoutClocks(await text(sources));
      const changed = after.filter(
        ([name, value], at) => before[at]![0] !== name || before[at]![1] !== value,
      );
      assert.equal(
        changed.length,
        1,
        `${slot} is not exposed: add it to WORKER_TABLE or to metrics/ingest.ts`,
      );
    }
  });

  it('of the writer is exposed, or names the part of the server that reads it', async () => {
    for (const slot of WRITER_SLOTS) {
      if ('internalFor' in WRITER_TABLE[slot]) continue;
      const sources = emptySources();
      new Float64Array(sources.writer.counters)[WRITER[slot]] = 12_345;
      const values = (await text(sources)).map(([, value]) => value);
      assert.ok(values.includes(12_345), `${slot} is not exposed`);
    }
  });
});

/** The row of docs/operating.md that documents a metric. */
function documentationOf({ name, type, labels, help }: MetricDescription): string {
  const unit = /_(seconds|bytes|ratio)(_per_second)?(_total)?$/.exec(name);
  const units = unit === null ? '' : `${unit[1]}${unit[2] === undefined ? '' : ' per second'}`;
  const cells = [
    `\`${name.replace('metricsstream_', '')}\``,
    type,
    labels.map((label) => `\`${label}\``).join(', '),
    units,
    help.replaceAll('events_dropped_total', '`events_dropped_total`').replaceAll('+Inf', '`+Inf`'),
  ];
  return `|${cells.map((cell) => (cell === '' ? ' ' : ` ${cell} `)).join('|')}|`;
}

describe('the metrics in docs/operating.md', () => {
  it('are those exposed, with their types, labels, units and help', () => {
    const section = readFileSync('docs/operating.md', 'utf8')
      .split(/^## Metrics$/m)[1]!
      .split(/^## /m)[0]!;
    const documented = [...section.matchAll(/^\| `\w+` \| (counter|gauge|histogram) \|.*$/gm)].map(
      ([row]) => row,
    );
    const exposed = describeMetrics(new Readings(emptySources(), createThreadStats())).map(documentationOf);
    const missing = exposed.filter((row) => !documented.includes(row));
    const stale = documented.filter((row) => !exposed.includes(row));
    assert.deepEqual({ missing, stale }, { missing: [], stale: [] });
  });
});
