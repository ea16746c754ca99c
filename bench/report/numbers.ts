/** Figures as text. */
import type { Range } from '../statistics.ts';

const NONE = '–';

/** Three significant digits at most for small numbers, no decimals for large ones. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 100) return whole(value);
  if (size >= 10) return value.toFixed(1);
  return size >= 1 || size === 0 ? value.toFixed(2) : value.toPrecision(2);
}

export const whole = (value: number): string => Math.round(value).toLocaleString('en');

export const percent = (share: number): string =>
  `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;

export const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

export const factor = (value: number): string => `${number(value)}×`;

export const thousands = (value: number): string => number(value / 1e3);

export const median = (range: Range | undefined, format = number): string =>
  range === undefined ? NONE : format(range.median);

export const minToMax = (range: Range | undefined, format = number): string =>
  range === undefined ? NONE : `${format(range.min)}–${format(range.max)}`;

/** The median, and the range unless all values are the same. */
export function withRange(range: Range | undefined, format = number): string {
  if (range === undefined) return NONE;
  return range.min === range.max
    ? format(range.median)
    : `${format(range.median)} (${minToMax(range, format)})`;
}

/** `1 metric`, `100 metrics`. */
export const plural = (count: number, noun: string): string =>
  `${whole(count)} ${noun}${count === 1 ? '' : 's'}`;

/** The median in front of the largest, such as resident memory and its peak. */
export const medianAndMax = (range: Range | undefined, format = number): string =>
  range === undefined ? NONE : `${format(range.median)} (${format(range.max)})`;

export const most = (range: Range | undefined, format = number): string =>
  range === undefined ? NONE : format(range.max);
