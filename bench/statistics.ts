/** Statistics of repeated measurements: quartiles of many rounds, the range of few, ratios within a round. */

export interface Quartiles {
  readonly p25: number;
  readonly p50: number;
  readonly p75: number;
}

/** For a handful of rounds, of which quartiles would say nothing. */
export interface Range {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export const mean = (values: readonly number[]): number => sum(values) / values.length;

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** Interpolates between neighbours. @param share from 0 to 1 @returns NaN when there are no values */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function quartilesOf(values: readonly number[]): Quartiles {
  const sorted = ascending(values);
  return { p25: quantile(sorted, 0.25), p50: quantile(sorted, 0.5), p75: quantile(sorted, 0.75) };
}

export function rangeOf(values: readonly number[]): Range {
  const sorted = ascending(values);
  return {
    median: quantile(sorted, 0.5),
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  };
}

export const medianOf = (values: readonly number[]): number => quantile(ascending(values), 0.5);

export type QuartilesOf<Figures> = { readonly [Name in keyof Figures]: Quartiles };

/** Quartiles of each figure that the rounds have. @param rounds at least one */
export function quartilesOfEach<Figures extends object>(rounds: readonly Figures[]): QuartilesOf<Figures> {
  const names = Object.keys(rounds[0]!) as (keyof Figures)[];
  const entries = names.map((name) => [name, quartilesOf(rounds.map((round) => round[name] as number))]);
  return Object.fromEntries(entries) as QuartilesOf<Figures>;
}

/**
 * Ratios formed within one round, so that a disturbance of the machine hits both sides.
 * @returns nothing for rounds that only one side has, or whose ratio is not finite
 */
export function ratiosWithinRounds<Cell extends { readonly round: number }>(
  cells: readonly Cell[],
  against: readonly Cell[],
  figureOf: (cell: Cell) => number | null,
): number[] {
  return cells.flatMap((cell) => {
    const other = against.find(({ round }) => round === cell.round);
    const ratio = (figureOf(cell) ?? Number.NaN) / ((other && figureOf(other)) ?? Number.NaN);
    return Number.isFinite(ratio) ? [ratio] : [];
  });
}

/** Shares of the whole by name, the largest first. */
export function sharesOf(counts: ReadonlyMap<string, number>): { name: string; share: number }[] {
  const total = sum([...counts.values()]);
  return [...counts]
    .map(([name, count]) => ({ name, share: count / total }))
    .sort((a, b) => b.share - a.share);
}
