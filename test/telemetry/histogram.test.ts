import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  createHistogramBlock,
  Histograms,
  mergeHistograms,
  quantile,
  readHistogram,
  UPPER_BOUNDS,
} from '../../src/telemetry/histogram.ts';

const NAMES = ['first', 'second'] as const;

function recorded(values: readonly number[], index = 0) {
  const memory = createHistogramBlock(NAMES);
  const histograms = new Histograms(memory, NAMES);
  for (const value of values) histograms.record(index, value);
  return readHistogram(memory, NAMES, index);
}

test('every value lands in the first bucket whose inclusive bound is not below it', () => {
  const edges = UPPER_BOUNDS.filter(Number.isFinite).flatMap((bound) => [bound - 1, bound, bound + 1]);
  for (const value of [...edges, 2 ** 50, Number.MAX_SAFE_INTEGER]) {
    const reading = recorded([value]);
    const expected = UPPER_BOUNDS.findIndex((bound) => value <= bound);
    assert.equal(reading.cumulative.indexOf(1), expected, `bucket of ${value}`);
  }
});

test('bounds ascend, hold every power of two up to 2^38 and end in infinity', () => {
  for (let k = 1; k < UPPER_BOUNDS.length; k++) assert.ok(UPPER_BOUNDS[k]! > UPPER_BOUNDS[k - 1]!);
  for (let k = 0; k <= 38; k++) assert.ok(UPPER_BOUNDS.includes(2 ** k), `2^${k}`);
  assert.equal(UPPER_BOUNDS.at(-1), Number.POSITIVE_INFINITY);
});

test('counts, sums and cumulative buckets equal a naive histogram of the same values', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(300), fc.nat(), fc.maxSafeNat())), (values) => {
      const reading = recorded(values, 1);
      assert.equal(reading.count, values.length);
      assert.equal(
        reading.sum,
        values.reduce((sum, value) => sum + value, 0),
      );
      UPPER_BOUNDS.forEach((bound, bucket) => {
        assert.equal(reading.cumulative[bucket], values.filter((value) => value <= bound).length);
      });
    }),
  );
});

test('histograms of one block do not touch each other', () => {
  const memory = createHistogramBlock(NAMES);
  const histograms = new Histograms(memory, NAMES);
  histograms.record(0, 2 ** 52);
  histograms.record(0, 0);
  assert.equal(readHistogram(memory, NAMES, 1).count, 0);
  assert.equal(readHistogram(memory, NAMES, 1).sum, 0);
  histograms.record(1, 7);
  assert.equal(readHistogram(memory, NAMES, 0).count, 2);
});

test('merging threads adds their buckets, sums and counts', () => {
  assert.deepEqual(mergeHistograms([recorded([1, 2, 3]), recorded([4, 5000])]), recorded([1, 2, 3, 4, 5000]));
  assert.equal(mergeHistograms([]).count, 0);
});

test('a quantile lies in the bucket of the exact one', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1e9), { minLength: 1 }), fc.constantFrom(0.5, 0.9, 0.99), (values, q) => {
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
      const bucket = UPPER_BOUNDS.findIndex((bound) => exact <= bound);
      const estimate = quantile(recorded(values), q);
      assert.ok(estimate <= UPPER_BOUNDS[bucket]!, `${estimate} for ${exact}`);
      assert.ok(estimate >= (UPPER_BOUNDS[bucket - 1] ?? 0), `${estimate} for ${exact}`);
    }),
  );
  assert.equal(quantile(recorded([]), 0.5), 0);
});
