/** Tables that somebody has altered, restored or emptied: nothing is lost without a word, and nothing sound is called wrong. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { before, describe, it } from 'node:test';
import { logIdOf } from '../../src/export/log-id.ts';
import { initTables } from '../../src/export/postgres/init.ts';
import { Int8Hash } from '../../src/export/postgres/int8-hash.ts';
import { compareWithPostgres, type SinkComparison } from '../../src/export/postgres/verify.ts';
import { eventually } from '../support/assertions.ts';
import { onEnd, suiteOwner } from '../support/clean-up.ts';
import { record, recordLines } from '../support/damage.ts';
import { POSTGRES_DEFAULTS, type Postgres, requirePostgres, startPostgres } from '../support/postgres.ts';
import { type CliResult, runCli, startCli } from '../support/server-process.ts';
import { line, WriterRig } from '../support/writer-rig.ts';

const INITS = 4;
const WORD_BITS = 32n;
const DROPS = `CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';`;

describe('tables that somebody has altered', { skip: requirePostgres() }, () => {
  const owner = suiteOwner();
  let postgres: Postgres;
  before(async () => {
    postgres = await startPostgres(owner);
  });

  const recorded = async (...commits: number[]): Promise<string> => {
    const { dataDir } = await record(commits);
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true }));
    return dataDir;
  };
  const ship = (url: string, dataDir: string, name = 'postgres'): Promise<CliResult> =>
    runCli(['export', '--to', url, '--data-dir', dataDir, '--name', name, '--once']);
  const shipped = async (url: string, dataDir: string): Promise<void> => {
    const { code, stdout, stderr } = await ship(url, dataDir);
    assert.equal(code, 0, stdout + stderr);
  };
  const compare = (url: string, dataDir: string): Promise<SinkComparison> =>
    compareWithPostgres(new URL(url), {
      ...{ dataDir, log: logIdOf(dataDir) },
      ...{ postgres: POSTGRES_DEFAULTS, onProgress() {} },
    });
  const problemsOf = async (url: string, dataDir: string): Promise<string[]> =>
    (await compare(url, dataDir)).problems.map(({ text }) => text);
  const counted = async (url: string, table: string): Promise<number> =>
    Number((await postgres.queryOn<{ count: string }>(url, `SELECT count(*) FROM ${table}`))[0]?.count);

  it('end export with one line where a trigger keeps rows of any table out', async () => {
    const metric = { timestamp: 1_700_000_000_000, name: 'm', value: 1, type: 'gauge' };
    const dataDir = await recordLines([
      [metric, { ...metric, tags: { k: 'a\0b' } }].map((m) => JSON.stringify(m)),
    ]);
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true }));
    const tables = ['ms_sample', 'ms_series', 'ms_quarantine', 'ms_cursor', 'ms_applied'];
    await Promise.all(
      tables.map(async (table) => {
        const url = await postgres.createTables();
        await postgres.queryOn(
          url,
          `${DROPS} CREATE TRIGGER drops BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION drops()`,
        );
        // Of two exporters that ship one directory at once under one name, one ends for that.
        const { code, stderr } = await ship(url, dataDir, table);
        assert.equal(code, 1, table);
        assert.match(stderr, new RegExp(`keeps 1 of 1 rows out of .*${table}.*: drop it; nothing of this`));
        for (const other of tables.filter((name) => name !== 'ms_series'))
          assert.equal(await counted(url, other), 0, `${other} beside ${table}`);
      }),
    );
  });

  it('are found sound after a restored dump of two logs, and further metrics', async () => {
    const logs = [await recorded(3, 3, 3), await recorded(2, 2)];
    const statements = ['ms_sample SET value = value', 'ms_applied SET at = at'].map(
      (text) => `UPDATE ${text};`,
    );
    for (const restore of [statements, [statements.join('')]]) {
      const url = await postgres.createTables();
      for (const dataDir of logs) await shipped(url, dataDir);
      // The rows get other transactions: one for each table, or one for all.
      for (const text of restore) await postgres.queryOn(url, text);
      const rig = new WriterRig({ dataDir: logs[0]! });
      rig.store(line(100));
      await rig.stop();
      await shipped(url, logs[0]!);
      for (const dataDir of logs) {
        const { problems, asWhole } = await compare(url, dataDir);
        assert.deepEqual([problems, asWhole], [[], true]);
      }
      await postgres.queryOn(url, 'DELETE FROM ms_sample WHERE ctid IN (SELECT min(ctid) FROM ms_sample)');
      const [problem, ...others] = await problemsOf(url, logs[1]!);
      assert.match(problem!, /^the sink lacks 1 of \d+ metrics of merged or restored ranges$/);
      assert.deepEqual(others, []);
    }
  });

  it('that a crash would empty are named', async () => {
    const [url, dataDir] = [await postgres.createTables(), await recorded(1)];
    await postgres.queryOn(
      url,
      'ALTER TABLE ms_sample_default SET UNLOGGED; ALTER TABLE ms_cursor SET UNLOGGED',
    );
    const { code, stdout } = await ship(url, dataDir);
    assert.equal(code, 0);
    assert.match(stdout, /a crash of the database empties ms_cursor, ms_sample_default: ALTER TABLE/);
  });

  it('are called incomplete where neither log nor sink has the last commits', async () => {
    const { dataDir, paths } = await record([2, 2], [2]);
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true }));
    const url = await postgres.createTables();
    fs.rmSync(paths[1]!);
    assert.equal((await ship(url, dataDir)).code, 1);
    assert.deepEqual(await problemsOf(url, dataDir), ['commit 3 is missing in the log and in the sink']);
  });

  it('differ from the log where two rows have exchanged their values', async () => {
    const [url, dataDir] = [await postgres.createTables(), await recorded(4)];
    await shipped(url, dataDir);
    assert.deepEqual(await problemsOf(url, dataDir), []);
    await postgres.queryOn(
      url,
      'UPDATE ms_applied SET at = at; UPDATE ms_sample SET value = CASE value WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE value END',
    );
    const problem = 'commits 1 to 1: 4 metrics have exchanged times, values or series';
    assert.deepEqual(await problemsOf(url, dataDir), [problem]);
  });

  it('differ from the log where a name or tag has changed in the layout flat', async () => {
    const tags = {
      zone: 'é',
      k: 'a\tb\u007f"\\',
      long_key: '\u2028 \ud83d\ude00',
      ab: '',
      aa: '/',
      __proto: 'x',
    };
    const metric = { timestamp: 1_700_000_000_000, name: 'm "x"', value: 1, type: 'gauge', tags };
    const dataDir = await recordLines([[metric, { ...metric, tags: {} }].map((m) => JSON.stringify(m))]);
    onEnd(owner, () => fs.rmSync(dataDir, { recursive: true }));
    const url = await postgres.createTables('flat');
    await shipped(url, dataDir);
    assert.deepEqual(await problemsOf(url, dataDir), []);
    await postgres.queryOn(
      url,
      `UPDATE ms_applied SET at = at; UPDATE ms_flat SET tags = tags || '{"k": "b"}' WHERE tags <> '{}'; UPDATE ms_flat SET name = name`,
    );
    assert.deepEqual(await problemsOf(url, dataDir), ['commits 1 to 1: the series of 2 metrics differ']);
  });

  it('are compared by the hash of PostgreSQL', async () => {
    const [large, word] = [(1n << 63n) - 1n, 1n << WORD_BITS];
    const numbers = [
      0n,
      1n,
      -1n,
      word - 1n,
      word,
      -word,
      0x3ff0_0000_0000_0000n,
      large,
      -large - 1n,
      1_700_000_000_000n,
    ];
    const pairs = numbers.flatMap((number) => numbers.map((seed) => [number, seed] as const));
    const rows = await postgres.query<{ hash: string }>(
      'SELECT hashint8extended(n, s) AS hash FROM unnest($1::int8[], $2::int8[]) WITH ORDINALITY AS t (n, s, k) ORDER BY k',
      [pairs.map(([number]) => String(number)), pairs.map(([, seed]) => String(seed))],
    );
    const hash = new Int8Hash();
    for (const [k, [number, seed]] of pairs.entries()) {
      hash.seed(Number(seed >> WORD_BITS), Number(BigInt.asIntN(32, seed)));
      hash.add(Number(number >> WORD_BITS), Number(BigInt.asIntN(32, number)));
      const own = (BigInt(hash.high) << WORD_BITS) | BigInt.asUintN(32, BigInt(hash.low));
      assert.equal(String(own), rows[k]?.hash, `${number} with ${seed}`);
    }
  });

  it('get their series again when somebody empties ms_series beside a running exporter', async () => {
    const url = await postgres.createTables();
    const rig = new WriterRig();
    onEnd(owner, () => fs.rmSync(rig.dataDir, { recursive: true }));
    rig.store(line(1));
    const exporter = startCli(owner, ['export', '--to', url, '--data-dir', rig.dataDir]);
    await eventually('the first metric is there', async () => (await counted(url, 'ms_metrics')) === 1);
    await postgres.queryOn(url, 'TRUNCATE ms_series');
    rig.store(line(1));
    await eventually(
      'the second metric has its series',
      async () => (await counted(url, 'ms_metrics')) === 1,
    );
    await rig.stop();
    exporter.kill('SIGTERM');
    assert.equal((await exporter.exited).code, 0);
    assert.deepEqual(await problemsOf(url, rig.dataDir), ['commits 1 to 1: the sink lacks 1 of 1 metrics']);
  });

  it('are made once by several --init at a time', async () => {
    const url = await postgres.createDatabase('several_inits');
    const inits = Array.from({ length: INITS }, () => initTables(new URL(url), POSTGRES_DEFAULTS));
    const texts = await Promise.all(inits);
    assert.equal(texts.filter((text) => text.includes(': created ')).length, 1, texts.join('\n'));
    assert.equal(texts.filter((text) => text.includes(': already has ')).length, INITS - 1, texts.join('\n'));
  });
});
