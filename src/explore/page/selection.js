/** The plot that is chosen. The address holds it, so that it can be shared and survives a reload. */

/** @typedef {'raw' | 'avg' | 'min' | 'max' | 'sum' | 'count' | 'rate' | 'p50' | 'p90' | 'p99' | 'percentiles'} Mode */

/**
 * @typedef {object} Selection
 * @property {string} name
 * @property {Mode} mode
 * @property {string} by '' for one line, '*' for each series, or the key of a tag
 * @property {Map<string, string>} where
 * @property {number} fromMs
 * @property {number} toMs
 */

/** @type {readonly [Mode, string][]} */
export const MODE_TEXTS = [
  ['avg', 'average'],
  ['raw', 'raw values'],
  ['min', 'least'],
  ['max', 'greatest'],
  ['sum', 'sum'],
  ['count', 'number of metrics'],
  ['rate', 'rate per second'],
  ['percentiles', 'p50, p90, p99'],
  ['p50', 'p50'],
  ['p90', 'p90'],
  ['p99', 'p99'],
];

/** The first plot of a metric, by its type. @param {string} type @returns {Mode} */
export function modeFor(type) {
  if (type === 'counter') return 'rate';
  return type === 'histogram' || type === 'summary' ? 'percentiles' : 'avg';
}

/** @param {Selection} selection */
export function parametersOf({ name, mode, by, where, fromMs, toMs }) {
  const parameters = new URLSearchParams({ name, mode, by, from: String(fromMs), to: String(toMs) });
  for (const [key, value] of where) {
    parameters.append('key', key);
    parameters.append('is', value);
  }
  return parameters;
}

/** @returns {Selection | null} */
export function selectionInAddress() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const name = parameters.get('name') ?? '';
  const fromMs = Number(parameters.get('from'));
  const toMs = Number(parameters.get('to'));
  const mode = MODE_TEXTS.find(([known]) => known === parameters.get('mode'))?.[0];
  if (name === '' || mode === undefined || !(toMs > fromMs)) return null;
  const values = parameters.getAll('is');
  const where = new Map(parameters.getAll('key').map((key, index) => [key, values[index] ?? '']));
  return { name, mode, by: parameters.get('by') ?? '', where, fromMs, toMs };
}

/** @param {Selection} selection */
export function putInAddress(selection) {
  history.replaceState(null, '', `#${parametersOf(selection)}`);
}
