/** The page: keeps selection, address, controls and plot in step. */
import { element, setText } from '../../live/page/document.js';
import { count, duration } from '../../live/page/format.js';
import { request, wasReplaced } from './api.js';
import { Chart } from './chart.js';
import { fillSelect, showChoices, showNames, showSeries, timeText } from './lists.js';
import { modeFor, parametersOf, putInAddress, selectionInAddress } from './selection.js';

/** @typedef {import('./selection.js').Selection} Selection */
/** @typedef {import('./selection.js').Mode} Mode */
/** @typedef {import('./api.js').NameRow} NameRow */
/** @typedef {import('./api.js').Names} Names */
/** @typedef {import('./api.js').PlotAnswer} PlotAnswer */
/** @typedef {import('./api.js').SeriesAnswer} SeriesAnswer */

const RANGES = /** @type {const} */ ([
  ['all', 'all'],
  ['300', 'last 5 min'],
  ['900', 'last 15 min'],
  ['3600', 'last hour'],
  ['21600', 'last 6 h'],
  ['86400', 'last 24 h'],
  ['604800', 'last 7 d'],
  ['chosen', 'as zoomed'],
]);
/** Pixels of the plot for each step of time. */
const STEP_PX = 2;
const RANGE_MS_MIN = 10;
const ZOOM = 2;
/** Wheel turns come in bursts: ask once they are over. */
const SETTLE_MS = 120;

/** @type {NameRow[]} */
let names = [];
/** @type {Selection | null} */
let selection = null;
let timer = 0;

const chart = new Chart({
  onRange: (fromMs, toMs) => setRange(fromMs, toMs, 'chosen'),
  onAll: () => showAll(),
});

/** @param {unknown} error */
function report(error) {
  if (wasReplaced(error)) return;
  const place = element('problem');
  place.hidden = error === null;
  place.textContent = error === null ? '' : String(error instanceof Error ? error.message : error);
}

/** @param {boolean} isLoading */
const setLoading = (isLoading) => document.body.classList.toggle('loading', isLoading);

/** @param {boolean} again read what is stored now */
async function loadNames(again) {
  setText('facts', 'Reading what is stored…');
  const answer = /** @type {Names} */ (
    await request('api/names', new URLSearchParams(again ? { refresh: '1' } : {}))
  );
  names = answer.names;
  const metrics = names.reduce((sum, row) => sum + row.count, 0);
  setText('facts', `${count(metrics)} metrics as of ${timeText(Date.now())} UTC`);
  const leftOut = element('left-out');
  leftOut.hidden = answer.leftOut === null;
  leftOut.textContent = answer.leftOut ?? '';
  listNames();
}

function listNames() {
  const filter = /** @type {HTMLInputElement} */ (element('filter')).value;
  showNames(names, filter, selection?.name ?? '', choose);
}

/** The times of a name over all its types. @param {string} name */
function extentOf(name) {
  const rows = names.filter((row) => row.name === name);
  const firstMs = Math.min(...rows.map((row) => row.firstMs));
  const lastMs = Math.max(...rows.map((row) => row.lastMs));
  return { firstMs, lastMs };
}

/** @param {NameRow} row */
function choose(row) {
  const { firstMs, lastMs } = extentOf(row.name);
  void select(
    { name: row.name, mode: modeFor(row.type), by: '', where: new Map(), fromMs: firstMs, toMs: lastMs + 1 },
    'all',
  );
}

/** @param {Selection} next @param {string} range */
async function select(next, range) {
  selection = next;
  listNames();
  fillSelect('range', RANGES, range);
  try {
    const series = request('api/series', new URLSearchParams({ name: next.name }));
    const plot = draw();
    const answer = /** @type {SeriesAnswer} */ (await series);
    showChoices(next, answer, setCondition);
    showSeries(answer);
    await plot;
  } catch (error) {
    report(error);
  }
}

async function draw() {
  const current = selection;
  if (current === null) return;
  putInAddress(current);
  setLoading(true);
  setText('title', current.name);
  const parameters = parametersOf(current);
  parameters.set(
    'points',
    String(Math.min(2_000, Math.max(50, Math.floor(element('plot').clientWidth / STEP_PX)))),
  );
  element('csv').setAttribute('href', `api/plot.csv?${parameters}`);
  try {
    const answer = /** @type {PlotAnswer} */ (await request('api/plot', parameters));
    report(null);
    chart.show(answer, current);
    setText('sql', answer.sql);
    describe(current, answer);
    setLoading(false);
  } catch (error) {
    report(error);
    if (!wasReplaced(error)) setLoading(false);
  }
}

