/** The lists around the plot: names, choices, series. */
import { element, setText } from '../../live/page/document.js';
import { count } from '../../live/page/format.js';
import { valueText } from './chart.js';
import { MODE_TEXTS } from './selection.js';

/** @typedef {import('./api.js').NameRow} NameRow */
/** @typedef {import('./api.js').SeriesAnswer} SeriesAnswer */
/** @typedef {import('./selection.js').Selection} Selection */

const NAMES_SHOWN = 500;

/** @param {NameRow[]} names @param {string} filter @param {string} chosen @param {(row: NameRow) => void} onChoose */
export function showNames(names, filter, chosen, onChoose) {
  const words = filter.toLowerCase().split(/\s+/);
  const fitting = names.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  const items = fitting.slice(0, NAMES_SHOWN).map((row) => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    const facts = document.createElement('small');
    button.type = 'button';
    button.textContent = row.name;
    button.setAttribute('aria-current', String(row.name === chosen));
    facts.textContent = `${row.type}, ${count(row.series)} series, ${count(row.count)} metrics`;
    button.append(facts);
    button.addEventListener('click', () => onChoose(row));
    item.append(button);
    return item;
  });
  element('names').replaceChildren(...items);
  const hidden = fitting.length - items.length;
  setText(
    'names-title',
    hidden > 0 ? `Names (${count(hidden)} more: filter them)` : `Names (${fitting.length})`,
  );
}

/** @param {string} id @param {readonly (readonly [value: string, text: string])[]} options @param {string} chosen */
export function fillSelect(id, options, chosen) {
  const place = /** @type {HTMLSelectElement} */ (element(id));
  place.replaceChildren(...options.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

/** @param {Selection} selection @param {SeriesAnswer} answer @param {(key: string, value: string) => void} onCondition */
export function showChoices(selection, { tags }, onCondition) {
  const keys = [...new Set(tags.map(({ key }) => key))];
  fillSelect('mode', MODE_TEXTS, selection.mode);
  const byKey = keys.map((key) => /** @type {const} */ ([key, `by ${key}`]));
  fillSelect('by', [['', 'all in one'], ['*', 'each series'], ...byKey], selection.by);
  const labels = keys.map((key) => {
    const label = document.createElement('label');
    const select = document.createElement('select');
    const values = tags.filter((tag) => tag.key === key);
    select.name = key;
    select.append(new Option('any', ''));
    for (const { value, count: metrics } of values)
      select.append(
        new Option(`${value} (${count(metrics)})`, `=${value}`, false, selection.where.get(key) === value),
      );
    select.addEventListener('change', () => onCondition(key, select.value));
    label.append(`${key} `, select);
    return label;
  });
  element('conditions').replaceChildren(...labels);
}

/** @param {SeriesAnswer} answer */
export function showSeries({ series, total }) {
  const rows = series.map(({ tags, count: metrics, value, lastMs }) => {
    const row = document.createElement('tr');
    const text = Object.entries(tags).map(([key, of]) => `${key}=${of}`);
    const cells = [text.join(' ') || '(no tags)', count(metrics), valueText(value), timeText(lastMs)];
    row.append(
      ...cells.map((cell, index) => {
        const place = document.createElement('td');
        place.textContent = cell;
        if (index === 3) place.className = 'wide';
        return place;
      }),
    );
    return row;
  });
  element('series').replaceChildren(...rows);
  const shown = series.length < total ? `, the first ${series.length} shown` : '';
  setText('series-title', `Series (${count(total)}${shown})`);
}

/** UTC, to the second. @param {number} ms */
export const timeText = (ms) => new Date(ms).toISOString().replace('T', ' ').slice(0, 19);
