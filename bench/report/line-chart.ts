/**
 * A line chart as one SVG file without any dependency: for reports that a browser or a Markdown page shows.
 *
 * Colours follow `prefers-color-scheme`, so the file reads on a light and on a dark page; series differ by marker,
 * too, and are named at their right ends. Each point shows its figures as a tooltip.
 */

interface LineSeries {
  readonly name: string;
  /** Pairs of x and y, in the order of x. */
  readonly points: readonly (readonly [number, number])[];
}

type Scale = 'log' | 'linear';

export interface LineChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** On a logarithmic scale every value must be above 0. */
  readonly xScale: Scale;
  readonly yScale: Scale;
  readonly series: readonly LineSeries[];
  /** Where the x axis has its ticks, and their texts; round numbers unless given. */
  readonly xTicks?: readonly number[];
  readonly xText?: (value: number) => string;
  readonly yText?: (value: number) => string;
}

const HEIGHT = 420;
const PLOT_WIDTH = 560;
const LEFT = 76;
const TOP = 52;
const BOTTOM = 60;
const PLOT_HEIGHT = HEIGHT - TOP - BOTTOM;
/** Least distance of two names at the right. */
const NAME_STEP = 18;
const CHARACTER_WIDTH = 7.4;

/** Okabe and Ito's colours, which colour-blind readers tell apart; lighter ones for dark pages. */
const LIGHT = ['#0067a5', '#c24400', '#00795a', '#a6397f', '#7d6500', '#444444'];
const DARK = ['#6cbcf2', '#ff9a5c', '#4fd0a8', '#ee9ccb', '#e6cf4e', '#c8c8c8'];

const STYLE = `
text{font:13px system-ui,sans-serif;fill:#333}
.title{font-size:16px;font-weight:600}
.page{fill:#fff}.grid{stroke:#ddd}.axis{stroke:#888}
.line{fill:none;stroke-width:2.2}
${paint(LIGHT)}
@media(prefers-color-scheme:dark){
text{fill:#ddd}.page{fill:#14171c}.grid{stroke:#333942}.axis{stroke:#7a828c}
${paint(DARK)}
}`;

function paint(colours: readonly string[]): string {
  return colours.map((colour, at) => `.line.s${at}{stroke:${colour}}.dot.s${at}{fill:${colour}}`).join('');
}

