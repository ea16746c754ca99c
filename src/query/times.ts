/** Times as people write them on a command line or in a URL. */
import { MetricsStreamError } from '../base/errors.ts';
import { parseQuantity } from '../config/units.ts';

const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
const HAS_ZONE = /(?:Z|[+-]\d{2}:?\d{2})$/;
/** DuckDB's TIMESTAMP ends at 2^63 microseconds. */
const TIME_MS_MAX = 9.2e15;

/**
 * Unix milliseconds. A date and time is in UTC unless it has an offset; a duration such as `2h` counts back from `nowMs`.
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function parseTime(option: string, text: string, nowMs: number): number {
  const timeMs = timeOf(text.trim(), nowMs);
  if (Math.abs(timeMs) <= TIME_MS_MAX) return timeMs;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `${option} ${text}: give a time such as 2026-11-28, 2026-11-28T10:30Z, Unix milliseconds, or 2h for two hours ago`,
  );
}

/** NaN for a text in no known form. */
function timeOf(text: string, nowMs: number): number {
  if (/^-?\d{1,16}$/.test(text)) return Number(text);
  const agoMs = parseQuantity('duration', text);
  if (typeof agoMs === 'number') return nowMs - agoMs;
  return DATE.test(text) ? Date.parse(withZone(text.replace(' ', 'T'))) : Number.NaN;
}

/** JavaScript reads a date and time without an offset as local time. */
function withZone(text: string): string {
  return HAS_ZONE.test(text) || !text.includes('T') ? text : `${text}Z`;
}
