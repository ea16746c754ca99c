/** Draws the hub from /progress.json, and again when it has changed. */

/**
 * @typedef {{ id: string, title: string, minutes: number, state: 'passed' | 'given' | 'next' | 'open' }} Step
 * @typedef {{ number: string, title: string, level: string, steps: Step[] }} Phase
 * @typedef {{ symptom: string, shows: string, phase?: string, causes?: Symptom[] }} Symptom
 * @typedef {{ median: number, min: number, max: number }} Figure
 * @typedef {{ name: string, before: Figure, yours: Figure, reference: Figure }} Row
 * @typedef {{ before: string, yours: string, reference: string }} Columns
 * @typedef {{ at: string, phase: string, guess: number | null, unit: string, columns?: Columns, rows: Row[] }} Run
 * @typedef {{ current: string | null, phases: Phase[], symptoms: Symptom[], runs: Run[] }} Progress
 */

const REFRESH_MS = 2_000;
const PLOT_HEIGHT = 240;
const PLOT_WIDTH_MAX = 700;
/** Room for 100,000. */
const AXIS_WIDTH = 70;
/** Figures further apart than this are drawn on a logarithmic axis: else the smaller ones would lie on the zero line. */
const WIDE_RATIO = 20;
const SIGNS = { passed: '●', given: '◐', next: '▶', open: '○' };
const WORDS = { passed: 'passed', given: 'filled in', next: 'next', open: 'open' };

/** @param {string} id */
function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found;
}

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} [className]
 */
function element(tag, text, className = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className !== '') made.className = className;
  return made;
}

/** Text whose parts in backquotes are code. @param {string} text */
function withCode(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? element('code', part) : new Text(part)));
}

/** @param {Step} step */
const isDone = ({ state }) => state === 'passed' || state === 'given';

/** @param {Phase} phase @param {boolean} isCurrent */
function phaseCard({ number, title, level, steps }, isCurrent) {
  const card = document.createElement('li');
  card.id = `phase-${number}`;
  if (isCurrent) card.setAttribute('aria-current', 'step');
  const done = steps.filter(isDone).length;
  const list = element('ul', '', 'steps');
  for (const step of steps) {
    const item = element('li', `${SIGNS[step.state]} ${step.id} ${step.title}`, step.state);
    item.title = `${WORDS[step.state]}; about ${step.minutes} minutes`;
    list.append(item);
  }
  // A learner may fill in a late step while earlier ones are open.
  const left = steps.filter((step) => !isDone(step)).reduce((sum, { minutes }) => sum + minutes, 0);
  const rest = done === steps.length ? 'done' : `about ${left} minutes left`;
  card.append(
    element('h3', `${number} ${title}`),
    element('p', `${level}: ${done} of ${steps.length} steps, ${rest}`, 'level'),
    list,
    element('code', `npm run learn start ${number}`),
  );
  return card;
}

/** @param {Symptom} symptom @param {Phase[]} phases @returns {HTMLElement} */
function branch({ symptom, shows, phase, causes = [] }, phases) {
  const details = document.createElement('details');
  const evidence = element('p', '', 'shows');
  evidence.append('shown by ', ...withCode(shows));
  details.append(element('summary', symptom), evidence);
  if (phase !== undefined) {
    const title = phases.find(({ number }) => number === phase)?.title ?? '';
    const link = /** @type {HTMLAnchorElement} */ (element('a', `phase ${phase}: ${title}`));
    link.href = `#phase-${phase}`;
    const line = element('p', '→ ', 'shows');
    line.append(link);
    details.append(line);
  }
  details.append(...causes.map((next) => branch(next, phases)));
  return details;
}

/** @param {string} name a colour of palette.css */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** @param {Run[]} runs of one phase @param {HTMLElement} parent */
function drawRuns(runs, parent) {
  const {
    phase,
    unit,
    rows,
    columns = { before: 'before', yours: 'yours', reference: 'reference' },
  } = /** @type {Run} */ (runs.at(-1));
  const holder = element('div', '', 'plot');
  holder.id = `runs-${phase}`;
  const medians = (/** @type {'before' | 'yours' | 'reference'} */ key) =>
    runs.map((run) => run.rows[0]?.[key].median ?? null);
  const [before, yours, reference] = [medians('before'), medians('yours'), medians('reference')];
  const figures = [...before, ...yours, ...reference].flatMap((figure) => figure || []);
  const isWide = Math.max(...figures) > WIDE_RATIO * Math.min(...figures);
  const title = `phase ${phase}: ${rows[0]?.name ?? ''}, ${unit}${isWide ? ', logarithmic' : ''}`;
  parent.append(element('h3', title), holder);
  const grid = { stroke: color('line'), width: 1 };
  const axis = { stroke: color('soft'), grid };
  const series = (/** @type {string} */ label, /** @type {string} */ tone) => ({
    label,
    stroke: color(tone),
    width: 2,
    points: { show: true, size: 7 },
  });
  new uPlot(
    {
      width: Math.min(PLOT_WIDTH_MAX, parent.clientWidth),
      height: PLOT_HEIGHT,
      scales: {
        x: { time: false },
        y: isWide ? { distr: 3 } : { range: (_plot, _low, high) => [0, high * 1.1] },
      },
      axes: [
        { ...axis, incrs: [1, 2, 5, 10, 50] },
        { ...axis, size: AXIS_WIDTH },
      ],
      series: [
        { label: 'run' },
        series(columns.before, 's1'),
        series(columns.yours, 's0'),
        series(columns.reference, 's2'),
      ],
    },
    [runs.map((_, index) => index + 1), before, yours, reference],
    holder,
  );
}

/** @param {Progress} progress */
function draw({ current, phases, symptoms, runs }) {
  const steps = phases.flatMap((phase) => phase.steps);
  const done = steps.filter(isDone).length;
  byId('summary').textContent = `${done} of ${steps.length} steps`;
  byId('map').replaceChildren(...phases.map((phase) => phaseCard(phase, phase.number === current)));
  const tree = byId('tree');
  // Drawn once, so that opened branches stay open.
  if (tree.childElementCount === 0) tree.append(...symptoms.map((symptom) => branch(symptom, phases)));
  const plots = byId('runs');
  plots.replaceChildren();
  byId('no-runs').hidden = runs.length > 0;
  for (const { number } of phases) {
    const own = runs.filter(({ phase }) => phase === number);
    if (own.length > 0) drawRuns(own, plots);
  }
}

let drawn = '';

async function refresh() {
  try {
    const response = await fetch('progress.json');
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    if (text !== drawn) draw(JSON.parse(text));
    drawn = text;
  } catch (error) {
    byId('summary').textContent = `the hub has ended or cannot read its state: ${error}`;
    drawn = '';
  }
}

await refresh();
setInterval(refresh, REFRESH_MS);

export {};
