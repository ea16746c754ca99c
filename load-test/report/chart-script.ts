/** Draws the charts in the reader's browser, from the JSON in the page: see `Chart` in `page.ts`. */
export const CHART_SCRIPT = `(() => {
  'use strict';
  const charts = JSON.parse(document.getElementById('charts').textContent);
  const HEIGHT = 300;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

  const number = (value) => {
    if (value === null || value === undefined) return '–';
    const size = Math.abs(value);
    if (size >= 1e9) return +(value / 1e9).toPrecision(3) + 'G';
    if (size >= 1e6) return +(value / 1e6).toPrecision(3) + 'M';
    if (size >= 1e4) return +(value / 1e3).toPrecision(3) + 'k';
    return String(+value.toPrecision(3));
  };
  const percentile = (x) => {
    const share = 100 - 100 / x;
    return +share.toFixed(Math.max(0, Math.ceil(Math.log10(x)) - 1)) + '%';
  };

  // Each series of a stack carries the sum of those below it.
  const stack = (series) => {
    const sums = [];
    return series.map(({ values }) => values.map((value, i) => (sums[i] = (sums[i] || 0) + (value || 0))));
  };

  const groupedBars = (index, count, fill) => (u, seriesIndex, from, to) => {
    const { ctx } = u;
    const slot = u.valToPos(1, 'x', true) - u.valToPos(0, 'x', true);
    const width = (slot * 0.8) / count;
    const floor = u.bbox.top + u.bbox.height;
    ctx.save();
    ctx.fillStyle = fill;
    for (let i = from; i <= to; i++) {
      const value = u.data[seriesIndex][i];
      if (value === null) continue;
      const top = u.valToPos(value, 'y', true);
      ctx.fillRect(u.valToPos(i, 'x', true) - slot * 0.4 + index * width + 1, top, Math.max(1, width - 2), floor - top);
    }
    ctx.restore();
    return null;
  };

  const options = (chart, width) => {
    const { kind = 'lines', xScale, yScale, categories } = chart;
    const soft = color('soft');
    const grid = { stroke: color('line'), width: 1 };
    const axis = { stroke: soft, grid, ticks: grid, font: '12px system-ui, sans-serif', labelFont: '12px system-ui, sans-serif' };
    const count = chart.series.length;
    const isStack = kind === 'stacked';
    const isPercentile = xScale === 'percentile';
    const xText = (x) => (categories ? (categories[x] ?? '') : isPercentile ? percentile(x) : number(x));
    const series = chart.series.map((one, i) => {
      const stroke = color(one.tone || 's' + (i % 8));
      return {
        label: one.label,
        stroke,
        width: 2,
        dash: one.dashed ? [6, 4] : undefined,
        fill: isStack ? stroke : undefined,
        points: { show: kind !== 'bars' && (one.points || chart.x.length < 3), size: 6, fill: stroke },
        paths: kind === 'bars' ? groupedBars(i, count, stroke) : undefined,
        value: (u, value, s, at) => number(at === null || at === undefined ? null : chart.series[i].values[at]),
      };
    });
    // A stack is drawn from its top down, so that lower areas cover higher ones.
    if (isStack) series.reverse();
    return {
      width,
      height: HEIGHT,
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      scales: {
        x: {
          time: false,
          distr: isPercentile ? 3 : 1,
          ...(categories ? { range: [-0.5, categories.length - 0.5] } : {}),
        },
        y: {
          distr: yScale === 'log' ? 3 : 1,
          ...(yScale === 'log' ? {} : { range: (u, min, max) => [0, max > 0 ? max * 1.05 : 1] }),
        },
      },
      axes: [
        {
          ...axis,
          label: chart.xLabel,
          ...(categories ? { splits: () => categories.map((_, i) => i) } : {}),
          ...(categories && width < 90 * categories.length ? { rotate: -35, size: 80 } : {}),
          values: (u, ticks) => ticks.map((x) => (x === null ? '' : xText(x))),
        },
        { ...axis, label: chart.yLabel, size: 60, values: (u, ticks) => ticks.map((y) => (y === null ? '' : number(y))) },
      ],
      series: [{ label: chart.xLabel, value: (u, x) => (x === null ? '–' : xText(x)) }, ...series],
    };
  };

  const dataOf = (chart) => {
    if (chart.kind !== 'stacked') return [chart.x, ...chart.series.map(({ values }) => values)];
    return [chart.x, ...stack(chart.series).reverse()];
  };

  const draw = (element) => {
    const chart = charts[Number(element.dataset.chart)];
    element.replaceChildren();
    element.plot = new uPlot(options(chart, element.clientWidth), dataOf(chart), element);
  };

  const elements = [...document.querySelectorAll('.chart')];
  const drawAll = () => elements.forEach(draw);
  drawAll();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
  addEventListener('resize', () => {
    for (const element of elements) element.plot.setSize({ width: element.clientWidth, height: HEIGHT });
  });
})();`;
