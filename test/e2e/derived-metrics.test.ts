/** Metrics derived from requests, in every phase: ingestion by class and type, bodies parsed, disk use. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Summary } from '../../src/exposition/summary.ts';
import { assertAccepted, assertProblem, eventually } from '../support/assertions.ts';
import { bodyOf, uniqueName } from '../support/bodies.ts';
import { describeFirstAndLast } from '../support/each-phase.ts';
import { Scrape } from '../support/exposition.ts';
import { fetchOnce, post } from '../support/raw-http.ts';
import { startServer } from '../support/server-process.ts';

const INGESTED = 'metricsstream_ingested_metrics_total';
const PARSED = 'metricsstream_bodies_parsed_total';

const of = (type: string, count: number) =>
  Array.from({ length: count }, () => ({ name: uniqueName('typed'), value: 1, type }));

async function summaryOf(port: number): Promise<Summary> {
  const response = await fetchOnce(port, { path: '/metrics', headers: { Accept: 'application/json' } });
  return JSON.parse(response.body.toString()) as Summary;
}

describeFirstAndLast({ args: ['--rate-limit', '0'] }, (server) => {
  it('metrics acknowledged are counted by class and type, and sum up to those accepted', async () => {
    const metrics = [...of('counter', 3), ...of('gauge', 5), ...of('histogram', 300), ...of('summary', 2)];
    assertAccepted(await post(server.port, bodyOf(metrics)), 310);
    const ndjson = { 'Content-Type': 'application/x-ndjson' };
    const lines = of('counter', 4)
      .map((metric) => JSON.stringify(metric))
      .join('\n');
    assertAccepted(await post(server.port, lines, { headers: ndjson }), 4);
    assertProblem(await post(server.port, bodyOf([{ name: '', value: 1 }])), 400);
    assertProblem(await post(server.port, '{"metrics":['), 400);
    assertProblem(await post(server.port, ''), 400);

    const scrape = await Scrape.of(server.port);
    for (const [type, count] of Object.entries({ counter: 7, gauge: 5, histogram: 300, summary: 2 }))
      assert.equal(scrape.sum(INGESTED, `class="anonymous",type="${type}"`), count, type);
    assert.equal(scrape.sum(INGESTED), scrape.sum('metricsstream_metrics_accepted_total'));
    assert.equal(scrape.sum('metricsstream_class_requests_total', 'class="anonymous"'), 5);
    assert.equal(scrape.sum(PARSED, 'content_type="json",result="ok"'), 2);
    assert.equal(scrape.sum(PARSED, 'content_type="json",result="failed"'), 2);
    assert.equal(scrape.sum(PARSED, 'content_type="ndjson",result="ok"'), 1);
    assert.equal(scrape.sum(PARSED, 'content_type="ndjson",result="failed"'), 0);

    const summary = await summaryOf(server.port);
    assert.equal(summary.ingestion.anonymous!.metrics.histogram!.accepted, 300);
    assert.ok(summary.ingestion.anonymous!.metrics.histogram!.perSecond > 0);
    assert.ok(summary.ingestion.anonymous!.requestsPerSecond > 0);
    assert.deepEqual(summary.parsing.json, { ok: 2, failed: 2 });
  });
});

describe('the disk', () => {
  it('has its reserve, free space before the first write, and a projection while it fills', async (t) => {
    const server = await startServer(t, { args: ['--min-free-bytes', '12m', '--rate-limit', '0'] });
    const value = async (name: string) => (await Scrape.of(server.port)).sum(`metricsstream_${name}`);
    await eventually('free space is known', async () => (await value('disk_free_bytes')) > 0);
    assert.equal(await value('disk_reserve_bytes'), 12 * 2 ** 20);
    const body = bodyOf(of('gauge', 1000));
    await eventually('the disk fills', async () => {
      assertAccepted(await post(server.port, body), 1000);
      return (await value('disk_use_bytes_per_second')) > 0;
    });
    const fullSeconds = await value('disk_full_seconds');
    assert.ok(fullSeconds > 0 && Number.isFinite(fullSeconds), `${fullSeconds}`);
    const { disk } = await summaryOf(server.port);
    assert.equal(disk.reserveBytes, 12 * 2 ** 20);
    assert.ok(disk.useBytesPerSecond > 0 && disk.fullSeconds! > 0);
  });
});
