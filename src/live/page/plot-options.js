/** uPlot's options for a plot: scales, axes, series, and the shading of the time during which the breaker was open. */
import { BREAKER_STATES } from './breaker-states.js';
import { color } from './document.js';
import { isNumber } from './format.js';
import { history, WINDOW_SECONDS } from './history.js';

/** @typedef {import('./plots.js').Plot} Plot */

/** A server that has just started gets plots of this width instead of nearly empty ones. */
const WINDOW_SECONDS_MIN = 60;
const FONT = '14px system-ui, sans-serif';
/** The plot of the queue shows its capacity once a fifth of it is in use; earlier the line would flatten the plot. */
const CAPACITY_SHARE_SHOWN = 0.2;

/**
 * @param {Plot} plot
 * @param {{ width: number, height: number }} size
 * @param {number} queueCapacity
 * @param {(index: number | null | undefined) => void} onCursor
 * @returns {uPlot.Options}
 */
export function plotOptions(plot, size, queueCapacity, onCursor) {
  const grid = { stroke: color('line'), width: 1 };
  const axis = { stroke: color('soft'), grid, ticks: { ...grid, size: 4 }, font: FONT };
  const decades = plot.log ? { filter: powersOfTen } : {};
  return {
    ...size,
    // Room for half of the last time's text.
    padding: [8, 30, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'live' }, drag: { x: false, y: false }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true, range: timeRange },
      y: { distr: plot.log ? 3 : 1, range: plot.log ? logRange : linearRange(plot, queueCapacity) },
    },
    axes: [
      {
        ...axis,
        size: 28,
        space: 90,
        incrs: [10, 30, 60, 120],
        values: (_chart, times, _axis, _space, step) => times.map((time) => clock(time, step)),
      },
      {
        ...axis,
        size: 72,
        space: plot.log ? 20 : 34,
        ...decades,
        grid: { ...grid, ...decades },
        ticks: { ...axis.ticks, ...decades },
        values: (_chart, values) => values.map((value) => (value === null ? '' : plot.text(value))),
      },
    ],
    series: [
      {},
      ...plot.series.map((series) => ({
        label: series.label,
        stroke: color(series.tone),
        width: 2,
        ...(series.dash ? { dash: series.dash } : {}),
        ...(series.fill ? { fill: `${color(series.tone)}26` } : {}),
        // A line needs two points, so points without a neighbour are drawn as dots.
        points: { show: true, size: 5, filter: isolated },
        spanGaps: false,
      })),
    ],
    hooks: { drawClear: [shadeBreaker], setCursor: [(chart) => onCursor(chart.cursor.idx)] },
  };
}

/** Shades the time during which the breaker was not closed. @param {uPlot} chart */
function shadeBreaker(chart) {
  const columns = history();
  if (columns === null) return;
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.globalAlpha = 0.13;
  columns.breaker.forEach((state, at) => {
    if (!state) return;
    const from = Math.max(chart.valToPos(columns.time[Math.max(0, at - 1)] ?? 0, 'x', true), bbox.left);
    const to = chart.valToPos(columns.time[at] ?? 0, 'x', true);
    ctx.fillStyle = color(BREAKER_STATES[state]?.tone ?? 'muted');
    ctx.fillRect(from, bbox.top, to - from, bbox.height);
  });
  ctx.restore();
}

/** As wide as the known points. @returns {[number, number]} */
function timeRange() {
  const time = history()?.time ?? [];
  const first = time[0] ?? 0;
  const last = time.at(-1) ?? 0;
  return [last - Math.min(WINDOW_SECONDS, Math.max(WINDOW_SECONDS_MIN, last - first)), last];
}

/** @param {Plot} plot @param {number} queueCapacity @returns {uPlot.Scale.Range} */
function linearRange(plot, queueCapacity) {
  return (_chart, _min, max) => {
    let top = max;
    if (plot.id === 'queue') {
      const highest =
        (history()?.depth ?? []).reduce((most, depth) => Math.max(most ?? 0, depth ?? 0), 0) ?? 0;
      top = highest > queueCapacity * CAPACITY_SHARE_SHOWN ? queueCapacity : highest;
    }
    return [0, isNumber(top) && top > 0 ? top * 1.1 : 1];
  };
}

/** @type {uPlot.Scale.Range} */
const logRange = (_chart, min, max) => {
  if (!isNumber(min) || !isNumber(max) || max <= 0) return [0.01, 100];
  const low = 10 ** Math.floor(Math.log10(Math.max(min, 1e-4)));
  return [low, Math.max(10 ** Math.ceil(Math.log10(max)), low * 10)];
};

/** A logarithmic axis gets lines at powers of ten only. @type {uPlot.Axis.Filter} */
const powersOfTen = (_chart, values) =>
  values.map((value) => {
    const power = Math.log10(value);
    return value !== null && Math.abs(power - Math.round(power)) < 1e-9 ? value : null;
  });

/** @param {number} time Unix seconds @param {number} step seconds between two labels */
const clock = (time, step) =>
  new Date(time * 1000).toLocaleTimeString('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    ...(step < 60 ? { second: '2-digit' } : {}),
  });

/** Indexes of the points without a neighbour. @param {uPlot} chart @param {number} index of the series */
function isolated(chart, index) {
  const values = chart.data[index] ?? [];
  /** @param {number} at */
  const missing = (at) => (values[at] ?? null) === null;
  return [...values.keys()].filter((at) => !missing(at) && missing(at - 1) && missing(at + 1));
}
