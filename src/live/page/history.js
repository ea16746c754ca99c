/**
 * The points of the last minutes, by column.
 *
 * Points are identified by their time, so plots continue across a restart of the server: its first message repeats
 * the points it knows, and only newer ones are appended.
 */

/** @typedef {import('../messages.ts').Columns} Columns */
/** @typedef {import('../messages.ts').Column} Column */
/** @typedef {import('../messages.ts').Point} Point */

export const WINDOW_SECONDS = 300;
/** Points further apart leave a gap in the plots. */
const GAP_SECONDS = 2.5;
/** If the server's clock steps back further than this, the points so far are dropped. */
const CLOCK_STEP_SECONDS = 5;

/** @type {Columns | null} */
let columns = null;

/** The points so far, or null before the first message. */
export const history = () => columns;

/** @param {Columns} known */
const names = (known) => /** @type {Column[]} */ (Object.keys(known));

/** @param {Columns} received */
export function mergeHistory(received) {
  if (columns === null) {
    columns = received;
    return;
  }
  received.time.forEach((_, at) => {
    const entries = names(received).map((name) => [name, received[name][at]]);
    appendPoint(Object.fromEntries(entries));
  });
}

/** @param {Point} point */
export function appendPoint(point) {
  if (columns === null) return;
  const last = columns.time.at(-1) ?? Number.NEGATIVE_INFINITY;
  const time = point.time ?? 0;
  if (time < last - CLOCK_STEP_SECONDS) for (const name of names(columns)) columns[name].length = 0;
  else if (time <= last) return;
  else if (time - last > GAP_SECONDS && columns.time.length > 0) {
    for (const name of names(columns)) columns[name].push(name === 'time' ? last + 1 : null);
  }
  for (const name of names(columns)) columns[name].push(point[name] ?? null);
  const old = columns.time.findIndex((known) => (known ?? 0) >= time - WINDOW_SECONDS);
  if (old > 0) for (const name of names(columns)) columns[name].splice(0, old);
}
