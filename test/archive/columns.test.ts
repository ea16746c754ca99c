/** Lines become rows and come back from Parquet as the metrics that they were, whatever their numbers and texts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { MetricRows } from '../../src/archive/metric-rows.ts';
import { testSeed } from '../parser/bodies.ts';
import { ArchiveRig, lineOf } from '../support/archive-rig.ts';
import { suiteOwner } from '../support/clean-up.ts';
import type { CommittedMetric } from '../support/stored-metrics.ts';

const text = fc.string({ unit: 'binary', maxLength: 12 });
const name = text.filter((value) => value !== '' && !/\p{Cc}/u.test(value));
const timestamp = fc.oneof(
  fc.integer({ min: 1_795_000_000_000, max: 1_795_000_900_000 }),
  fc.integer({ min: -8.64e15, max: 8.64e15 }),
);
const value = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc
    .tuple(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 6 }))
    .map(([digits, at]) => digits / 10 ** at),
  fc.constantFrom(
    0,
    -0,
    1e15,
    -1e15,
    2 ** 53,
    0.1,
    -0.5,
    999_999_999_999_999,
    1e-7,
    5e-324,
    1.7976931348623157e308,
  ),
);
const metric = fc.record(
  {
    timestamp,
    name,
    value,
    type: fc.constantFrom('gauge', 'counter', 'histogram', 'summary'),
    tags: fc.dictionary(text, text, { maxKeys: 4 }),
  },
  { requiredKeys: ['timestamp', 'name', 'value', 'type'] },
);

/** Numbers as other clients write them; JSON.stringify has one form for each. */
const NOTATIONS = [
  '1.50',
  '-0.0',
  '0.000',
  '1e3',
  '1E-3',
  '-12.5e+2',
  '123456789012345.6',
  '0.1000000000000000055',
];

describe('columns of the archive', () => {
  const owner = suiteOwner();

  it('hold each metric exactly', async (t) => {
    const rig = new ArchiveRig(owner);
    const seed = testSeed();
    t.diagnostic(`seed ${seed}`);
    const batches = fc.sample(fc.array(metric, { minLength: 1, maxLength: 60 }), { numRuns: 20, seed });
    await rig.store(batches.map((metrics) => metrics.map(lineOf).join('')));
    const before = await rig.metrics();
    assert.equal(before.length, batches.flat().length);
    const { totals, manifest } = await rig.pass({ deleteSegments: true });
    assert.equal(totals.lines, before.length);
    assert.equal(totals.segmentsDeleted, batches.length);
    assert.deepEqual(sorted(await rig.metrics()), sorted(before));
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

/** One text for each metric, in an order that does not depend on where it is stored. */
function sorted(metrics: readonly CommittedMetric[]): string[] {
  return metrics
    .map(({ timestamp: time, name: of, value: number, type, tags, commit }) => {
      const exact = Object.is(number, -0) ? '-0' : String(number);
      return JSON.stringify([commit, time, of, type, exact, Object.entries(tags).sort()]);
    })
    .sort();
}
