import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { eventually } from '../support/assertions.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { ROOT } from '../support/deploy-files.ts';
import { postRequest, RawConnection } from '../support/raw-http.ts';
import { type CliResult, runCli, startServer, temporaryDirectory } from '../support/server-process.ts';
import { readStored, type StoredMetric } from '../support/stored.ts';

const BASE_MS = 1_700_000_000_000;
const MAIN = join(ROOT, 'dist/src/main.js');

/** Values, names and tags that a reader could get wrong. */
const AWKWARD: readonly Partial<StoredMetric>[] = [
  { value: 1.5 },
  { value: 0.1 + 0.2 },
  { value: -0 },
  { value: 5e-324 },
  { value: Number.MAX_VALUE },
  { value: 2 ** 53 },
  { value: 1e22 },
  { value: 123456789012345680000 },
  { name: 'größe "quoted" \\ / 😀 ,' },
  { name: '{"seal":1}' },
  { tags: {} },
  { tags: { '': 'empty key', 'a"b': 'c\\d', null: 'null', nul: '\u0000', line: 'a\nb\r\nc' } },
  { timestamp: 0 },
  { timestamp: -1 },
  { timestamp: 253_402_300_800_000 },
  { type: 'summary' },
];

describe('query', () => {
  const owner = suiteOwner();
  let dataDir: string;
  let stored: StoredMetric[];

  before(async () => {
    const server = await startServer(owner);
    dataDir = server.dataDir;
    const connection = await RawConnection.open(server.port);
    const metrics = AWKWARD.map((parts, index) => ({
      name: 'awkward',
      value: index,
      type: 'gauge',
      timestamp: BASE_MS + index,
      ...parts,
    }));
    const response = await connection.request(postRequest(JSON.stringify({ metrics })));
    assert.equal(response.status, 200, response.body.toString());
    const series = Array.from({ length: 300 }, (_, index) => ({
      name: 'requests',
      type: 'counter',
      value: index % 100,
      timestamp: BASE_MS + index * 1_000,
      tags: { host: `web-${index % 3}`, region: 'eu' },
    }));
    await connection.request(postRequest(JSON.stringify({ metrics: series })));
    connection.close();
    await server.stop();
    stored = readStored(dataDir);
    assert.equal(stored.length, AWKWARD.length + series.length);
  });

  const query = (...args: string[]): Promise<CliResult> => runCli(['query', '--data-dir', dataDir, ...args]);

  it('gives back every value, name and tag as it was stored', async () => {
    const { stdout, stderr, code } = await query(
      '--format',
      'json',
      'SELECT epoch_ms(time) AS t, * FROM metrics',
    );
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const found = rows.map(({ t, name, value, type, tags }) => ({ timestamp: t, name, value, type, tags }));
    const expected = stored.map(({ timestamp, name, value, type, tags = {} }) => ({
      timestamp,
      name,
      value,
      type,
      tags,
    }));
    assert.deepEqual(found, expected);
    assert.deepEqual([...new Set(rows.map(({ commit }) => commit))], [1, 2]);
  });

  it('prints CSV when the output is not a terminal, with NULL and the empty string apart', async () => {
    const { stdout } = await query(
      `SELECT 'a,"b"' AS x, '' AS e, NULL AS n, MAP {'k': 1} AS m, TIMESTAMP '2026-01-02' AS t`,
    );
    assert.equal(stdout, 'x,e,n,m,t\n"a,""b""","",,"{""k"":1}",2026-01-02 00:00:00\n');
  });

  it('keeps the sign of a negative zero', async () => {
    const sql = `SELECT '-0'::DOUBLE AS zero`;
    assert.equal((await query('--format', 'json', sql)).stdout, '{"zero":-0}\n');
    assert.equal((await query('--format', 'csv', sql)).stdout, 'zero\n-0\n');
  });

  it('prints a table in which stored text cannot control the terminal', async () => {
    const { stdout } = await query(
      '--format',
      'table',
      `SELECT 1 AS one, chr(27) || '[2J' AS text, NULL AS n`,
    );
    assert.equal(stdout, 'one  text       n\n───  ─────────  ────\n  1  \\u001b[2J  NULL\n(1 row)\n');
  });

  it('writes Parquet that DuckDB reads', async (t) => {
    const directory = temporaryDirectory(t);
    const child = spawn(process.execPath, [
      MAIN,
      'query',
      '--data-dir',
      dataDir,
      '--format',
      'parquet',
      'FROM metrics -- all',
    ]);
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(child, 'close');
    const path = join(directory, 'out.parquet');
    writeFileSync(path, Buffer.concat(chunks));
    const { DuckDBConnection } = await import('@duckdb/node-api');
    const connection = await DuckDBConnection.create();
    const reader = await connection.runAndReadAll(`SELECT count(*), count(DISTINCT name) FROM '${path}'`);
    assert.deepEqual(reader.getRowsJson(), [[String(stored.length), '4']]);
  });

  it('takes SQL from a file and from standard input', async (t) => {
    const file = join(temporaryDirectory(t), 'report.sql');
    writeFileSync(file, 'SELECT 1 AS one;\n-- the end\n');
    assert.equal((await query('--file', file)).stdout, 'one\n1\n');
    const child = spawn(process.execPath, [MAIN, 'query', '--data-dir', dataDir], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end('SELECT 2 AS two');
    const [text] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    assert.equal(text, 'two\n2\n');
  });

  it('keeps to the bounds of time, the first included and the last not', async () => {
    const from = new Date(BASE_MS + 100_000).toISOString();
    const to = String(BASE_MS + 200_000);
    const sql = `SELECT count(*) AS n, min(value) AS least FROM metrics WHERE name = 'requests'`;
    assert.equal((await query('--from', from, '--to', to, sql)).stdout, 'n,least\n100,0\n');
    assert.equal((await query('--to', '1h', '--from', '2h', sql)).stdout, 'n,least\n0,\n');
  });

  it('answers each example of --schema', async () => {
    const { stdout } = await query('--schema');
    const examples = stdout.split('\n').filter((line) => line.startsWith('    SELECT '));
    assert.ok(examples.length >= 5, stdout);
    for (const example of examples) {
      const { code, stderr } = await query(example);
      assert.equal(code, 0, `${example}: ${stderr}`);
    }
  });

  it('names the remedy of a wrong command line or wrong SQL in one line', async () => {
    const cases: readonly [number, RegExp, ...string[]][] = [
      [2, /--from yesterday: give a time such as/, '--from', 'yesterday', 'SELECT 1'],
      [2, /--max-memory 1k: must be .* at least/, '--max-memory', '1k', 'SELECT 1'],
      [2, /--threads 2m: "m" does not fit here/, '--threads', '2m', 'SELECT 1'],
      [2, /not both/, '--file', 'x.sql', 'SELECT 1'],
      [2, /--file none.sql: no such file/, '--file', 'none.sql'],
      [1, /syntax error at or near "SELEC"/, 'SELEC 1'],
      [1, /Referenced column "host" not found/, 'SELECT host FROM metrics'],
      [1, /--temp-dir/, '--temp-dir', '/none', '--format', 'parquet', 'SELECT 1'],
      [1, /the SQL is empty/, ' '],
    ];
    for (const [code, text, ...args] of cases) {
      const result = await query(...args);
      assert.match(result.stderr, text);
      assert.equal(result.stderr.trimEnd().split('\n').length, 1, result.stderr);
      assert.equal(result.code, code, result.stderr);
      assert.equal(result.stdout, '');
    }
  });

  it('ends with one line when a value outgrows --max-memory', async () => {
    const { signal, stderr } = await query('--max-memory', '64m', `SELECT length(repeat('x', 4000000000))`);
    assert.match(
      stderr,
      /^metricsstream: the query needs more memory than --max-memory \(64 MiB\) allows[^\n]*\n$/,
    );
    assert.equal(signal, 'SIGKILL');
  });

  it('spills a large aggregation only where it may', async (t) => {
    const sql =
      'SELECT count(*) AS n FROM (SELECT DISTINCT range, hash(range), md5(range::VARCHAR) FROM range(2000000))';
    const refused = await query('--max-memory', '64m', sql);
    assert.match(refused.stderr, /^metricsstream: Out of Memory Error:.* Raise --max-memory,[^\n]*\n$/);
    assert.equal(refused.code, 1);
    const directory = temporaryDirectory(t);
    const spilled = await query('--max-memory', '64m', '--spill', '1g', '--temp-dir', directory, sql);
    assert.equal(spilled.stdout, 'n\n2000000\n', spilled.stderr);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('ends at once on Ctrl-C and leaves no file behind', async (t) => {
    const directory = temporaryDirectory(t);
    const args = ['query', '--data-dir', dataDir, '--temp-dir', directory, '--progress'];
    const sql = 'SELECT count(*) FROM range(100000000000) WHERE hash(range) = 0';
    const child = spawn(process.execPath, [MAIN, ...args, sql], { stdio: ['ignore', 'pipe', 'pipe'] });
    let progress = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      progress += text;
    });
    await eventually('the query runs', () => progress.includes('rows read'));
    child.kill('SIGINT');
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    assert.deepEqual([code, signal], [null, 'SIGINT']);
    assert.deepEqual(readdirSync(directory), []);
  });

  it('says how to install DuckDB where it is missing', async (t) => {
    const directory = temporaryDirectory(t);
    for (const name of ['dist/src', 'dist/load-test', 'package.json'])
      cpSync(join(ROOT, name), join(directory, name), { recursive: true });
    mkdirSync(join(directory, 'node_modules'));
    for (const name of readdirSync(join(ROOT, 'node_modules'))) {
      if (name !== '@duckdb')
        symlinkSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name));
    }
    const child = spawn(process.execPath, [join(directory, 'dist/src/main.js'), 'query', 'SELECT 1']);
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const [code] = (await once(child, 'close')) as [number];
    assert.match(
      stderr,
      /^metricsstream: this command needs DuckDB: it is not installed\. Run npm install [^\n]+\n$/,
    );
    assert.equal(code, 1);
  });

  it('changes nothing in the data directory', () => {
    assert.deepEqual(readStored(dataDir), stored);
    assert.ok(readFileSync(join(dataDir, 'log.json'), 'utf8').includes('"clean":true'));
  });
});
