/** The commit of each line is exact, and damaged commits are left out and counted. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { asAfterKill, commitRanges, record } from '../support/damage.ts';
import { asker } from '../support/query-rows.ts';

const ROWS = 'SELECT commit, value FROM metrics';
const NOTHING = { damagedPlaces: 0, damagedBytes: 0, damagedRecords: 0, missing: [] };

/** Commit and value of each line, for commits with these numbers of lines. */
function expectedRows(runs: readonly (readonly number[])[], skipped: ReadonlySet<number> = new Set()) {
  let id = 0;
  const rows: [bigint, number][] = [];
  for (const [index, lines] of runs.flat().entries()) {
    for (let line = 0; line < lines; line++, id++) {
      if (!skipped.has(index + 1)) rows.push([BigInt(index + 1), id]);
    }
  }
  return rows;
}

const RUNS = [
  [3, 1, 4],
  [1, 5],
  [9, 2, 6],
];

describe('a snapshot', () => {
  it('gives each line the number of its commit, across segments', async (t) => {
    const { dataDir } = await record(...RUNS);
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    const { rows, leftOut } = await asker(t, dataDir)(ROWS);
    assert.deepEqual(rows, expectedRows(RUNS));
    assert.deepEqual(leftOut, NOTHING);
  });

  it('leaves out each damaged commit, and no other', async (t) => {
    const count = RUNS.flat().length;
    for (let damaged = 1; damaged <= count; damaged++) {
      const { dataDir, paths } = await record(...RUNS);
      const segment = RUNS.findIndex((_, index) => RUNS.slice(0, index + 1).flat().length >= damaged);
      const bytes = fs.readFileSync(paths[segment]!);
      const { from, to } = commitRanges(bytes)[damaged - 1 - RUNS.slice(0, segment).flat().length]!;
      // A digit of a value: the line stays valid JSON.
      const digit = bytes.indexOf('"value":', from) + '"value":'.length;
      bytes[digit] = bytes[digit]! ^ 1;
      fs.writeFileSync(paths[segment]!, bytes);
      const { rows, leftOut } = await asker(t, dataDir)(ROWS);
      assert.deepEqual(rows, expectedRows(RUNS, new Set([damaged])), `commit ${damaged}`);
      const gap = damaged > 1 && damaged < count ? [{ first: damaged, last: damaged }] : [];
      assert.deepEqual(leftOut, { ...NOTHING, damagedPlaces: 1, damagedBytes: to - from, missing: gap });
      fs.rmSync(dataDir, { recursive: true });
    }
  });

  it('counts commits of a copied segment once', async (t) => {
    const { dataDir, paths } = await record(...RUNS);
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    fs.copyFileSync(paths[0]!, join(dataDir, 'metrics-00000099.ndjson'));
    assert.deepEqual((await asker(t, dataDir)(ROWS)).rows, expectedRows(RUNS));
  });

  it('names commits that no file holds', async (t) => {
    const { dataDir, paths } = await record(...RUNS);
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    fs.rmSync(paths[1]!);
    const { rows, leftOut } = await asker(t, dataDir)(ROWS);
    assert.deepEqual(rows, expectedRows(RUNS, new Set([4, 5])));
    assert.deepEqual(leftOut, { ...NOTHING, missing: [{ first: 4, last: 5 }] });
  });

  it('ignores the torn end that a kill leaves', async (t) => {
    const { dataDir, paths } = await record(...RUNS);
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    asAfterKill(dataDir);
    fs.appendFileSync(paths[2]!, '{"timestamp":1,"name":"torn","value":1}\n{"timest');
    const { rows, leftOut } = await asker(t, dataDir)(ROWS);
    assert.deepEqual(rows, expectedRows(RUNS));
    assert.deepEqual(leftOut, NOTHING);
  });

  it('of an empty directory has no rows', async (t) => {
    const { dataDir, paths } = await record([1]);
    t.after(() => fs.rmSync(dataDir, { recursive: true }));
    fs.rmSync(paths[0]!);
    assert.deepEqual((await asker(t, dataDir)(ROWS)).rows, []);
  });
});
