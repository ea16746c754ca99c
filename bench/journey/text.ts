/** Figures as text for people: numbers, spreads, names. */
import type { Spread } from '../compare/report.ts';
import type { Journey, OpenCell, RateKind, Variant } from './figures.ts';

const NONE = '–';

/** Three significant digits at most where a number is small, none behind the point where it is large. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en');
  if (size >= 10) return value.toFixed(1);
  return size >= 1 || size === 0 ? value.toFixed(2) : value.toPrecision(2);
}

export const percent = (share: number): string =>
  `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;

export const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

export const median = (spread: Spread | undefined, format = number): string =>
  spread === undefined ? NONE : format(spread.median);

export const range = (spread: Spread | undefined, format = number): string =>
  spread === undefined ? NONE : `${format(spread.min)}–${format(spread.max)}`;

export const factor = (value: number): string => `${number(value)}×`;

/** Without a range where all values are the same. */
export function medianAndRange(spread: Spread | undefined, format = number): string {
  if (spread === undefined) return NONE;
  return spread.min === spread.max
    ? format(spread.median)
    : `${format(spread.median)} (${range(spread, format)})`;
}

export const whole = (value: number): string => Math.round(value).toLocaleString('en');

/** `5, ring telemetry`. */
export function phaseName({ phases }: Journey, phase: number): string {
  return `${phase}, ${phases.find((row) => row.number === phase)?.name ?? 'unknown'}`;
}

/** What a phase replaced: `parser: naive → single-pass`. */
export function stepText({ phases }: Journey, phase: number): string {
  const row = phases.find((candidate) => candidate.number === phase);
  const before = phases.find((candidate) => candidate.number === phase - 1);
  if (!row || !before) return 'the baseline';
  const slots = Object.keys(row.slots) as (keyof typeof row.slots)[];
  return slots
    .filter((slot) => row.slots[slot] !== before.slots[slot])
    .map((slot) => `${slot}: ${before.slots[slot]} → ${row.slots[slot]}`)
    .join(', ');
}

export function variantText({ phase, revert }: Variant, { phases }: Journey): string {
  if (revert === undefined) return `phase ${phase} as it is`;
  const slots = phases.find((row) => row.number === phase)!.slots;
  const before = phases
    .filter((row) => row.number < phase)
    .findLast((row) => row.slots[revert] !== slots[revert]);
  return `${revert} reverted to ${before?.slots[revert] ?? slots[revert]}`;
}

export const RATE_TEXTS: Readonly<Record<RateKind, string>> = {
  fixed: '100 requests/s',
  baseline: "phase 0's saturation rate",
  below: '80% of the own saturation rate',
  above: '150% of the own saturation rate',
};

export const rateOf = (load: OpenCell): string => `${number(load.ratePerSecond)}/s`;

/** The machine, and what it was asked: stands with every table that comes from a run. */
export const originText = ({
  command,
  machine,
  date,
}: Pick<Journey, 'command' | 'machine' | 'date'>): string =>
  `Command: \`${command}\`. Machine: ${machine}; ${date}.`;
