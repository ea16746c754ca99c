/** Numbers as people read them. */

/** @param {unknown} value @returns {value is number} */
export const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const ABSENT = '–';

/** @param {number} value */
const digits = (value) => String(+value.toPrecision(3));

/** @param {number} value */
export const count = (value) => whole.format(value);

/** @param {number | null | undefined} value */
export function rate(value) {
  if (!isNumber(value)) return ABSENT;
  if (value >= 1e6) return `${digits(value / 1e6)}M`;
  if (value >= 1e4) return `${digits(value / 1e3)}k`;
  return value >= 10 ? count(value) : String(+value.toFixed(2));
}

/** @param {number | null | undefined} value */
export function millis(value) {
  if (!isNumber(value)) return ABSENT;
  if (value >= 1000) return `${digits(value / 1000)} s`;
  return value >= 1 || value === 0 ? `${digits(value)} ms` : `${digits(value * 1000)} µs`;
}

/** @param {number | null | undefined} value */
export function bytes(value) {
  if (!isNumber(value)) return ABSENT;
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  return `${digits(scaled)} ${units[unit]}`;
}

/** @type {readonly (readonly [seconds: number, unit: string])[]} */
const DURATION_UNITS = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
];

/** The two largest units of a duration. @param {number} seconds */
export function duration(seconds) {
  const largest = Math.max(
    0,
    DURATION_UNITS.findIndex(([size]) => seconds >= size),
  );
  let rest = seconds;
  return DURATION_UNITS.slice(largest, largest + 2)
    .map(([size, unit]) => {
      const units = Math.floor(rest / size);
      rest -= units * size;
      return `${units} ${unit}`;
    })
    .join(' ');
}
