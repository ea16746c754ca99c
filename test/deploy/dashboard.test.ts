/**
 * The dashboard and the rules against a real server under real load, scraped by a real Prometheus: every query must
 * find data.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ArchiveTotals } from '../../src/archive/archiver.ts';
import { ArchiveMetrics } from '../../src/archive/metrics.ts';
import { COUNTED_REASONS } from '../../src/telemetry/unavailable.ts';
import { eventually } from '../support/assertions.ts';
import { bodyOf, ndjsonBody, uniqueName } from '../support/bodies.ts';
import { reportCursor } from '../support/cursor-report.ts';
import { dashboard, findsData, isNumber, isShipping, panels, substituted } from '../support/dashboard.ts';
import { deployPath, readDeployed, runTool } from '../support/deploy-files.ts';
import { Prometheus } from '../support/prometheus.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { memoryDirectory, startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

describe('the dashboard', () => {
  it('equals the output of its description', () => {
    runTool(process.execPath, [deployPath('grafana', 'dashboard.mjs'), '--check']);
  });

  it('has a title, a description, a unit, thresholds and at least one query on every panel', () => {
    for (const { title, description, fieldConfig, targets } of panels) {
      assert.ok(title, 'title');
      assert.ok(description, title);
      assert.ok(fieldConfig?.defaults.unit, title);
      assert.ok(fieldConfig.defaults.thresholds, title);
      assert.ok(targets !== undefined && targets.length > 0, title);
    }
  });

  it('has panels that do not overlap, with unique ids', () => {
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        assert.ok(x < 24, title);
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.equal(taken.get(`${x},${y}`), undefined, title);
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  it('counts every reason of a 503 in one stage of the errors', () => {
    const { targets = [] } = panels.find(({ title }) => title === 'Errors by stage')!;
    const shown = targets.flatMap(({ expr }) => /reason=~"([^"]+)"/.exec(expr)?.[1]?.split('|') ?? []);
    assert.deepEqual(shown.sort(), [...COUNTED_REASONS].sort());
  });

  it('chooses data source, job and instance by variables', () => {
    const names = dashboard.templating.list.map(({ name }) => name);
    assert.deepEqual(names, ['datasource', 'job', 'instance', 'stage']);
    const own = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    for (const expression of own) assert.match(expression, /job=~"\$job", instance=~"\$instance"/);
  });
});

/** Repeats requests of every kind that the dashboard distinguishes. */
class MixedLoad {
  private stopping = false;
  private readonly done: Promise<unknown>;
  readonly statuses = new Set<number>();

  constructor(port: number) {
    this.done = Promise.all([
      this.repeat(port, 'good', () => {
        const types = ['counter', 'gauge', 'histogram', 'summary'];
        return postRequest(bodyOf(types.map((type, value) => ({ name: uniqueName('d'), value, type }))));
      }),
      this.repeat(port, 'lines', () =>
        postRequest(ndjsonBody([{ name: uniqueName('d'), value: 1 }]), {
          headers: { 'Content-Type': 'application/x-ndjson' },
        }),
      ),
      this.repeat(port, 'bad', () => postRequest('{"metrics":[')),
      this.repeat(port, 'half', () => postRequest(bodyOf([{ name: 'd', value: 1 }, { name: '' }]))),
      this.repeat(port, 'greedy', () => postRequest(bodyOf([{ name: 'd', value: 1 }])), 5),
    ]);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.done;
  }