/** Both directions of one axis. */
interface Axis {
  readonly ticks: readonly number[];
  /** Position of a value from 0 to 1. */
  place(value: number): number;
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

/** @throws RangeError where there is nothing to draw, or a value does not fit its scale */
export function lineChart(chart: LineChart): string {
  const { series, xText = compact.format, yText = compact.format } = chart;
  const points = series.flatMap((line) => line.points);
  const x = axisOf(
    points.map(([value]) => value),
    chart.xScale,
    false,
    chart.xTicks,
  );
  const y = axisOf(
    points.map(([, value]) => value),
    chart.yScale,
    true,
  );
  const left = (value: number): number => round(LEFT + x.place(value) * PLOT_WIDTH);
  const top = (value: number): number => round(TOP + (1 - y.place(value)) * PLOT_HEIGHT);
  const longest = Math.max(...series.map(({ name }) => name.length));
  const width = Math.ceil(LEFT + PLOT_WIDTH + 34 + longest * CHARACTER_WIDTH);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT}" width="${width}" height="${HEIGHT}" role="img" aria-label="${escapeXml(chart.title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${width}" height="${HEIGHT}"/>`,
    `<text class="title" x="${LEFT}" y="28">${escapeXml(chart.title)}</text>`,
    ...y.ticks.map((tick) => yTick(top(tick), yText(tick))),
    ...x.ticks.map((tick) => xTick(left(tick), xText(tick))),
    `<path class="axis" fill="none" d="M${LEFT} ${TOP}V${TOP + PLOT_HEIGHT}H${LEFT + PLOT_WIDTH}"/>`,
    `<text x="${LEFT + PLOT_WIDTH / 2}" y="${HEIGHT - 14}" text-anchor="middle">${escapeXml(chart.xLabel)}</text>`,
    `<text transform="translate(18 ${TOP + PLOT_HEIGHT / 2}) rotate(-90)" text-anchor="middle">${escapeXml(chart.yLabel)}</text>`,
    ...series.map((line, at) => drawSeries(line, at, left, top, xText, yText)),
    ...drawNames(series, top),
    '</svg>\n',
  ].join('\n');
}

function xTick(at: number, text: string): string {
  const bottom = TOP + PLOT_HEIGHT;
  return (
    `<path class="grid" d="M${at} ${TOP}V${bottom}"/>` +
    `<text x="${at}" y="${bottom + 20}" text-anchor="middle">${escapeXml(text)}</text>`
  );
}

function yTick(at: number, text: string): string {
  return (
    `<path class="grid" d="M${LEFT} ${at}H${LEFT + PLOT_WIDTH}"/>` +
    `<text x="${LEFT - 8}" y="${at + 4}" text-anchor="end">${escapeXml(text)}</text>`
  );
}

function drawSeries(
  { name, points }: LineSeries,
  at: number,
  left: (value: number) => number,
  top: (value: number) => number,
  xText: (value: number) => string,
  yText: (value: number) => string,
): string {
  const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${left(x)} ${top(y)}`).join('');
  const dots = points.map(([x, y]) => {
    const tip = `${name}: ${xText(x)}, ${yText(y)}`;
    return marker(at, left(x), top(y), `<title>${escapeXml(tip)}</title>`);
  });
  return `<path class="line s${at % LIGHT.length}" d="${path}"/>${dots.join('')}`;
}

/** A circle, square, diamond or triangle, by the series' number. */
function marker(at: number, x: number, y: number, inside = ''): string {
  const shapes = ['M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0', 'M-4-4H4V4H-4Z', 'M0-5L5 0L0 5L-5 0Z', 'M0-5L5 4H-5Z'];
  const attributes = `class="dot s${at % LIGHT.length}" transform="translate(${x} ${y})" d="${shapes[at % shapes.length]}"`;
  return inside === '' ? `<path ${attributes}/>` : `<path ${attributes}>${inside}</path>`;
}

/** Names beside the lines' last points, pushed apart where they would overlap. */
function drawNames(series: readonly LineSeries[], top: (value: number) => number): string[] {
  const names = series
    .map(({ name, points }, at) => ({ name, at, y: top(points.at(-1)?.[1] ?? Number.NaN) }))
    .filter(({ y }) => !Number.isNaN(y))
    .sort((a, b) => a.y - b.y);
  let free = TOP;
  const places = names.map(({ y }) => {
    const place = Math.max(y, free);
    free = place + NAME_STEP;
    return place;
  });
  // Labels pushed below the plot move up again.
  const overflow = Math.max(0, free - NAME_STEP - (TOP + PLOT_HEIGHT));
  return names.map(({ name, at }, order) => {
    const y = round(places[order]! - overflow);
    const x = LEFT + PLOT_WIDTH + 16;
    return `${marker(at, x, y)}<text x="${x + 10}" y="${y + 4}">${escapeXml(name)}</text>`;
  });
}

function axisOf(values: readonly number[], scale: Scale, fromZero: boolean, ticks?: readonly number[]): Axis {
  const all = [...values, ...(ticks ?? [])];
  if (all.length === 0 || !all.every(Number.isFinite)) throw new RangeError('a chart needs finite points');
  return scale === 'log' ? logAxis(all, ticks) : linearAxis(all, fromZero, ticks);
}

function linearAxis(values: readonly number[], fromZero: boolean, given?: readonly number[]): Axis {
  const low = fromZero ? Math.min(0, ...values) : Math.min(...values);
  const high = Math.max(...values);
  const step = niceStep((high - low || Math.abs(high) || 1) / 6);
  const from = Math.floor(low / step) * step;
  const to = Math.max(Math.ceil(high / step) * step, from + step);
  const count = Math.round((to - from) / step);
  const ticks =
    given ?? Array.from({ length: count + 1 }, (_, at) => Number((from + at * step).toPrecision(12)));
  return { ticks, place: (value) => (value - from) / (to - from) };
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power;
}

function logAxis(values: readonly number[], given?: readonly number[]): Axis {
  if (Math.min(...values) <= 0) throw new RangeError('a logarithmic scale needs values above 0');
  const low = Math.log10(Math.min(...values));
  const high = Math.log10(Math.max(...values));
  // Over few decades powers of ten alone would leave an axis almost empty.
  const factors = high - low < 3 ? [1, 2, 5] : [1];
  const candidates: number[] = [];
  for (let power = Math.floor(low) - 1; power <= high + 1; power++) {
    for (const factor of factors) candidates.push(Number(`${factor}e${power}`));
  }
  const logs = candidates.map(Math.log10);
  const tolerance = 1e-9;
  // Given ticks bound the axis by the values themselves, round ones by the next round number.
  const from = given ? low : (logs.findLast((log) => log <= low + tolerance) ?? low);
  const reached = given ? high : (logs.find((log) => log >= high - tolerance) ?? high);
  const to = reached > from ? reached : from + 1;
  const ticks =
    given ?? candidates.filter((_, at) => logs[at]! >= from - tolerance && logs[at]! <= to + tolerance);
  return { ticks, place: (value) => (Math.log10(value) - from) / (to - from) };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