/** @param {Selection} current @param {PlotAnswer} answer */
function describe({ fromMs, toMs }, { labels, stepMs, more, columns }) {
  const points = columns[0]?.length ?? 0;
  const step = stepMs < 1000 ? `${stepMs} ms` : duration(stepMs / 1000);
  const lines = `${labels.length} ${labels.length === 1 ? 'line' : 'lines'}${more ? ' with the most metrics' : ''}`;
  const what = points === 0 ? 'Nothing is stored here' : `${lines}, steps of ${step}`;
  setText('plot-note', `${what}: ${timeText(fromMs)} to ${timeText(toMs)} UTC.`);
}

/** @param {number} fromMs @param {number} toMs @param {string} range */
function setRange(fromMs, toMs, range) {
  if (selection === null) return;
  const middleMs = (fromMs + toMs) / 2;
  const halfMs = Math.max(RANGE_MS_MIN, toMs - fromMs) / 2;
  selection = { ...selection, fromMs: Math.floor(middleMs - halfMs), toMs: Math.ceil(middleMs + halfMs) };
  fillSelect('range', RANGES, range);
  // The axis follows at once, the finer data a moment later.
  Object.assign(chart, { fromMs: selection.fromMs, toMs: selection.toMs });
  chart.chart?.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  chart.chart?.setData(chart.chart.data);
  clearTimeout(timer);
  timer = setTimeout(() => void draw(), SETTLE_MS);
}

function showAll() {
  if (selection === null) return;
  const { firstMs, lastMs } = extentOf(selection.name);
  setRange(firstMs, lastMs + 1, 'all');
}

/** @param {string} key @param {string} choice '' for any, or = and the value */
function setCondition(key, choice) {
  if (selection === null) return;
  const where = new Map(selection.where);
  if (choice === '') where.delete(key);
  else where.set(key, choice.slice(1));
  selection = { ...selection, where };
  void draw();
}

/** @param {string} id @param {(value: string) => void} then */
const onChoice = (id, then) =>
  element(id).addEventListener('change', (event) =>
    then(/** @type {HTMLSelectElement} */ (event.target).value),
  );

onChoice('mode', (mode) => {
  if (selection !== null) selection = { ...selection, mode: /** @type {Mode} */ (mode) };
  void draw();
});
onChoice('by', (by) => {
  if (selection !== null) selection = { ...selection, by };
  void draw();
});
onChoice('range', (range) => {
  if (selection === null || range === 'chosen') return;
  if (range === 'all') return showAll();
  const { lastMs } = extentOf(selection.name);
  setRange(lastMs + 1 - Number(range) * 1000, lastMs + 1, range);
});

/** @type {Readonly<Record<string, () => void>>} */
const ACTIONS = {
  earlier: () => chart.pan(-0.5),
  later: () => chart.pan(0.5),
  closer: () => chart.zoom(1 / ZOOM),
  farther: () => chart.zoom(ZOOM),
  all: showAll,
};
for (const [id, run] of Object.entries(ACTIONS)) element(id).addEventListener('click', run);

/** @type {Readonly<Record<string, string>>} */
const KEYS = { ArrowLeft: 'earlier', ArrowRight: 'later', '+': 'closer', '-': 'farther', Home: 'all' };
document.addEventListener('keydown', (event) => {
  const action = ACTIONS[KEYS[event.key] ?? ''];
  const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (action === undefined || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});

element('filter').addEventListener('input', listNames);
element('controls').addEventListener('submit', (event) => event.preventDefault());
element('copy').addEventListener('click', async () => {
  try {
    await copyText(element('sql').textContent ?? '');
  } catch (error) {
    return report(error);
  }
  setText('copy', 'Copied');
  setTimeout(() => setText('copy', 'Copy SQL'), 1_500);
});
element('refresh').addEventListener('click', () => void start(true));

/** Without HTTPS, browsers offer the clipboard to pages of this machine only. @param {string} text */
async function copyText(text) {
  if (navigator.clipboard !== undefined) return await navigator.clipboard.writeText(text);
  const field = document.createElement('textarea');
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand('copy');
  field.remove();
}

/** @param {boolean} again */
async function start(again) {
  try {
    await loadNames(again);
    const known = selection ?? selectionInAddress();
    if (known !== null && names.some(({ name }) => name === known.name)) await select(known, 'chosen');
    else if (names[0] !== undefined) choose(names[0]);
    else setText('facts', 'Nothing is stored yet.');
  } catch (error) {
    report(error);
    setText('facts', '');
  }
}

void start(false);
