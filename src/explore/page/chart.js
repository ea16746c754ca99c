/** The plot itself: uPlot with zoom and pan. The server answers each range with as many steps as the plot is wide. */
import { color, element } from '../../live/page/document.js';
import { isNumber } from '../../live/page/format.js';

/** @typedef {import('./api.js').PlotAnswer} PlotAnswer */

const FONT = '16px system-ui, sans-serif';
const TONES = ['s0', 's1', 's2', 's3', 's4', 's5', 's6', 's7'];
const DASHES = [[], [6, 4], [2, 3]];
const WHEEL_FACTOR = 1.25;

/** @param {number | null | undefined} value */
export const valueText = (value) => (isNumber(value) ? String(+value.toPrecision(6)) : '–');

/**
 * @typedef {object} ChartEvents
 * @property {(fromMs: number, toMs: number) => void} onRange
 * @property {() => void} onAll
 */

export class Chart {
  /** @param {ChartEvents} events */
  constructor(events) {
    this.events = events;
    this.place = element('plot');
    /** @type {uPlot | null} */
    this.chart = null;
    /** @type {PlotAnswer | null} */
    this.answer = null;
    this.fromMs = 0;
    this.toMs = 1;
    this.isRaw = false;
    new ResizeObserver(() => this.chart?.setSize(this.size())).observe(this.place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    this.place.addEventListener('wheel', (event) => this.onWheel(event), { passive: false });
    this.place.addEventListener('dblclick', () => events.onAll());
  }

  size() {
    return { width: this.place.clientWidth, height: this.place.clientHeight };
  }

  /** @param {PlotAnswer} answer @param {{ fromMs: number, toMs: number, mode: string }} selection */
  show(answer, { fromMs, toMs, mode }) {
    Object.assign(this, { answer, fromMs, toMs, isRaw: mode === 'raw' });
    this.draw();
  }

  draw() {
    const { answer } = this;
    if (answer === null) return;
    this.chart?.destroy();
    const numbers = this.drawLegend(answer);
    const data = /** @type {uPlot.AlignedData} */ (/** @type {unknown} */ (answer.columns));
    this.chart = new uPlot(this.options(answer, numbers), data, this.place);
    this.place.dataset.points = String(answer.columns[0]?.length ?? 0);
  }

  /** @param {PlotAnswer} answer */
  drawLegend({ labels }) {
    const numbers = labels.map(() => document.createElement('b'));
    const items = labels.map((label, index) => {
      const item = document.createElement('li');
      const swatch = document.createElement('i');
      swatch.style.background = toneOf(index);
      const text = document.createElement('span');
      text.textContent = label;
      text.title = label;
      item.append(swatch, text, numbers[index] ?? '');
      return item;
    });
    element('legend').replaceChildren(...items);
    return numbers;
  }

  /**
   * @param {PlotAnswer} answer
   * @param {HTMLElement[]} numbers the legend's numbers
   * @returns {uPlot.Options}
   */
  options({ labels, columns }, numbers) {
    const grid = { stroke: color('line'), width: 1 };
    const axis = { stroke: color('soft'), grid, ticks: { ...grid, size: 4 }, font: FONT };
    /** @param {number | null | undefined} at */
    const showNumbers = (at) =>
      numbers.forEach((number, index) => {
        number.textContent = isNumber(at) ? valueText(columns[index + 1]?.[at]) : '';
      });
    return {
      ...this.size(),
      padding: [8, 30, 0, 0],
      legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
      cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { size: 7 } },
      scales: { x: { time: true, range: () => [this.fromMs / 1000, this.toMs / 1000] } },
      axes: [
        {
          ...axis,
          size: 52,
          space: 80,
          values: (_, times, _axis, _space, step) => timeTexts(times, step),
        },
        { ...axis, size: 84, values: (_, values) => values.map(valueText) },
      ],
      series: [
        {},
        ...labels.map((label, index) => ({
          label,
          stroke: toneOf(index),
          width: 2,
          dash: DASHES[Math.floor(index / TONES.length)] ?? [],
          spanGaps: this.isRaw,
        })),
      ],
      hooks: {
        setCursor: [(chart) => showNumbers(chart.cursor.idx)],
        setSelect: [(chart) => this.onSelect(chart)],
      },
    };
  }

  /** @param {uPlot} chart */
  onSelect({ select, posToVal }) {
    if (select.width < 4) return;
    this.events.onRange(posToVal(select.left, 'x') * 1000, posToVal(select.left + select.width, 'x') * 1000);
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    const { chart } = this;
    if (chart === null || event.ctrlKey) return;
    event.preventDefault();
    if (event.shiftKey || event.deltaX !== 0) return this.pan(Math.sign(event.deltaX || event.deltaY) / 10);
    const left = event.clientX - chart.over.getBoundingClientRect().left;
    const atMs = Math.min(this.toMs, Math.max(this.fromMs, chart.posToVal(left, 'x') * 1000));
    this.zoom(event.deltaY < 0 ? 1 / WHEEL_FACTOR : WHEEL_FACTOR, atMs);
  }

  /** @param {number} share of the range; negative is earlier */
  pan(share) {
    const byMs = (this.toMs - this.fromMs) * share;
    this.events.onRange(this.fromMs + byMs, this.toMs + byMs);
  }

  /** @param {number} factor below 1 is closer @param {number} [atMs] stays where it is */
  zoom(factor, atMs = (this.fromMs + this.toMs) / 2) {
    this.events.onRange(atMs - (atMs - this.fromMs) * factor, atMs + (this.toMs - atMs) * factor);
  }
}

/**
 * Hours in UTC, with the date below where it changes.
 * @param {number[]} times Unix seconds @param {number} step seconds between two of them
 */
function timeTexts(times, step) {
  let dateBefore = '';
  return times.map((time) => {
    const text = new Date(time * 1000).toISOString();
    const date = text.slice(0, 10);
    const clock = text.slice(11, step < 1 ? 23 : step < 60 ? 19 : 16);
    const line = date === dateBefore ? '' : `\n${date}`;
    dateBefore = date;
    return step >= 86_400 ? date : clock + line;
  });
}

/** @param {number} index */
const toneOf = (index) => color(TONES[index % TONES.length] ?? 's0');
