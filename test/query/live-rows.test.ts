/** Lines of segments become rows that hold each metric exactly, whichever of the two readers takes them. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { DuckDBValue } from '@duckdb/node-api';
import { openSession } from '../../src/query/session.ts';
import { ArchiveRig, lineOf } from '../support/archive-rig.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { recordLines } from '../support/damage.ts';
import { METRICS, NOTATIONS, sample, textOf } from '../support/metric-samples.ts';
import { mountRefusal, PrivateMount } from '../support/private-mount.ts';
import { asker, TEST_LIMITS } from '../support/query-rows.ts';

const ALL = 'SELECT commit, epoch_ms(time), name, type, value, map_entries(tags)::JSON::VARCHAR FROM metrics';

async function recorded(t: TestContext, commits: readonly (readonly string[])[]): Promise<string> {
  const dataDir = await recordLines(commits.map((lines) => lines.map((line) => line.trimEnd())));
  t.after(() => fs.rmSync(dataDir, { recursive: true }));
  return dataDir;
}

/** A row of ALL as `textOf` writes a metric. */
function rowText([commit, time, name, type, value, tags]: readonly DuckDBValue[]): string {
  const entries = JSON.parse(String(tags)) as { key: string; value: string }[];
  return textOf({
    ...{ commit: Number(commit), timestamp: Number(time), name: String(name), type: String(type) },
    value: value as number,
    tags: Object.fromEntries(entries.map(({ key, value: text }) => [key, text])),
  });
}

describe('rows of segments', () => {
  const owner = suiteOwner();

  it('hold each metric exactly, also with lines that are not in the usual form', async (t) => {
    const batches = sample(t, METRICS, 12);
    const rig = new ArchiveRig(owner);
    await rig.store(batches.map((metrics) => metrics.map(lineOf).join('')));
    const expected = await rig.metrics();
    const { rows } = await asker(t, rig.dataDir)(ALL);
    const found = rows.map(rowText).filter((text) => !text.includes('"open"'));
    assert.deepEqual(found.sort(), expected.map(textOf).sort());

    // DuckDB's JSON reader takes -0 as an integer, without its sign.
    const spacedOf = (line: string): string => line.replace('{', '{ ').replace(':-0,', ':-0.0,');
    const spaced = batches.map((metrics) => metrics.map((metric) => spacedOf(lineOf(metric))));
    const other = await asker(t, await recorded(t, spaced))(ALL);
    assert.deepEqual(other.rows.map(rowText).sort(), expected.map(textOf).sort());
  });

  it('hold numbers in every notation', async (t) => {
    const lines = NOTATIONS.map((number, index) =>
      lineOf({ timestamp: index, name: 'n', value: 777 }).replace(':777,', `:${number},`),
    );
    const ask = asker(t, await recorded(t, [lines]));
    const { rows } = await ask('SELECT value FROM metrics ORDER BY time');
    for (const [index, number] of NOTATIONS.entries())
      assert.ok(Object.is(rows[index]![0], Number(number)), number);
  });

  it('come from several row groups, and only those in range', async (t) => {
    const count = 300_000;
    const lines = Array.from({ length: count }, (_, at) =>
      lineOf({ timestamp: at, name: 'n', value: at / 4 }),
    );
    const commits = Array.from({ length: count / 5_000 }, (_, at) =>
      lines.slice(at * 5_000, (at + 1) * 5_000),
    );
    const dataDir = await recorded(t, [...commits, lines.slice(0, 5)]);
    const sums = 'SELECT count(*), sum(value), min(epoch_ms(time)), max(epoch_ms(time)) FROM metrics';
    const sumTo = (end: number): number => (end * (end - 1)) / 8;
    const all = await asker(t, dataDir)(sums);
    assert.deepEqual(all.rows, [[BigInt(count + 5), sumTo(count) + sumTo(5), 0n, BigInt(count - 1)]]);
    const part = await asker(t, dataDir, { fromMs: 5, toMs: 290_000 })(sums);
    assert.deepEqual(part.rows, [[289_995n, sumTo(290_000) - sumTo(5), 5n, 289_999n]]);
    const filtered = await asker(
      t,
      dataDir,
    )(
      `SELECT count(*) FROM metrics WHERE time >= make_timestamp_ms(150000) AND time < make_timestamp_ms(150010)`,
    );
    assert.deepEqual(filtered.rows, [[10n]]);
  });

  it('stay readable when a merge deletes the files of the archive', async (t) => {
    const rig = new ArchiveRig(owner);
    await rig.store([lineOf({ timestamp: 1, name: 'n', value: 1 })]);
    await rig.pass({ deleteSegments: true });
    const range = { fromMs: Number.NEGATIVE_INFINITY, toMs: Number.POSITIVE_INFINITY };
    const options = { dataDir: rig.dataDir, temporaryDirectory: rig.dataDir, ...range, limits: TEST_LIMITS };
    const session = await openSession(options);
    t.after(() => session.close());
    fs.rmSync(join(rig.dataDir, 'archive'), { recursive: true });
    const result = await session.connection.runAndReadAll(`SELECT value FROM metrics WHERE name = 'n'`);
    assert.deepEqual(result.getRows(), [[1]]);
  });

  it('need room in --temp-dir: without it, one line names the remedy', async (t) => {
    const refusal = mountRefusal();
    if (refusal !== null) return t.skip(refusal);
    const mount = await PrivateMount.open(t);
    await mount.run(`mount -t tmpfs -o size=64k tmpfs ${mount.inside}`);
    const lines = Array.from({ length: 5_000 }, (_, at) => lineOf({ timestamp: at, name: 'n', value: at }));
    const ask = asker(t, await recorded(t, [lines]), { temporaryDirectory: mount.directory });
    await assert.rejects(
      ask('SELECT count(*) FROM metrics'),
      /^MetricsStreamError: cannot write a private copy in [^\n]*: no space left on the device \(ENOSPC\)\. Give --temp-dir another directory\.$/,
    );
  });

  it('stay NDJSON where a log has too many series for the memory', async (t) => {
    const [commits, lines] = [100, 1_000];
    const pad = 'x'.repeat(60);
    const texts = Array.from({ length: commits }, (_, commit) =>
      Array.from({ length: lines }, (__, line) =>
        lineOf({ timestamp: commit, name: `${pad}.${commit}.${line}`, value: line }),
      ),
    );
    const limits = { ...TEST_LIMITS, maxMemoryBytes: 128 << 20 };
    const ask = asker(t, await recorded(t, texts), { limits });
    const { rows } = await ask(
      'SELECT commit, count(*), sum(value) FROM metrics WHERE commit = epoch_ms(time) + 1 GROUP BY commit ORDER BY commit',
    );
    const sum = (lines * (lines - 1)) / 2;
    assert.deepEqual(
      rows,
      texts.map((_, commit) => [BigInt(commit + 1), BigInt(lines), sum]),
    );
  });
});
