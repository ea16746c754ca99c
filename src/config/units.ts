/**
 * Numbers with units, as operators write them. A bare number counts in the option's own unit: milliseconds, bytes, or
 * things.
 *
 * Each kind takes its own suffixes only: `30m` is half an hour as a duration, 30 MiB as a size and 30 million as a
 * rate, so a suffix of the wrong kind is refused instead of guessed.
 */
import { MIB, MS_PER_SECOND } from '../base/units.ts';

const MINUTE_MS = 60 * MS_PER_SECOND;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
const KIB = MIB / 1_024;
export const GIB = 1_024 * MIB;

interface Unit {
  /** Factor of each suffix, smallest first. */
  readonly factors: Readonly<Record<string, number>>;
  /** True where upper-case suffixes mean the same. */
  readonly anyCase: boolean;
  /** How to write a value, for error messages. */
  readonly advice: string;
}

const UNITS = {
  duration: {
    factors: { ms: 1, s: MS_PER_SECOND, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS },
    anyCase: false,
    advice: 'a duration takes ms, s, m, h or d: 30s or 5m, or a plain number of milliseconds',
  },
  size: {
    factors: { k: KIB, m: MIB, g: GIB },
    anyCase: true,
    advice: 'a size takes k, m or g (powers of 1,024): 64k or 8m, or a plain number of bytes',
  },
  rate: {
    factors: { k: 1e3, m: 1e6 },
    anyCase: true,
    advice: 'a rate takes k or m (powers of 1,000): 10k or 2m, or a plain number',
  },
  count: {
    factors: {},
    anyCase: true,
    advice: 'a count takes no suffix: write the number in full, such as 8000',
  },
} as const satisfies Record<string, Unit>;

export type Kind = keyof typeof UNITS;

const NUMBER = /^([+-]?\d+(?:\.\d+)?(?:e\+?\d+)?)\s*([a-z]*)$/i;

/** @returns the value in the kind's base unit, or a text that says how to write it */
export function parseQuantity(kind: Kind, text: string): number | string {
  const unit: Unit = UNITS[kind];
  const match = NUMBER.exec(text.trim());
  if (match === null) return unit.advice;
  const [, digits = '', suffix = ''] = match;
  if (suffix === '') return Number(digits);
  const factor = unit.factors[unit.anyCase ? suffix.toLowerCase() : suffix];
  if (factor === undefined) return `"${suffix}" does not fit here; ${unit.advice}`;
  // Bytes and milliseconds are whole; 1.1h must not fail for a fraction that binary floating point adds.
  return kind === 'rate' ? Number(digits) * factor : Math.round(Number(digits) * factor);
}

/** The shortest exact text that `parseQuantity` reads back: 3600000 ms are `1h`. */
export function formatQuantity(kind: Kind, value: number): string {
  if (kind !== 'size' && kind !== 'duration') return String(value);
  const fitting = Object.entries(UNITS[kind].factors).filter(([, factor]) => value % factor === 0);
  const [suffix, factor] = fitting.at(-1) ?? ['', 1];
  return value === 0 ? '0' : `${value / factor}${suffix}`;
}
