/** Lines become rows and come back from Parquet as the metrics that they were, whatever their numbers and texts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetricRows } from '../../src/archive/metric-rows.ts';
import { ArchiveRig, lineOf } from '../support/archive-rig.ts';
import { suiteOwner } from '../support/clean-up.ts';
import { METRICS, NOTATIONS, sample, textOf } from '../support/metric-samples.ts';

describe('columns of the archive', () => {
  const owner = suiteOwner();

  it('hold each metric exactly', async (t) => {
    const rig = new ArchiveRig(owner);
    const batches = sample(t, METRICS, 20);
    await rig.store(batches.map((metrics) => metrics.map(lineOf).join('')));
    const before = await rig.metrics();
    assert.equal(before.length, batches.flat().length);
    const { totals, manifest } = await rig.pass({ deleteSegments: true });
    assert.equal(totals.lines, before.length);
    assert.equal(totals.segmentsDeleted, batches.length);
    assert.deepEqual((await rig.metrics()).map(textOf).sort(), before.map(textOf).sort());
    // Timestamps over 500,000 years: a partition each would be thousands of files.
    assert.ok(manifest.files.length <= 16);
  });

  it('hold numbers in every notation', async () => {
    const rig = new ArchiveRig(owner);
    const lines = NOTATIONS.map((number, index) =>
      lineOf({ timestamp: index, name: 'n', value: 777 }).replace(':777,', `:${number},`),
    );
    await rig.store([lines.join('')]);
    await rig.pass({ deleteSegments: true });
    const found = new Map((await rig.metrics()).map((stored) => [stored.timestamp, stored.value]));
    for (const [index, number] of NOTATIONS.entries())
      assert.ok(Object.is(found.get(index), Number(number)), number);
  });

  it('refuse lines of another form, and say which', () => {
    const rows = new MetricRows(10);
    const good = lineOf({ timestamp: 1, name: 'a', value: 1 });
    for (const bad of [
      '{"a":1}\n',
      good.replace('"name"', '"mane"').slice(0, 20),
      good.replace(':1,', ':x,'),
      '\n',
    ]) {
      const lines = Buffer.from(`${good}${bad}....`).subarray(0, -4);
      assert.equal(rows.add(7, lines, 2), 2, bad);
    }
    const one = Buffer.from(`${good}....`).subarray(0, -4);
    assert.equal(rows.add(7, one, 2), 2);
    assert.equal(rows.count, 0);
    assert.equal(rows.add(7, one, 1), 0);
    assert.equal(rows.count, 1);
  });
});
