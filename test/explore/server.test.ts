/** The answers of `metricsstream explore`, and who gets them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { MODES, stepFor } from '../../src/explore/questions.ts';
import { makeCertificate } from '../support/certificates.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { type ExploreProcess, startExplore } from '../support/explore-process.ts';
import { asker } from '../support/query-rows.ts';
import { fetchSecure, postRequest, RawConnection } from '../support/raw-http.ts';
import { startServer, temporaryDirectory } from '../support/server-process.ts';

const BASE_MS = Date.UTC(2024, 0, 2, 3, 0);
const STEPS = 600;
const TOKEN = 'a-token-of-enough-length';

interface Plot {
  readonly sql: string;
  readonly more: boolean;
  readonly stepMs: number;
  readonly labels: readonly string[];
  readonly columns: readonly (readonly (number | null)[])[];
}

describe('explore', () => {
  const owner = suiteOwner();
  let dataDir: string;
  let explorer: ExploreProcess;

  before(async () => {
    const server = await startServer(owner);
    dataDir = server.dataDir;
    const connection = await RawConnection.open(server.port);
    const metrics = Array.from({ length: STEPS }, (_, step) => step).flatMap((step) => [
      {
        name: 'load',
        type: 'gauge',
        value: step === 299 ? 1_000 : step % 10,
        timestamp: BASE_MS + step * 1_000,
        tags: { host: `h${step % 2}` },
      },
      {
        name: 'many',
        type: 'counter',
        value: step,
        timestamp: BASE_MS + step * 1_000,
        tags: { id: `i${step % 30}`, "o'clock": 'x' },
      },
    ]);
    const response = await connection.request(postRequest(JSON.stringify({ metrics })));
    assert.equal(response.status, 200, response.body.toString());
    connection.close();
    await server.stop();
    explorer = await startExplore(owner, dataDir);
  });

  const get = (path: string) => fetch(`${explorer.url}${path}`);
  /** The status of a request with this Host, which fetch does not let one choose. */
  const statusAs = async (host: string): Promise<number | undefined> => {
    const request = httpGet(`${explorer.url}/api/names`, { headers: { Host: host } });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  const plot = async (parameters: string): Promise<Plot> => {
    const range = `from=${BASE_MS}&to=${BASE_MS + STEPS * 1_000}`;
    const response = await get(`/api/plot?${range}&${parameters}`);
    assert.equal(response.status, 200);
    return (await response.json()) as Plot;
  };

  it('lists names, tags and series with their counts', async () => {
    const { names } = (await (await get('/api/names')).json()) as { names: Record<string, unknown>[] };
    const lastMs = BASE_MS + (STEPS - 1) * 1_000;
    assert.deepEqual(names, [
      { name: 'load', type: 'gauge', series: 2, count: STEPS, firstMs: BASE_MS, lastMs },
      { name: 'many', type: 'counter', series: 30, count: STEPS, firstMs: BASE_MS, lastMs },
    ]);
    const { tags, series, total } = (await (await get('/api/series?name=load')).json()) as Record<
      string,
      unknown[]
    >;
    assert.deepEqual(tags, [
      { key: 'host', value: 'h0', count: STEPS / 2 },
      { key: 'host', value: 'h1', count: STEPS / 2 },
    ]);
    assert.deepEqual(series?.[1], { tags: { host: 'h1' }, count: STEPS / 2, value: 9, lastMs });
    assert.equal(total, 2);
  });

  it('answers a plot with a bounded number of steps, and raw values keep the peak', async () => {
    for (const mode of MODES) {
      const { columns, stepMs } = await plot(`name=load&mode=${mode}&points=20`);
      assert.equal(stepMs, 30_000, mode);
      assert.ok(
        columns[0]!.length >= 20 && columns[0]!.length <= 42,
        `${mode}: ${columns[0]!.length} points`,
      );
    }
    const { columns } = await plot('name=load&mode=raw&points=20');
    const [times, values] = columns;
    assert.equal(Math.max(...(values as number[])), 1_000);
    assert.equal(times![values!.indexOf(1_000)], (BASE_MS + 299_000) / 1_000);
  });

  it('shows SQL that gives the same numbers in query', async () => {
    const { sql, labels, columns } = await plot('name=load&mode=avg&by=host&points=20');
    assert.deepEqual(labels, ['h0', 'h1']);
    const { rows } = await asker(owner, dataDir)(sql);
    const expected = rows.filter(([, line]) => line === 'h1').map(([, , value]) => value);
    assert.deepEqual(columns[2], expected);
  });

  it('plots by a tag that needs quoting, under conditions, and the lines with the most metrics of many', async () => {
    const all = await plot(`name=many&mode=count&by=id&points=10`);
    assert.equal(all.labels.length, 20);
    assert.equal(all.more, true);
    const quoted = `key=${encodeURIComponent("o'clock")}&is=x&by=${encodeURIComponent("o'clock")}`;
    const one = await plot(`name=many&mode=rate&points=10&${quoted}`);
    assert.deepEqual([one.labels, one.more], [['x'], false]);
    const none = await plot(
      `name=many&mode=count&points=10&key=id&is=${encodeURIComponent("i1' OR '1'='1")}`,
    );
    assert.deepEqual(none.labels, []);
  });

  it('plots ranges beyond the years of four digits', async () => {
    const response = await get(`/api/plot?name=load&mode=count&points=20&from=${-9e15}&to=${9e15}`);
    const { columns } = (await response.json()) as Plot;
    assert.deepEqual(columns?.[1], [STEPS], `status ${response.status}`);
  });

  it('exports the rows of a plot as CSV', async () => {
    const response = await get(
      `/api/plot.csv?name=load&mode=sum&from=${BASE_MS}&to=${BASE_MS + STEPS * 1_000}&points=2`,
    );
    assert.match(response.headers.get('content-type') ?? '', /^text\/csv/);
    assert.equal(
      await response.text(),
      `time,line,value\n2024-01-02 03:00:00,all,2341\n2024-01-02 03:05:00,all,1350\n`,
    );
  });

  it('names the parameter that is wrong', async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['name=load&mode=best', /mode: give one of raw, avg/],
      ['mode=avg', /name: give the name/],
      ['name=load&from=yesterday', /from yesterday: give a time/],
      ['name=load&from=9999999999999999', /from 9999999999999999: give a time/],
      ['name=load&from=2&to=1', /from: must be before to/],
      ['name=load&points=0', /points: give a whole number/],
      ['name=load&key=a', /key, is: give pairs/],
    ];
    for (const [parameters, detail] of cases) {
      const response = await get(`/api/plot?${parameters}`);
      assert.equal(response.status, 400, parameters);
      assert.match(((await response.json()) as { detail: string }).detail, detail);
    }
    assert.equal((await get('/api/none')).status, 404);
    assert.equal((await get('//')).status, 400);
    assert.equal((await get('/')).status, 200);
  });

  it('only answers GET, and only under a name that no other site can have', async () => {
    const post = await fetch(`${explorer.url}/api/names`, { method: 'POST' });
    assert.equal(post.status, 405);
    assert.equal(post.headers.get('allow'), 'GET, HEAD');
    assert.equal(await statusAs('rebound.example:8081'), 421);
    for (const host of ['localhost', '127.0.0.1:1', '[::1]:8081'])
      assert.equal(await statusAs(host), 200, host);
  });

  it('shows metrics that came later after reading again', async () => {
    const counts = async (path: string) =>
      ((await (await get(path)).json()) as { names: { count: number }[] }).names.map(({ count }) => count);
    const before = await counts('/api/names');
    const server = await startServer(owner, { dataDir });
    const connection = await RawConnection.open(server.port);
    await connection.request(
      postRequest('{"metrics":[{"name":"load","type":"gauge","value":1,"timestamp":1704164400000}]}'),
    );
    connection.close();
    await server.stop();
    assert.deepEqual(await counts('/api/names'), before);
    assert.deepEqual(await counts('/api/names?refresh=1'), [before[0]! + 1, before[1]]);
  });

  it('asks for a token, over HTTPS too, and reads the tokens again on SIGHUP', async (t) => {
    const directory = temporaryDirectory(t);
    const tokens = join(directory, 'tokens');
    writeFileSync(tokens, `reader ${TOKEN}\n`, { mode: 0o600 });
    const { cert, key } = makeCertificate(directory, 'explore');
    const secure = await startExplore(t, dataDir, [
      '--tokens-file',
      tokens,
      '--tls-cert',
      cert,
      '--tls-key',
      key,
    ]);
    const status = async (authorization?: string) => {
      const headers: Record<string, string> =
        authorization === undefined ? {} : { Authorization: authorization };
      return (await fetchSecure(secure.port, { path: '/', headers })).status;
    };
    const basic = (password: string) => `Basic ${Buffer.from(`anyone:${password}`).toString('base64')}`;
    assert.equal(await status(), 401);
    assert.equal(await status(`Bearer ${TOKEN}x`), 401);
    assert.equal(await status(basic('')), 401);
    assert.equal(await status(`Bearer ${TOKEN}`), 200);
    assert.equal(await status(basic(TOKEN)), 200);
    writeFileSync(tokens, `reader ${TOKEN}-2\n`, { mode: 0o600 });
    secure.kill('SIGHUP');
    await secure.printed(/read tokens and certificate again/);
    assert.equal(await status(basic(TOKEN)), 401);
    assert.equal(await status(basic(`${TOKEN}-2`)), 200);
  });
});

describe('the step of a plot', () => {
  it('is round, and fills every range with at most as many steps as asked', () => {
    for (let rangeMs = 1; rangeMs < 1e13; rangeMs = Math.ceil(rangeMs * 1.7)) {
      for (const points of [1, 50, 500, 4_000])
        assert.ok(Math.ceil(rangeMs / stepFor(rangeMs, points)) <= points);
    }
    assert.equal(stepFor(3_600_000, 500), 10_000);
    assert.equal(stepFor(30 * 86_400_000, 500), 2 * 3_600_000);
  });
});
