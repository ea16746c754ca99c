import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type LineChart, lineChart } from '../../bench/report/line-chart.ts';

const CHART: LineChart = {
  title: 'Time & size',
  xLabel: 'bytes',
  yLabel: 'ns',
  xScale: 'log',
  yScale: 'log',
  series: [
    {
      name: 'rises',
      points: [
        [10, 1],
        [100, 10],
        [1000, 100],
      ],
    },
    {
      name: 'stays <flat>',
      points: [
        [10, 1],
        [1000, 1],
      ],
    },
  ],
};

/** The corners of the drawn lines, series by series. */
function corners(svg: string): number[][][] {
  return [...svg.matchAll(/class="line s\d" d="([^"]*)"/g)].map(([, path]) =>
    (path ?? '')
      .split(/[ML]/)
      .slice(1)
      .map((pair) => pair.split(' ').map(Number)),
  );
}

describe('line chart', () => {
  it('places equal ratios at equal distances on logarithmic scales', () => {
    const [rises, flat] = corners(lineChart(CHART));
    const [[x0, y0], [x1, y1], [x2, y2]] = rises as [[number, number], [number, number], [number, number]];
    assert.ok(Math.abs(x1 - x0 - (x2 - x1)) < 0.1 && x1 > x0);
    assert.ok(Math.abs(y0 - y1 - (y1 - y2)) < 0.1 && y1 < y0);
    assert.equal(flat?.[0]?.[1], flat?.[1]?.[1]);
  });

  it('begins a linear y axis at zero', () => {
    const series = [
      {
        name: 'a',
        points: [
          [0, 90],
          [1, 0],
          [2, 100],
        ] as const,
      },
    ];
    const [[top, zero, highest] = []] = corners(
      lineChart({ ...CHART, xScale: 'linear', yScale: 'linear', series }),
    );
    const span = zero![1]! - highest![1]!;
    assert.ok(Math.abs(top![1]! - (zero![1]! - span * 0.9)) < 0.1);
  });

  it('names axes and series, in text that cannot break the file', () => {
    const svg = lineChart(CHART);
    assert.match(svg, />bytes<.*>ns</s);
    assert.match(svg, />stays &#60;flat&#62;</);
    assert.match(svg, />Time &#38; size</);
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  });

  it('draws a single point and equal values', () => {
    for (const scale of ['log', 'linear'] as const) {
      const series = [{ name: 'one', points: [[5, 7]] as const }];
      assert.doesNotMatch(lineChart({ ...CHART, xScale: scale, yScale: scale, series }), /NaN|Infinity/);
    }
  });

  it('takes ticks and their texts from the caller', () => {
    const svg = lineChart({ ...CHART, xTicks: [10, 1000], xText: (value) => `${value} B` });
    assert.match(svg, />10 B</);
    assert.doesNotMatch(svg, /text-anchor="middle">100 B</);
  });

  it('refuses what it cannot place', () => {
    assert.throws(() => lineChart({ ...CHART, series: [] }), RangeError);
    assert.throws(() => lineChart({ ...CHART, series: [{ name: 'a', points: [[1, 0]] }] }), RangeError);
    assert.throws(
      () => lineChart({ ...CHART, series: [{ name: 'a', points: [[1, Number.NaN]] }] }),
      RangeError,
    );
  });
});
