/** Requests to the server. A newer request aborts the running one for the same path. */

/**
 * @typedef {object} NameRow
 * @property {string} name
 * @property {string} type
 * @property {number} series
 * @property {number} count
 * @property {number} firstMs
 * @property {number} lastMs
 */

/** @typedef {{ names: NameRow[], leftOut: string | null }} Names */

/** @typedef {{ tags: Record<string, string>, count: number, value: number, lastMs: number }} SeriesRow */

/**
 * @typedef {object} SeriesAnswer
 * @property {{ key: string, value: string, count: number }[]} tags
 * @property {SeriesRow[]} series
 * @property {number} total
 */

/**
 * @typedef {object} PlotAnswer
 * @property {string} sql
 * @property {boolean} more
 * @property {number} stepMs
 * @property {string[]} labels
 * @property {(number | null)[][]} columns
 */

/** @type {Map<string, AbortController>} */
const running = new Map();

/**
 * @param {string} path
 * @param {URLSearchParams} [parameters]
 * @returns {Promise<unknown>} rejects with an AbortError when a newer request replaced this one
 */
export async function request(path, parameters = new URLSearchParams()) {
  running.get(path)?.abort();
  const controller = new AbortController();
  running.set(path, controller);
  const response = await fetch(`${path}?${parameters}`, { signal: controller.signal });
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail);
  return body;
}

/** @param {unknown} error */
export const wasReplaced = (error) => error instanceof DOMException && error.name === 'AbortError';