  private async repeat(
    port: number,
    client: string,
    next: () => ReturnType<typeof postRequest>,
    pauseMs = 40,
  ): Promise<void> {
    const connection = await RawConnection.open(port);
    while (!this.stopping) {
      const request = next();
      const response = await connection.request({
        ...request,
        headers: { ...request.headers, 'X-Client': client },
      });
      this.statuses.add(response.status);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    connection.close();
  }
}

describe('in a Prometheus that scrapes a loaded server', { skip: requireTool('prometheus') }, () => {
  const cleanups: (() => unknown)[] = [];
  let prometheus: Prometheus;

  before(async () => {
    const owner = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) };
    const server = await startServer(owner, {
      // The greedy client gets 429 only if its requests are stored faster than it may send them.
      dataDir: memoryDirectory(owner),
      args: ['--workers', '2', '--client-id', 'header:x-client', '--rate-limit', '50'],
    });
    // As an exporter reports; without one there are no sinks to show.
    reportCursor(server.dataDir, {});
    const targets = [`127.0.0.1:${server.port}`];
    prometheus = await Prometheus.start(owner, targets, [
      deployPath('prometheus', 'recording.yml'),
      deployPath('prometheus', 'alerts.yml'),
    ]);
    const load = new MixedLoad(server.port);
    owner.after(() => load.stop());
    await eventually('every kind of answer was given', () => load.statuses.size >= 3);
    // Prometheus waits five seconds before its first scrape; a rate needs two.
    await eventually('the load has been scraped and looked at by the rules', async () => {
      const limited = await prometheus.query('rate(metricsstream_requests_total{status="429"}[10s]) > 0');
      const ruled = await prometheus.query('instance:metricsstream_request_errors:ratio_rate1m');
      return limited.length > 0 && ruled.some(isNumber);
    });
  });

  after(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });

  // Those of the processes beside a server have a test of their own.
  for (const { title, targets = [] } of panels.filter((panel) => !isShipping(panel))) {
    it(`panel "${title}" finds data with each of its queries`, async () => {
      for (const { expr } of targets) await findsData(prometheus, substituted(expr));
    });
  }

  it('the annotations are queries that Prometheus understands', async () => {
    for (const { expr } of dashboard.annotations.list) await prometheus.query(substituted(expr));
  });

  it('the variables have values to choose from', async () => {
    const variables = dashboard.templating.list.filter(({ type }) => type === 'query');
    assert.equal(variables.length, 3);
    for (const { definition = '' } of variables) {
      const [, series = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? [];
      const found = await findsData(prometheus, substituted(series));
      assert.ok(
        found.every(({ metric }) => metric[label]),
        definition,
      );
    }
  });

  it('every recording rule produces data', async () => {
    const recording = (await prometheus.rules()).filter(({ type }) => type === 'recording');
    assert.ok(recording.length > 0);
    for (const { name } of recording) await findsData(prometheus, name);
  });

  it('every rule is evaluated without an error, and a healthy server fires no alert', async () => {
    const rules = await prometheus.rules();
    assert.deepEqual(
      rules.filter(({ health }) => health !== 'ok'),
      [],
    );
    const alerting = rules.filter(({ type }) => type === 'alerting');
    assert.ok(alerting.length > 0);
    assert.deepEqual(
      alerting.filter(({ state }) => state === 'firing'),
      [],
    );
  });

  it('every series that the rules use exists before anything goes wrong', async () => {
    const texts = ['recording.yml', 'alerts.yml'].map((file) => readDeployed('prometheus', file));
    const names = texts.flatMap(
      (text) => text.match(/(?<![\w:])(metricsstream_\w+_\w+|up)(?=[{[ )\n])/g) ?? [],
    );
    assert.ok(names.length > 20);
    // The test of consume checks its names, and the next one those of archive.
    const ofServer = names.filter((name) => !/^metricsstream_(consume|archive)_/.test(name));
    for (const name of new Set(ofServer)) await findsData(prometheus, name);
  });

  it('the rules use metrics of archive that it has', () => {
    const used = readDeployed('prometheus', 'alerts.yml').match(/metricsstream_archive_\w+/g) ?? [];
    const known = new ArchiveMetrics({} as ArchiveTotals).registry.getMetricsAsArray();
    assert.notEqual(used.length, 0);
    for (const name of used)
      assert.ok(
        known.some((metric) => metric.name === name),
        name,
      );
  });
});
