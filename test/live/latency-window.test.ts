import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LatencyWindow, WINDOW_SECONDS } from '../../src/live/latency-window.ts';
import { createHistogramBlock, Histograms, readHistogram } from '../../src/telemetry/histogram.ts';

const NAMES = ['ns'] as const;

function open() {
  const memory = createHistogramBlock(NAMES);
  const histograms = new Histograms(memory, NAMES);
  return {
    record: (ms: number, times = 1) => {
      for (let k = 0; k < times; k++) histograms.record(0, ms * 1e6);
    },
    window: new LatencyWindow(() => readHistogram(memory, NAMES, 0)),
  };
}

describe('a latency window', () => {
  it('is empty if nothing was recorded', () => {
    const { window } = open();
    assert.deepEqual(window.advance(), { count: 0, p50: null, p90: null, p99: null });
  });

  it('excludes values recorded before it was opened', () => {
    const memory = createHistogramBlock(NAMES);
    new Histograms(memory, NAMES).record(0, 1e9);
    assert.equal(new LatencyWindow(() => readHistogram(memory, NAMES, 0)).advance().count, 0);
  });

  it('reports percentiles in milliseconds, exact to a bucket', () => {
    const { window, record } = open();
    record(1, 89);
    record(50, 9);
    record(800, 2);
    const { count, p50, p90, p99 } = window.advance();
    assert.equal(count, 100);
    for (const [told, ms] of [
      [p50, 1],
      [p90, 50],
      [p99, 800],
    ] as const) {
      assert.ok(told !== null && told > ms / 1.5 && told < ms * 1.5, `${told} for ${ms} ms`);
    }
  });

  it(`excludes values more than ${WINDOW_SECONDS} readings old`, () => {
    const { window, record } = open();
    record(700);
    for (let second = 1; second <= WINDOW_SECONDS; second++) {
      assert.equal(window.advance().count, 1, `after ${second} s`);
    }
    record(2);
    const { count, p99 } = window.advance();
    assert.equal(count, 1);
    assert.ok(p99 !== null && p99 < 4, `${p99} ms`);
  });
});
