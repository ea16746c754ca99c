// Queries and panels that the rows of the dashboard are made of.

export const SERVER = 'job=~"$job", instance=~"$instance"';

/** A metric of the selected servers. `labels` narrow it further. */
export const own = (name, labels = '') =>
  `metricsstream_${name}{${SERVER}${labels === '' ? '' : `, ${labels}`}}`;
export const rate = (name, labels) => `rate(${own(name, labels)}[$__rate_interval])`;
export const sumRate = (name, { by = '', labels = '' } = {}) =>
  `sum${by === '' ? '' : ` by (${by})`} (${rate(name, labels)})`;
export const quantile = (q, name, { by = '', labels = '' } = {}) =>
  `histogram_quantile(${q}, ${sumRate(`${name}_bucket`, { by: by === '' ? 'le' : `${by}, le`, labels })})`;
export const mean = (name, by) => `${sumRate(`${name}_sum`, { by })} / ${sumRate(`${name}_count`, { by })}`;
export const query = (expr, legend, more = {}) => ({ expr, legend, ...more });

export const SERVED = 'code="2xx"';
export const BREAKER_STATES = [
  {
    type: 'value',
    options: {
      0: { text: 'closed', color: 'green', index: 0 },
      1: { text: 'open', color: 'red', index: 1 },
      2: { text: 'half-open', color: 'orange', index: 2 },
    },
  },
];

export function thresholds(...steps) {
  return {
    mode: 'absolute',
    steps: steps.map(([color, value]) => ({ color, value: value ?? null })),
  };
}

export const GREEN = thresholds(['green']);

/** One panel; `queries` are in the order of its legend. */
export function panel(type, title, description, unit, queries, more = {}) {
  return { type, title, description, unit, queries, width: 8, height: 8, ...more };
}
export const stat = (title, description, unit, expr, steps, more = {}) =>
  panel('stat', title, description, unit, [query(expr, '')], { width: 4, height: 4, steps, ...more });
export const lines = (...args) => panel('timeseries', ...args);
export const stacked = (title, description, unit, queries, more) =>
  panel('timeseries', title, description, unit, queries, { stacked: true, ...more });
export const heatmap = (title, description, expr, more) =>
  panel('heatmap', title, description, 's', [query(expr, '{{le}}', { format: 'heatmap' })], more);
