/** The PostgreSQL sink, over a real database, the built command line, and logs that a real writer wrote. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { freePort } from '../../load-test/free-port.ts';
import { logIdOf } from '../../src/export/log-id.ts';
import { LAYOUTS } from '../../src/export/postgres/schema.ts';
import { compareWithPostgres, type SinkComparison } from '../../src/export/postgres/verify.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { damageCommit, record, recordLines } from '../support/damage.ts';
import { initArgs } from '../support/pipeline.ts';
import { POSTGRES_DEFAULTS, type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import { fetchOnce } from '../support/raw-http.ts';
import { type CliResult, memoryDirectory, runCli, startCli } from '../support/server-process.ts';
import { requireTool } from '../support/tools.ts';
import { line } from '../support/writer-rig.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const metric = (fields: object): string =>
  JSON.stringify({ timestamp: 1_700_000_000_000, name: 'm', value: 1, type: 'gauge', ...fields });

describe('export to PostgreSQL', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  let copies = 0;
  before(async () => {
    postgres = await startPostgres(owner);
  });

  const tryToShip = (url: string, dataDir: string, ...args: string[]): Promise<CliResult> =>
    runCli(['export', '--to', url, '--data-dir', dataDir, '--once', ...args]);
  const ship = async (url: string, dataDir: string, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await tryToShip(url, dataDir, ...args);
    assert.equal(code, 0, stdout + stderr);
  };
  const compare = (url: string, dataDir: string): Promise<SinkComparison> =>
    compareWithPostgres(new URL(url), {
      dataDir,
      log: logIdOf(dataDir),
      postgres: POSTGRES_DEFAULTS,
      onProgress() {},
    });
  const assertEqual = async (url: string, dataDir: string): Promise<void> => {
    assert.deepEqual((await compare(url, dataDir)).problems, []);
  };
  const counted = async (url: string, table = 'ms_metrics'): Promise<number> =>
    Number((await postgres.queryOn<{ count: string }>(url, `SELECT count(*) FROM ${table}`))[0]?.count);
  const removed = (dataDir: string): string => {
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true, force: true }));
    return dataDir;
  };

  for (const layout of LAYOUTS) {
    it(`stores every metric exactly as it is in the log, with the layout ${layout}`, async () => {
      const lines = [
        '{"timestamp":1700000000000,"name":"cpu","value":42.5,"type":"gauge","tags":{"host":"web-1","region":"eu"}}',
        '{"timestamp":1700000000001,"name":"cpu","value":-0,"type":"gauge","tags":{"region":"eu","host":"web-1"}}',
        '{"timestamp":-1,"name":"with \\"quotes\\" \\u00e9","value":1e-7,"type":"counter"}',
        '{"timestamp":8640000000000000,"name":"cpu","value":123456789012345678,"type":"summary","tags":{"__proto__":"x"}}',
        '{"timestamp":1700000000002,"name":"cpu","value":0.1,"type":"histogram","tags":{"k":"\\\\ \\ud83d\\ude00"}}',
        '{"timestamp":1700000000003,"name":"cpu","value":-12345.678901,"type":"gauge"}',
        '{"timestamp":1700000000004,"name":"cpu","value":1.7976931348623157E+308,"type":"gauge"}',
      ];
      const dataDir = removed(await recordLines([lines.slice(0, 3), lines.slice(3)]));
      const url = await postgres.createTables(layout);
      await ship(url, dataDir);
      const rows = await postgres.queryOn(
        url,
        `SELECT (extract(epoch FROM time) * 1000)::int8 AS timestamp, name, value::text AS value, type, tags
         FROM ms_metrics ORDER BY time`,
      );
      const expected = lines
        .map((text) => JSON.parse(text) as Record<string, unknown>)
        .map(({ tags = {}, timestamp, value, ...rest }) => ({
          ...rest,
          tags,
          timestamp: String(timestamp),
          value: Object.is(value, -0) ? '-0' : Number(value),
        }))
        .sort((a, b) => Number(a.timestamp) - Number(b.timestamp));
      const found = rows.map((row) => ({ ...row, value: row.value === '-0' ? '-0' : Number(row.value) }));
      assert.deepEqual(found, expected);
      if (layout === 'series')
        assert.equal(await counted(url, 'ms_series'), 5, 'tags in any order are one series');
      await assertEqual(url, dataDir);
    });
  }

  it('verify names the place of lost, doubled, changed and foreign metrics', async () => {
    const { dataDir } = await record(...[1, 2].map(() => Array.from({ length: 20 }, () => 3)));
    removed(dataDir);
    const url = await postgres.createTables();
    // Ranges end by their size, however long a busy machine takes.
    await ship(url, dataDir, '--range-bytes', '1k', '--range-age', '60s');
    await assertEqual(url, dataDir);
    const damages: readonly (readonly [string, RegExp])[] = [
      [
        'DELETE FROM ms_sample WHERE value = 10',
        /metrics-00000001\.ndjson at byte 0: commits 1 to \d: the sink lacks 1 of \d+ metrics\n/,
      ],
      [
        'UPDATE ms_sample SET value = 11 WHERE value = 10',
        /commits 1 to \d: the sink lacks 1 of.*\n.*1 metrics come from no/,
      ],
      [
        'INSERT INTO ms_sample SELECT * FROM ms_sample WHERE value = 10',
        /the sink: 1 metrics come from no commit/,
      ],
      [
        'UPDATE ms_series SET fingerprint = sha256(fingerprint) WHERE id = 11',
        /commits 1 to \d: the series of \d+ metrics differ\n/,
      ],
      [
        'DELETE FROM ms_applied WHERE first_commit = (SELECT max(first_commit) FROM ms_applied WHERE last_commit < 20)',
        /ms_applied: commits \d+ to \d+ are missing in the sink\n/,
      ],
      [
        'UPDATE ms_applied SET first_commit = 3 WHERE last_commit = 40',
        /ms_applied: commits 3 to \d+ are in the sink twice\n/,
      ],
      [
        'UPDATE ms_cursor SET commit = 41',
        /ms_cursor: commit 41 is missing in the sink, although its cursor/,
      ],
    ];
    for (const [damage, report] of damages) {
      const copy = `copy${++copies}`;
      await postgres.query(`CREATE DATABASE ${copy} TEMPLATE ${new URL(url).pathname.slice(1)}`);
      await postgres.queryOn(postgres.urlOf(copy), damage);
      const { problems } = await compare(postgres.urlOf(copy), dataDir);
      assert.match(problems.map(({ place, text }) => `${place}: ${text}\n`).join(''), report, damage);
    }
    const { code, stdout } = await runCli([
      'verify',
      '--sink',
      postgres.urlOf(`copy${copies}`),
      '--data-dir',
      dataDir,
    ]);
    assert.equal(code, 1);
    assert.match(stdout, /^DIFFERENT: ms_cursor: commit 41 is missing(.|\n)+; 1 differences\n$/u);
    const sound = await runCli(['verify', '--sink', url, '--data-dir', dataDir]);
    assert.equal(sound.code, 0, sound.stdout);
    assert.match(sound.stdout, /: 40 commits up to 40, 120 metrics compared; no difference\n$/);
  });

  it('keeps what PostgreSQL cannot store in ms_quarantine', async () => {
    const lines = [
      metric({}),
      metric({ tags: { k: 'a\0b' } }),
      metric({ timestamp: -8.64e15 }),
      metric({ value: 2 }),
    ];
    const dataDir = removed(await recordLines([[lines[0]!], lines.slice(1)]));
    for (const layout of LAYOUTS) {
      const url = await postgres.createTables(layout);
      await ship(url, dataDir);
      assert.equal(await counted(url), 2);
      const rows = await postgres.queryOn<{ body: Buffer }>(
        url,
        'SELECT first_commit, line, reason, body FROM ms_quarantine ORDER BY id',
      );
      assert.deepEqual(
        rows.map(({ body, ...row }) => ({ ...row, body: body.toString() })),
        [
          {
            first_commit: '2',
            line: 0,
            reason: 'a text with the character 0, which PostgreSQL cannot store',
            body: lines[1],
          },
          { first_commit: '2', line: 1, reason: 'its time is before 4713 BC', body: lines[2] },
        ],
      );
      await assertEqual(url, dataDir);
    }
  });

  it('a name over its budget of series names the tag; its known series go on', async () => {
    const requests = Array.from({ length: 20 }, (_, k) =>
      metric({ tags: { method: 'GET', request: `r${k}` } }),
    );
    const dataDir = removed(
      await recordLines([requests, [metric({ name: 'other' }), requests[3]!, requests[17]!]]),
    );
    const url = await postgres.createTables();
    const { code, stdout } = await tryToShip(url, dataDir, '--series-per-name', '10', '--series-cache', '8');
    assert.equal(code, 0, stdout);
    const reason = /"m" has used up its 10 series: the tag "request" has \d+ values/;
    assert.match(stdout, new RegExp(reason.source.replaceAll('"', '\\\\"')));
    assert.equal(await counted(url, `ms_series WHERE name = 'm'`), 10);
    assert.equal((await counted(url)) + (await counted(url, 'ms_quarantine')), 23);
    assert.equal(await counted(url, `ms_metrics WHERE name = 'other'`), 1);
    const [quarantined] = await postgres.queryOn<{ reason: string }>(
      url,
      'SELECT DISTINCT reason FROM ms_quarantine',
    );
    assert.match(quarantined!.reason, reason);
    await assertEqual(url, dataDir);
  });

  it('replaces what it holds from a commit on, and refuses a later start', async () => {
    const { dataDir } = await record(Array.from({ length: 30 }, () => 2));
    removed(dataDir);
    const url = await postgres.createTables();
    await ship(url, dataDir, '--range-bytes', '1k');
    const refused = await runCli(['export', '--to', url, '--data-dir', dataDir, '--from', '10']);
    assert.equal(refused.code, 2, refused.stdout);
    assert.match(
      refused.stderr,
      /--from: the sink holds the log up to commit 30\. Give --once to ship again/,
    );
    await ship(url, dataDir, '--from', '10', '--once');
    assert.equal(await counted(url), 60);
    await assertEqual(url, dataDir);
    const later = await tryToShip(url, dataDir, '--from', '40');
    assert.match(later.stderr, /A later start would leave a gap/);
    await postgres.queryOn(url, 'DELETE FROM ms_sample WHERE value = 50');
    const lost = await tryToShip(url, dataDir, '--from', '10');
    assert.match(lost.stderr, /found \d+ of the \d+ metrics from commit \d+ on/);
  });

  it('begins a new sink at a commit or a time', async () => {
    const { dataDir, paths } = await record([1, 1], [1, 1], [1]);
    removed(dataDir);
    fs.utimesSync(paths[0]!, new Date('2020-01-01'), new Date('2020-01-01'));
    for (const [from, metrics] of [
      ['4', 2],
      ['2021-01-01', 3],
    ] as const) {
      const url = await postgres.createTables();
      await ship(url, dataDir, '--from', from);
      assert.equal(await counted(url), metrics);
      await assertEqual(url, dataDir);
    }
    const { code, stderr } = await tryToShip(await postgres.createTables(), dataDir, '--from', 'yesterday');
    assert.equal(code, 2);
    assert.match(stderr, /--from yesterday: give a commit number, or a time such as/);
  });

  it('makes daily partitions for what it ships, and drops them after --retention', async () => {
    const today = Math.floor(Date.now() / DAY_MS) * DAY_MS;
    const days = [0, 1, 40, 800].map((ago) => today - ago * DAY_MS + HOUR_MS);
    const dataDir = removed(await recordLines(days.map((timestamp) => [metric({ timestamp })])));
    const url = await postgres.createTables();
    await ship(url, dataDir);
    const rows = await postgres.queryOn<{ name: string }>(
      url,
      'SELECT tableoid::regclass::text AS name FROM ms_sample ORDER BY time',
    );
    const nameOf = (ms: number) => `ms_sample_${new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')}`;
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['ms_sample_default', ...[days[2]!, days[1]!, days[0]!].map(nameOf)],
    );
    const ahead = await postgres.queryOn(url, 'SELECT to_regclass($1) AS found', [
      nameOf(today + 3 * DAY_MS),
    ]);
    assert.notEqual(ahead[0]?.found, null);
    const more = removed(await recordLines([[metric({ timestamp: today })]]));
    await ship(url, more, '--retention', '30d');
    assert.equal(await counted(url), 3);
    await assertEqual(url, dataDir);
  });

  it('records damaged commits, and verify blames no sink for damage that came later', async () => {
    const recorded = await record([1, 1, 1, 1], [1]);
    removed(recorded.dataDir);
    damageCommit(recorded, 0, 1);
    const url = await postgres.createTables();
    await ship(url, recorded.dataDir, '--range-bytes', '1k');
    assert.deepEqual(
      await postgres.queryOn(url, 'SELECT first_commit, last_commit, line, reason FROM ms_quarantine'),
      [{ first_commit: '2', last_commit: '2', line: null, reason: 'its CRC does not match' }],
    );
    await assertEqual(url, recorded.dataDir);
    damageCommit(recorded, 0, 3);
    const { problems, notCompared } = await compare(url, recorded.dataDir);
    assert.deepEqual([problems, notCompared], [[], 1]);
  });

  it('says in one line why it cannot ship, and ships nothing', async () => {
    const { dataDir } = await record([1]);
    removed(dataDir);
    const url = await postgres.createTables();
    await postgres.query(`CREATE ROLE locked LOGIN PASSWORD 'right'`);
    await postgres.query('CREATE ROLE reader LOGIN');
    const hba = join(postgres.dataDir, 'pg_hba.conf');
    fs.writeFileSync(hba, `host all locked 127.0.0.1/32 scram-sha-256\n${fs.readFileSync(hba, 'utf8')}`);
    await postgres.query('SELECT pg_reload_conf()');
    const newer = await postgres.createTables();
    await postgres.queryOn(newer, 'UPDATE ms_schema SET version = 99');
    const as = (user: string) => url.replace('postgres@', `${user}@`);
    const cases: readonly (readonly [string, number, RegExp])[] = [
      [
        `postgres://127.0.0.1:${await freePort()}/x`,
        1,
        /cannot reach the database: nothing listens there \(ECONNREFUSED\)/,
      ],
      [as('locked:wrong'), 1, /password authentication failed for user "locked": set PGPASSWORD/],
      [postgres.urlOf('absent'), 1, /database "absent" does not exist: create it with createdb/],
      [await postgres.createDatabase('bare'), 1, /has no tables of metricsstream: create them with --init/],
      [newer, 1, /has tables of version 99, this program works with version 3: update metricsstream/],
      [as('reader'), 1, /permission denied for table ms_schema: grant it to this user/],
      ['mysql://127.0.0.1/x', 2, /--to: give a URL of the form postgres:/],
      [url.replace('127.0.0.1', 'no such host'), 2, /give PostgreSQL as postgres:/],
    ];
    for (const [to, expected, pattern] of cases) {
      // The first connection to a database makes PostgreSQL write files.
      const { code, stdout, stderr } = await tryToShip(to, dataDir, '--connect-timeout', '60s');
      assert.equal(code, expected, `${to}\n${stdout}${stderr}`);
      assert.match(stderr, pattern);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
      assert.doesNotMatch(stdout + stderr, /wrong(?! )/, 'a password is printed');
    }
    assert.equal(await counted(url), 0);
    const layout = await tryToShip(url, dataDir, '--layout', 'flat');
    assert.match(layout.stderr, /has the layout series: leave --layout out/);
  });

  it('prints its schema, creates the tables once, and prints status and help', async () => {
    const printArgs = ['export', '--to', 'postgres://x/y', '--print-schema', '--layout', 'flat'];
    const { stdout: printed } = await runCli(printArgs);
    const url = await postgres.createDatabase('printed');
    await postgres.queryOn(url, printed);
    const again = await runCli(initArgs(url));
    assert.match(again.stdout, /already has the tables of version 3 with the layout flat\n$/);
    const { dataDir } = await record([1]);
    removed(dataDir);
    const none = await runCli(['export', '--status', '--data-dir', dataDir]);
    assert.equal(none.stdout, 'no exporter has run on this data directory\n');
    await ship(url, dataDir, '--name', 'mine');
    const status = await runCli(['export', '--status', '--data-dir', dataDir]);
    assert.match(status.stdout, /^sink +state +commit[^\n]*\nmine +stopped +1 +0 commits, 0 bytes +0\.0 s/);
    const json = await runCli(['export', '--status', '--json', '--data-dir', dataDir]);
    assert.equal((JSON.parse(json.stdout) as { sink: string }[])[0]?.sink, 'mine');
    assert.match((await runCli(['export', '--help'])).stdout, /--series-per-name <n>/);
  });

  it('exposes the metrics that docs/scale-out.md lists, and its health', async () => {
    const { dataDir } = await record([2, 1]);
    removed(dataDir);
    const url = await postgres.createTables();
    const port = await freePort();
    const exporter = startCli(owner, [
      'export',
      '--to',
      url,
      '--data-dir',
      dataDir,
      '--metrics-port',
      `${port}`,
    ]);
    await eventually('both commits are in the database', async () => (await counted(url)) === 3);
    const documented = [
      ...fs.readFileSync('docs/scale-out.md', 'utf8').matchAll(/^\| `(\w+)` \| (\w+) \| (.*) \|$/gm),
    ];
    const text = (await fetchOnce(port, { path: '/metrics' })).body.toString();
    const exposed = [...text.matchAll(/^# HELP (\w+) (.*)\n# TYPE \w+ (\w+)$/gm)];
    assert.deepEqual(
      exposed.map(([, name, help, type]) => [name, type, help]).sort(),
      documented.map(([, name, type, help]) => [name, type, help]).sort(),
    );
    await eventually('the metrics are counted', async () =>
      /export_metrics_total\{sink="postgres"\} 3\n/.test(
        (await fetchOnce(port, { path: '/metrics' })).body.toString(),
      ),
    );
    assert.equal((await fetchOnce(port, { path: '/health' })).status, 200);
    assert.equal((await fetchOnce(port, { path: '/' })).status, 404);
    exporter.kill('SIGTERM');
    assert.deepEqual(await exporter.exited, { code: 0, signal: null });
  });

  it('syncs the log before it ships it', { skip: requireTool('strace') }, async () => {
    const dataDir = removed(await recordLines([[line(1).trimEnd()]]));
    const url = await postgres.createTables();
    // A trace on a disk that stalls would stop the traced process, and its connection would time out.
    const trace = join(memoryDirectory(owner), 'trace');
    const { code, stderr } = await runCli(['export', '--to', url, '--data-dir', dataDir, '--once'], {
      wrapper: ['strace', '-f', '-y', '-s', '12', '-e', 'trace=fdatasync,write,writev', '-o', trace],
    });
    assert.equal(code, 0, stderr);
    const text = fs.readFileSync(trace, 'utf8');
    const synced = text.search(/fdatasync\(\d+<[^>]*metrics-00000001\.ndjson>/);
    const shipped = text.search(/PGCOPY/);
    assert.ok(
      synced >= 0 && shipped > synced,
      `synced at ${synced}, shipped at ${shipped}\n${text.slice(0, 2_000)}`,
    );
  });
});
