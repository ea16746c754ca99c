import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Breaker, createBreakerMemory } from '../../src/breaker/breaker.ts';
import { Exposition } from '../../src/exposition/exposition.ts';
import { describeMetrics } from '../../src/exposition/metric-table.ts';
import { Readings, type TelemetrySources } from '../../src/exposition/readings.ts';
import { createRegistry, openMetricsRegistry } from '../../src/exposition/registry.ts';
import type { Summary } from '../../src/exposition/summary.ts';
import { familyText } from '../../src/exposition/text-format.ts';
import { createLimiterMemory, openLimiter } from '../../src/limiter/striped-lock.ts';
import {
  createCounterBlock,
  WORKER,
  WORKER_SLOTS,
  WRITER,
  WRITER_SLOTS,
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

const LIMITS = { requestRate: 10, requestBurst: 3, metricRate: 100, metricBurst: 100, clients: 100 };
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0';

/** Sources of two ingest threads and a writer, and what those threads write to. */
interface Rig {
  readonly sources: TelemetrySources;
  readonly events: readonly SharedArrayBuffer[];
}

/** A breaker that two stalls opened. */
function brokenStorage(): SharedArrayBuffer {
  const memory = createBreakerMemory({ failures: 5, errorPercent: 50, windowMs: 10_000, openMs: 1_000 });
  const breaker = new Breaker(memory);
  breaker.countStall();
  breaker.countStall();
  breaker.trip('a sync stalls', 1_000);
  return memory;
}

/** Everything at zero, but for the breaker. */
function emptyRig(): Rig {
  const counted = () => ({
    counters: createCounterBlock(WORKER_SLOTS),
    histograms: createHistogramBlock(WORKER_HISTOGRAM_NAMES),
  });
  const events = createSampleMemories(2);
  const sources: TelemetrySources = {
    version: '1.2.3',
    phase: 'pool',
    uws: '20.30',
    queueCapacity: 500,
    disk: { dataDir: '.', reserveBytes: 1000 },
    breaker: brokenStorage(),
    classNames: () => ['anonymous', 'edge'],
    ingest: [counted(), counted()],
    writer: {
      counters: createCounterBlock(WRITER_SLOTS),
      histograms: createHistogramBlock(WRITER_HISTOGRAM_NAMES),
    },
    samples: openSamples(events),
    stats: ['ingest-0', 'ingest-1', 'writer'].map((name) => ({ name, memory: createThreadStats() })),
    limiter: { memory: createLimiterMemory(LIMITS), config: LIMITS },
  };
  return { sources, events };
}

/** Something in every kind of place. */
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
  for (let k = 0; k < 5; k++) limiter.takeRequest(client, client.length, 1000);
  limiter.takeMetrics(60, 1000);
  return { sources, events };
}

const emptySources = (): TelemetrySources => emptyRig().sources;
const busySources = (): TelemetrySources => busyRig().sources;

async function render(sources: TelemetrySources, accept?: string) {
  return new Exposition(sources).render(accept);
}

