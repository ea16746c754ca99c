/** Times as people write them on a command line or in a URL. */
import { MetricsStreamError } from '../base/errors.ts';
import { parseQuantity } from '../config/units.ts';

const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
const HAS_ZONE = /(?:Z|[+-]\d{2}:?\d{2})$/;

/**
 * Unix milliseconds. A date and time is in UTC unless it has an offset; a duration such as `2h` is so long before `nowMs`.
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function parseTime(option: string, text: string, nowMs: number): number {
  const trimmed = text.trim();
  if (/^-?\d{1,16}$/.test(trimmed)) return Number(trimmed);
  const agoMs = parseQuantity('duration', trimmed);
  if (typeof agoMs === 'number') return nowMs - agoMs;
  const timeMs = DATE.test(trimmed) ? Date.parse(withZone(trimmed.replace(' ', 'T'))) : Number.NaN;
  if (Number.isFinite(timeMs)) return timeMs;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `${option} ${text}: give a time such as 2026-11-28, 2026-11-28T10:30Z, Unix milliseconds, or 2h for two hours ago`,
  );
}

/** JavaScript reads a date and time without an offset as local time. */
function withZone(text: string): string {
  return HAS_ZONE.test(text) || !text.includes('T') ? text : `${text}Z`;
}
