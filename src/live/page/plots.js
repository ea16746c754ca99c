/** The plots of the last minutes: what each one draws, and how they follow data, size and colour scheme. */
import { color, element } from './document.js';
import { bytes, isNumber, millis, rate } from './format.js';
import { history } from './history.js';
import { plotOptions } from './plot-options.js';

/** @typedef {import('../../telemetry/recorder.ts').Stage} Stage */
/** @typedef {import('../messages.ts').Column} Column */

/**
 * @typedef {object} Series
 * @property {Column | 'capacity'} name
 * @property {string} label
 * @property {string} tone a colour of palette.css
 * @property {boolean} [fill]
 * @property {number[]} [dash]
 */

/**
 * @typedef {object} Plot
 * @property {string} id prefix of the element ids in index.html
 * @property {(value: number | null | undefined) => string} text
 * @property {boolean} [log]
 * @property {Series[]} series
 */

/** @type {Readonly<Record<Stage, string>>} */
export const STAGE_TONES = {
  receive: 's0',
  limit: 's1',
  parse: 's2',
  encode: 's3',
  queue: 's4',
  journal: 's5',
  sync: 's6',
};

/** @type {Plot[]} */
const PLOTS = [
  {
    id: 'accepted',
    text: rate,
    series: [
      { name: 'accepted', label: 'metrics', tone: 's0', fill: true },
      { name: 'answered', label: 'requests', tone: 's1' },
    ],
  },
  {
    id: 'refused',
    text: rate,
    series: [
      { name: 'rejected', label: 'rejected', tone: 's3' },
      { name: 'limited', label: '429', tone: 'warn' },
      { name: 'unavailable', label: '503', tone: 'bad', fill: true },
    ],
  },
  {
    id: 'latency',
    text: millis,
    log: true,
    series: [
      { name: 'requestP50', label: 'p50', tone: 's2' },
      { name: 'requestP90', label: 'p90', tone: 's0' },
      { name: 'requestP99', label: 'p99', tone: 's4' },
    ],
  },
  {
    id: 'stages',
    text: millis,
    log: true,
    series: /** @type {[Stage, string][]} */ (Object.entries(STAGE_TONES)).map(([stage, tone]) => ({
      name: `${stage}P99`,
      label: stage,
      tone,
    })),
  },
  {
    id: 'queue',
    text: rate,
    series: [
      { name: 'depth', label: 'waiting', tone: 's0', fill: true },
      { name: 'capacity', label: 'capacity', tone: 'muted', dash: [6, 4] },
    ],
  },
  { id: 'stored', text: bytes, series: [{ name: 'storedBytes', label: 'bytes', tone: 's2', fill: true }] },
];

/** A plot on the page. */
class DrawnPlot {
  /** @param {Plot} plot @param {number} queueCapacity */
  constructor(plot, queueCapacity) {
    this.plot = plot;
    this.queueCapacity = queueCapacity;
    this.place = element(`${plot.id}-plot`);
    this.place.replaceChildren();
    this.numbers = this.buildLegend();
    this.data = this.read();
    const options = plotOptions(plot, this.size(), queueCapacity, (index) => this.showNumbers(index));
    this.chart = new uPlot(options, this.data, this.place);
    this.showNumbers(null);
  }

  /** @returns {uPlot.AlignedData} */
  read() {
    const columns = history();
    const time = columns?.time ?? [];
    const series = this.plot.series.map(({ name }) =>
      name === 'capacity' ? time.map(() => this.queueCapacity) : (columns?.[name] ?? time.map(() => null)),
    );
    return /** @type {uPlot.AlignedData} */ ([time, ...series]);
  }

  size() {
    const { clientWidth: width, clientHeight: height } = this.place;
    return { width, height };
  }

  /** Draws the current points. */
  update() {
    this.data = this.read();
    this.chart.setData(this.data);
    this.describe();
    this.showNumbers(this.chart.cursor.idx);
  }

  resize() {
    const { width, height } = this.size();
    if (this.chart.width !== width || this.chart.height !== height) this.chart.setSize({ width, height });
  }

  /** Shows the numbers under the pointer, or the latest ones. @param {number | null | undefined} index */
  showNumbers(index) {
    this.numbers.forEach((number, at) => {
      const values = this.data[at + 1];
      number.textContent = this.plot.text(isNumber(index) ? values?.[index] : values?.at(-1));
    });
  }

  buildLegend() {
    const numbers = this.plot.series.map(() => document.createElement('b'));
    const items = this.plot.series.map(({ tone, label }, index) => {
      const item = document.createElement('li');
      const swatch = document.createElement('i');
      swatch.style.background = color(tone);
      const text = document.createElement('span');
      text.textContent = label;
      item.append(swatch, text, numbers[index] ?? '');
      return item;
    });
    element(`${this.plot.id}-legend`).replaceChildren(...items);
    return numbers;
  }

  /** Describes the plot in words for screen readers. */
  describe() {
    const { series, text, id } = this.plot;
    const latest = series.map(({ label }, index) => `${label} ${text(this.data[index + 1]?.at(-1))}`);
    const points = this.data[0].length;
    const title = element(`${id}-title`).textContent;
    this.place.setAttribute('aria-label', `${title}, ${points} seconds: ${latest.join(', ')}`);
    this.place.dataset.points = String(points);
  }
}

/** @type {DrawnPlot[]} */
let drawn = [];
let capacity = 0;

/** Draws all plots, unless nobody sees them. @param {number} queueCapacity */
export function drawPlots(queueCapacity) {
  capacity = queueCapacity;
  if (document.hidden || (history()?.time.length ?? 0) === 0) return;
  if (drawn.length === 0) drawn = PLOTS.map((plot) => new DrawnPlot(plot, queueCapacity));
  for (const plot of drawn) plot.update();
}

function rebuild() {
  for (const { chart } of drawn) chart.destroy();
  drawn = [];
  drawPlots(capacity);
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', rebuild);
const resized = new ResizeObserver(() => {
  for (const plot of drawn) plot.resize();
});
for (const { id } of PLOTS) resized.observe(element(`${id}-plot`));
