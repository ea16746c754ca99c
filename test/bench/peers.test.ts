/** The parts of `bench:server --peers`: encodings, stamped requests, and the words for figures. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  INFLUX_LINES,
  JSON_LINES,
  METRICS_JSON,
  PROMETHEUS_TEXT,
  prometheusName,
  type TextMetric,
} from '../../bench/compare/encodings.ts';
import type { KillResult } from '../../bench/compare/kill.ts';
import type { PeerCellResult } from '../../bench/compare/peer-cell.ts';
import { keptText, lossText } from '../../bench/compare/peers-tables.ts';
import {
  createStampedWorkload,
  encodeBody,
  stampBody,
  stampedMetrics,
  writeStampedFiles,
} from '../../bench/compare/stamped-workload.ts';
import { runWrk } from '../../bench/under-test/wrk.ts';
import { requireTool } from '../support/tools.ts';

const TIMESTAMP = '1700000000123';

function metric(name: string, tags: Record<string, string>, value = '12.340'): TextMetric {
  return { name, value, type: 'counter', timestamp: TIMESTAMP, tags };
}

describe('JSON encodings', () => {
  const awkward = metric('a"b', { 'k\\': 'line\nbreak, "ü"' });

  it('keep the digits of a value and escape names and tags', () => {
    const text = METRICS_JSON.encode([awkward]);
    assert.match(text, /"value":12\.340,/);
    assert.deepEqual(JSON.parse(text), {
      metrics: [{ ...awkward, value: 12.34, timestamp: Number(TIMESTAMP) }],
    });
  });

  it('put one series with its labels on each line', () => {
    const lines = JSON_LINES.encode([awkward, metric('b', {})]).split('\n');
    assert.equal(lines.length, 3);
    assert.equal(lines[2], '');
    assert.deepEqual(JSON.parse(lines[0] ?? ''), {
      metric: { __name__: 'a"b', ...awkward.tags },
      values: [12.34],
      timestamps: [Number(TIMESTAMP)],
    });
    assert.deepEqual((JSON.parse(lines[1] ?? '') as { metric: unknown }).metric, { __name__: 'b' });
  });
});

describe('Influx line protocol', () => {
  it('sorts tags and leaves out those without a value', () => {
    assert.equal(
      INFLUX_LINES.encode([metric('cpu.usage', { region: 'eu', empty: '', host: 'web-1' })]),
      `cpu.usage,host=web-1,region=eu value=12.340 ${TIMESTAMP}\n`,
    );
  });

  it('escapes commas and spaces everywhere, equals signs in tags only', () => {
    assert.equal(
      INFLUX_LINES.encode([metric('a=b, c', { 'k =': 'x,y=z "q"' })]),
      `a=b\\,\\ c,k\\ \\==x\\,y\\=z\\ "q" value=12.340 ${TIMESTAMP}\n`,
    );
  });

  it('keeps a backslash that escapes nothing', () => {
    assert.equal(
      INFLUX_LINES.encode([metric('a', { path: 'C:\\dir' })]),
      `a,path=C:\\dir value=12.340 ${TIMESTAMP}\n`,
    );
  });

  it('refuses what it cannot carry', () => {
    for (const [name, tags] of [
      ['#comment', {}],
      ['', {}],
      ['line\nbreak', {}],
      ['a', { tag: 'ends with \\' }],
      ['a', { tag: 'backslash\\ before a space' }],
    ] as const) {
      assert.throws(() => INFLUX_LINES.encode([metric(name, tags)]), RangeError, name);
    }
  });
});

describe('Prometheus text', () => {
  it('writes names as exporters do', () => {
    assert.equal(prometheusName('cpu.usage-total:sum'), 'cpu_usage_total:sum');
    assert.equal(prometheusName('5xx'), '_5xx');
  });

  it('escapes backslashes, quotes and line breaks in label values', () => {
    assert.equal(
      PROMETHEUS_TEXT.encode([metric('cpu.usage', { 'a.b': 'C:\\n "q"\nnext', 'c:d': 'e' })]),
      `cpu_usage{a_b="C:\\\\n \\"q\\"\\nnext",c_d="e"} 12.340 ${TIMESTAMP}\n`,
    );
  });

  it('needs no braces without labels', () => {
    assert.equal(PROMETHEUS_TEXT.encode([metric('up', {}, '1.000')]), `up 1.000 ${TIMESTAMP}\n`);
  });
});

describe('a stamped workload', () => {
  const STAMP = 179_525_130_000;

  it('is the same metrics in every encoding', () => {
    const [metrics = []] = createStampedWorkload(100).bodies;
    const sent = stampedMetrics(metrics, STAMP);
    for (const encoding of [METRICS_JSON, JSON_LINES, INFLUX_LINES, PROMETHEUS_TEXT]) {
      const body = encodeBody(metrics, encoding);
      const bytes = Buffer.from(body.template);
      stampBody(bytes, 0, body, STAMP);
      const text = sent.map((m) => ({
        ...m,
        value: m.value.toFixed(3),
        timestamp: String(m.timestamp),
      }));
      assert.equal(bytes.toString(), encoding.encode(text), encoding.title);
    }
  });

  it('never has a series twice at one time', () => {
    for (const batch of [1, 100, 1_000]) {
      const { bodies } = createStampedWorkload(batch);
      const keys = bodies
        .flatMap((metrics, index) => stampedMetrics(metrics, STAMP + index))
        .map(({ name, tags, timestamp }) => JSON.stringify([name, tags, timestamp]));
      assert.equal(new Set(keys).size, bodies.length * batch);
    }
  });

  it('has other values with another stamp', () => {
    const [metrics = []] = createStampedWorkload(100).bodies;
    const values = [STAMP, STAMP + 1].map((stamp) => stampedMetrics(metrics, stamp).map((m) => m.value));
    assert.notDeepEqual(values[0], values[1]);
  });

  it('is stamped alike by wrk and by the client', { skip: requireTool('wrk') }, async () => {
    const workload = createStampedWorkload(100);
    const received = new Set<string>();
    const server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        received.add(text);
        response.end();
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const directory = mkdtempSync(join(tmpdir(), 'stamped-'));
    try {
      const files = writeStampedFiles(directory, workload, METRICS_JSON)(STAMP);
      const { port } = server.address() as AddressInfo;
      const counts = await runWrk({ port, files, connections: 1, seconds: 5, core: 0 });
      assert.equal(counts.refused, 0);
      assert.ok(counts.clientCpuSeconds > 0);
    } finally {
      rmSync(directory, { recursive: true });
      server.closeAllConnections();
      server.close();
    }
    const count = workload.bodies.length;
    assert.ok(received.size > count, 'wrk sent each body more than once');
    // wrk asks its script for one request that it does not send.
    for (let request = 1; request <= count; request++) {
      const body = encodeBody(workload.bodies[request % count] ?? [], METRICS_JSON);
      stampBody(body.template, 0, body, STAMP + request);
      assert.ok(received.has(body.template.toString()), `request ${request} is not what the client makes`);
    }
  });
});

describe('the report', () => {
  const cell = (kept: number) => ({ kept, keptAtLeast: 1_000, keptAtMost: 1_100 }) as PeerCellResult;

  it('says when a server kept other than what it acknowledged', () => {
    assert.equal(keptText([cell(1_000), cell(1_100)]), 'all');
    assert.equal(keptText([cell(1_000), cell(0)]), '1,000 MISSING');
    assert.equal(keptText([cell(1_101)]), '1 TOO MANY');
  });

  it('says how much a kill lost, and how far back', () => {
    const kill = (lost: number, lostSeconds: number) => ({ lost, lostSeconds }) as KillResult;
    assert.equal(lossText([kill(0, 0)]), 'none');
    assert.equal(lossText([kill(0, 0), kill(1_500, 2.25)]), 'up to 1,500, the last 2.3 s');
    assert.equal(lossText([]), '–');
  });
});

it('every peer that is installed gives back what it was sent', () => {
  const script = fileURLToPath(new URL('../../bench/compare/main.js', import.meta.url));
  const args = [script, '--peers', '--smoke'];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const lines = stderr.trim().split('\n');
  assert.equal(lines.length, 8, stderr);
  for (const line of lines) assert.match(line, /: (800 metrics verified|skipped, apt-get install \S+)$/);
});