/** The samples of a text exposition: line up to the value → value. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describe('Prometheus text', () => {
  it('passes promtool check metrics without a remark', {
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

  it('sums counters and gauges over the workers, and takes the oldest head of queue', async () => {
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

  it('shows samples as cumulative buckets in seconds', async () => {
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

  it('stays the same when it is rendered again', async () => {
    const exposition = new Exposition(busySources());
    const own = async () =>
      [...samples((await exposition.render(undefined)).body)].filter(
        ([name]) => name.startsWith('metricsstream_') && !name.includes('uptime'),
      );
    const first = await own();
    await exposition.render(OPEN_METRICS);
    assert.deepEqual(await own(), first);
  });

  it('names clients by their keyed hash only', async () => {
    const { body } = await render(busySources());
    assert.match(body, /metricsstream_client_requests_total\{client="[0-9a-f]{16}",verdict="allowed"\} 3\n/);
    assert.match(body, /metricsstream_client_requests_total\{client="[0-9a-f]{16}",verdict="refused"\} 2\n/);
    assert.match(body, /metricsstream_client_metrics_total\{client="[0-9a-f]{16}",verdict="allowed"\} 60\n/);
    assert.ok(!body.includes('10.1.2.3'));
  });

  it('tells dropped samples and statistics of each thread', async () => {
    const { sources, events } = busyRig();
    const recorder = openRecorder(events[0]!);
    // Two samples wait already.
    for (let k = 0; k < 8192 - 2 + 5; k++) recorder.record(sampleOf());
    const values = samples((await render(sources)).body);
    assert.equal(values.get('metricsstream_events_dropped_total'), 5);
    assert.ok(values.get('metricsstream_thread_heap_used_bytes{thread="ingest-1"}')! > 1e6);
    assert.equal(values.get('metricsstream_thread_heap_used_bytes{thread="writer"}'), undefined);
  });
});

describe('our own text', () => {
  it("is what prom-client writes of the same metrics, in both forms, whatever the labels' values are", async () => {
    const sources: TelemetrySources = {
      ...busySources(),
      classNames: () => ['anonymous', 'a "quoted" \\ name\nof two lines'],
    };
    const readings = new Readings(sources, createThreadStats());
    const descriptions = describeMetrics(readings).filter(({ name }) => !name.includes('uptime'));
    const registry = createRegistry(descriptions);
    const open = openMetricsRegistry(registry);
    for (const [form, { texts }] of [
      [registry, registry],
      [open, open],
    ] as const) {
      for (const [name, text] of texts) {
        const own = text(form === registry ? 'text' : 'openmetrics');
        assert.equal(own, await form.getSingleMetricAsString(name), name);
      }
    }
    assert.equal(registry.texts.size, descriptions.length);
  });

  it('has no values left out by prom-client that a gauge can take', async () => {
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

describe('scrapes that come together', () => {
  it('share one rendering; one that comes later is made anew', async () => {
    const { sources } = busyRig();
    const exposition = new Exposition(sources);
    const [one, two, json] = await Promise.all([
      exposition.render('text/plain'),
      exposition.render(undefined),
      exposition.render('application/json'),
    ]);
    assert.equal(one, two);
    assert.notEqual(one.contentType, json.contentType);
    new Float64Array(sources.ingest[0]!.counters)[WORKER.requests_200]! += 1;
    const later = samples((await exposition.render(undefined)).body);
    assert.equal(later.get('metricsstream_requests_total{status="200"}'), 202);
  });
});

describe('OpenMetrics', () => {
  it('declares counters without _total, samples them with it, and ends in EOF', async () => {
    const { body, contentType } = await render(busySources(), OPEN_METRICS);
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
    const text = own((await exposition.render(undefined)).body);
    assert.deepEqual(own((await exposition.render(OPEN_METRICS)).body), text);
  });
});

describe('JSON summary', () => {
  it('tells requests, latencies, queue, disk and limiter', async () => {
    const { body, contentType } = await render(busySources(), 'application/json');
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

describe('the metrics in docs/operating.md', () => {
  it('are exactly those exposed, with their types and labels', () => {
    const section = readFileSync('docs/operating.md', 'utf8')
      .split(/^## Metrics$/m)[1]!
      .split(/^## /m)[0]!;
    const rows = [...section.matchAll(/^\| `(\w+)` \| (\w+) \|([^|]*)\|/gm)];
    const documented = rows.map(([, name, type, labels = '']) => ({
      name: `metricsstream_${name}`,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
    }));
    const exposed = describeMetrics(new Readings(emptySources(), createThreadStats())).map(
      ({ name, type, labels }) => ({
        name,
        type,
        labels: [...labels],
      }),
    );
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
    assert.deepEqual(documented.sort(byName), exposed.sort(byName));
  });
});
