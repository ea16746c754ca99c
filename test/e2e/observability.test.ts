import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { assertAccepted, eventually } from '../support/assertions.ts';
import { namesBody, uniqueName } from '../support/bodies.ts';
import { fetchOnce, post, RawConnection } from '../support/raw-http.ts';
import { residentBytes, startServer } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';

const server = await startServer({ after }, { args: ['--workers', '2'] });
await post(server.port, namesBody(uniqueName('warm'), uniqueName('warm')));
await post(server.port, '{"metrics":[');

function get(path: string, headers: Record<string, string> = {}) {
  return fetchOnce(server.port, { path, headers });
}

/** Names of the families a Prometheus text declares. */
function families(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1] ?? '');
}

describe('GET /metrics', () => {
  it('is Prometheus text by default', async () => {
    const response = await get('/metrics');
    assert.equal(response.status, 200);
    assert.match(response.header('content-type') ?? '', /^text\/plain;.*version=0\.0\.4/);
    assert.ok(families(response.body.toString()).length > 20);
  });

  it('is OpenMetrics by Accept', async () => {
    const response = await get('/metrics', { Accept: 'application/openmetrics-text; version=1.0.0' });
    assert.equal(response.status, 200);
    assert.match(response.header('content-type') ?? '', /^application\/openmetrics-text/);
    assert.match(response.body.toString(), /# EOF\n$/);
  });

  it('is a JSON summary by Accept', async () => {
    const response = await get('/metrics', { Accept: 'application/json' });
    assert.equal(response.status, 200);
    assert.match(response.header('content-type') ?? '', /^application\/json/);
    assert.ok(Object.keys(response.json()).length > 0);
  });

  it('is Prometheus text for a browser and for */*', async () => {
    for (const accept of ['*/*', 'text/html,application/xhtml+xml,*/*;q=0.8']) {
      assert.match((await get('/metrics', { Accept: accept })).header('content-type') ?? '', /^text\/plain/);
    }
  });

  it('passes promtool check metrics', { skip: requireTool('promtool', 'prometheus') }, async () => {
    const { body } = await get('/metrics');
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body });
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.equal(`${stdout}${stderr}`.trim(), '');
  });

  it('is answered by every worker alike', async () => {
    const connections = await Promise.all(Array.from({ length: 12 }, () => RawConnection.open(server.port)));
    const bodies: string[][] = [];
    for (const connection of connections) {
      const response = await connection.request({ path: '/metrics' });
      bodies.push(families(response.body.toString()));
      connection.close();
    }
    for (const names of bodies) assert.deepEqual(names, bodies[0]);
  });
});

describe('GET /health', () => {
  it('reports uptime, version, phase and queue depth', async () => {
    const response = await get('/health');
    assert.equal(response.status, 200);
    const health = response.json();
    const texts = JSON.stringify(health).toLowerCase();
    for (const word of ['uptime', 'version', 'phase', 'queue']) assert.ok(texts.includes(word), texts);
  });
});

describe('GET /ready', () => {
  it('answers 200 while the server accepts metrics', async () => {
    assert.equal((await get('/ready')).status, 200);
  });
});

describe('HEAD', () => {
  for (const path of ['/metrics', '/health', '/ready']) {
    it(`answers ${path} like GET, without a body`, async () => {
      const connection = await RawConnection.open(server.port);
      const head = await connection.request({ method: 'HEAD', path });
      assert.equal(head.status, 200);
      const next = await connection.request({ path });
      assert.equal(next.status, 200);
      assert.equal(head.header('content-type'), next.header('content-type'));
      connection.close();
    });
  }
});

describe('a reader that never reads', () => {
  it('does not grow memory, and the server still answers others', async () => {
    const before = residentBytes(server.pid);
    const deaf = await Promise.all(Array.from({ length: 20 }, () => RawConnection.open(server.port)));
    for (const connection of deaf) connection.socket.pause();
    const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(200);
    let sentBytes = 0;
    for (let round = 0; round < 50; round++) {
      for (const connection of deaf) {
        connection.write(request);
        sentBytes += request.length;
      }
      assertAccepted(await post(server.port, namesBody(uniqueName('beside'))), 1);
    }
    const grown = residentBytes(server.pid) - before;
    for (const connection of deaf) connection.close();
    // It requested 200,000 answers of several KiB each: over 1 GB if they were kept.
    assert.ok(sentBytes > 8 << 20);
    assert.ok(grown < 128 << 20, `grew by ${grown >> 20} MiB`);
    await eventually('the server is ready', async () => (await get('/ready')).status === 200);
  });
});
