import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { correctedPercentilesMs, LatencyHistogram } from '../../load-test/latency.ts';

/** Three significant digits. */
const PRECISION = 1.001;

function recorded(values: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

/** The value that so many percent of all stay within. */
function exactPercentile(values: readonly number[], percentile: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil((percentile / 100) * sorted.length)) - 1] ?? Number.NaN;
}

const latencies = fc.array(fc.double({ min: 0.01, max: 60_000, noNaN: true }), {
  minLength: 1,
  maxLength: 200,
});

describe('latencies', () => {
  it('have percentiles exact to three digits', () => {
    fc.assert(
      fc.property(latencies, (values) => {
        const histogram = recorded(values);
        const { count, p50Ms, p90Ms, p99Ms, maxMs } = histogram.summary();
        histogram.destroy();
        assert.equal(count, values.length);
        for (const [percentile, ms] of [
          [50, p50Ms],
          [90, p90Ms],
          [99, p99Ms],
          [100, maxMs],
        ] as const) {
          const exact = exactPercentile(values, percentile);
          assert.ok(ms <= exact * PRECISION + 0.001 && ms >= exact / PRECISION - 0.001, `${ms} for ${exact}`);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('of several threads add up to those of one', () => {
    fc.assert(
      fc.property(latencies, latencies, (a, b) => {
        const [one, other, both] = [recorded(a), recorded(b), recorded([...a, ...b])];
        one.add(other.encode());
        assert.deepEqual(one.report(), both.report());
        for (const histogram of [one, other, both]) histogram.destroy();
      }),
      { numRuns: 30 },
    );
  });

  it('beyond an hour, or below nothing, are kept at the edge', () => {
    const histogram = recorded([-1, 1e9]);
    assert.equal(histogram.count, 2);
    assert.equal(histogram.percentileMs(50), 0);
    assert.ok(Math.abs(histogram.percentileMs(100) / 3_600_000 - 1) < 0.001);
    histogram.destroy();
  });

  it('end their curve with the slowest request', () => {
    const histogram = recorded(Array.from({ length: 1_000 }, (_, index) => index + 1));
    const { distribution, maxMs } = histogram.report();
    assert.deepEqual(distribution.at(-1), [100, maxMs]);
    assert.deepEqual(
      distribution.map(([percentile]) => percentile),
      distribution.map(([percentile]) => percentile).sort((a, b) => a - b),
    );
    assert.ok((distribution.at(-2)?.[0] ?? 0) > 99.9);
    histogram.destroy();
  });

  it("are corrected as wrk's: a long one stands for those that were due meanwhile", () => {
    const histogram = recorded([...new Array<number>(95).fill(10), 60]);
    const { hdr } = histogram.report();
    histogram.destroy();
    // 60 ms at one request every 10 ms hide 50, 40, 30, 20 and 10 ms: five of a hundred and one exceed 10 ms.
    const [p95 = 0, p97 = 0, max = 0] = correctedPercentilesMs(hdr, 10, [95, 97, 100]);
    assert.ok(Math.abs(p95 - 10) < 0.1, `${p95}`);
    assert.ok(Math.abs(p97 - 30) < 0.1, `${p97}`);
    assert.ok(Math.abs(max - 60) < 0.1, `${max}`);
  });
});
