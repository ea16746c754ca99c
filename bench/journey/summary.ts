/** Medians, ranges, ratios and verdicts, from the cells of a run. */
import { type Range, rangeOf, ratiosWithinRounds, sum } from '../statistics.ts';
import type { Cell, Figures, Journey, Profile } from './figures.ts';
import type { RateKind, Variant } from './plan.ts';

/** How many times better the last phase has to be than the first. */
export const TARGET_FACTOR = 10;

export const answersOf = ({ outcomes }: Figures): number =>
  sum(Object.values(outcomes).map((count) => count ?? 0));

/** 2xx of all answers and of all requests that got none. */
export const successShare = (figures: Figures): number =>
  answersOf(figures) === 0 ? 0 : figures.succeeded / answersOf(figures);

/** Infinite where nothing was stored. */
export const cpuPerMillion = ({ cpuSeconds, stored }: Figures): number => cpuSeconds / (stored / 1e6);

export const metricsPerCpuSecond = ({ cpuSeconds, stored }: Figures): number => stored / cpuSeconds;

/** Of the cells that have the figure; undefined when none has. */
export function figureOf(cells: readonly Cell[], pick: Pick): Range | undefined {
  const values = cells
    .map(({ figures }) => pick(figures))
    .filter((value): value is number => value !== null && Number.isFinite(value));
  return values.length === 0 ? undefined : rangeOf(values);
}

export const ladderCellsOf = ({ ladder }: Journey, phase: number, clients: number): Cell[] =>
  ladder.filter((cell) => cell.phase === phase && cell.load.clients === clients);

export const openCellsOf = ({ open }: Journey, phase: number | undefined, rateKind: RateKind): Cell[] =>
  open.filter(({ phase: own, load }) => own === phase && load.kind === 'open' && load.rateKind === rateKind);

export const revertCellsOf = ({ reverts }: Journey, { phase, revert }: Variant, batch: number): Cell[] =>
  reverts.filter((cell) => cell.phase === phase && cell.revert === revert && cell.batch === batch);

/** The variants of the reverted slots, in the order in which they took turns. */
export const revertVariantsOf = ({ reverts }: Journey): Variant[] =>
  reverts
    .filter(({ round, batch }) => round === reverts[0]!.round && batch === reverts[0]!.batch)
    .map(({ phase, revert }) => ({ phase, ...(revert && { revert }) }));

export const revertBatchesOf = ({ reverts }: Journey): number[] => [
  ...new Set(reverts.map(({ batch }) => batch)),
];

export const phasesOf = ({ ladder }: Journey): number[] => [...new Set(ladder.map(({ phase }) => phase))];

export const clientsOf = ({ ladder }: Journey): number[] => [
  ...new Set(ladder.map(({ load }) => load.clients)),
];

export interface Saturation {
  /** The rung of the ladder with the most metrics stored a second. */
  readonly clients: number;
  readonly storedPerSecond: Range;
  readonly cells: readonly Cell[];
}

/** Undefined when the phase was not measured. */
export function saturationOf(cells: readonly Cell[], phase: number | undefined): Saturation | undefined {
  const own = cells.filter((cell) => cell.phase === phase);
  const rungs = [...new Set(own.map(({ load }) => load.clients))].map((clients) => {
    const rung = own.filter(({ load }) => load.clients === clients);
    return { clients, cells: rung, storedPerSecond: figureOf(rung, (f) => f.storedPerSecond)! };
  });
  return rungs.sort((a, b) => b.storedPerSecond.median - a.storedPerSecond.median)[0];
}

export type Pick = (figures: Figures) => number | null;

/** Undefined when no round has both. */
export function ratioOf(cells: readonly Cell[], against: readonly Cell[], pick: Pick): Range | undefined {
  const ratios = ratiosWithinRounds(cells, against, ({ figures }) => pick(figures));
  return ratios.length === 0 ? undefined : rangeOf(ratios);
}

/** A difference of more than this between two runs of the same code is common on a machine at rest. */
const NOISE = 0.03;

/** Whether a ratio is beyond the spread of the rounds and beyond noise, in one word for a table. */
export function changeOf(cells: readonly Cell[], against: readonly Cell[], pick: Pick): string {
  const ratio = ratioOf(cells, against, pick);
  const own = figureOf(cells, pick);
  const other = figureOf(against, pick);
  if (!ratio || !own || !other) return '–';
  if (own.min > other.max && ratio.median > 1 + NOISE) return 'more';
  return own.max < other.min && ratio.median < 1 - NOISE ? 'less' : 'within the spread';
}

export interface Headline {
  readonly figure: string;
  readonly first: Range;
  readonly last: Range;
  readonly ratio: Range;
  readonly met: boolean;
}

function headline(
  figure: string,
  [ratio, first, last]: readonly (Range | undefined)[],
): Headline | undefined {
  if (!ratio || !first || !last) return undefined;
  return { figure, ratio, met: ratio.median >= TARGET_FACTOR, first, last };
}

/** The last phase against the first: at saturation, and at the rate that saturates the first. */
export function headlinesOf(journey: Journey): Headline[] {
  const lastPhase = journey.phases.at(-1)!.number;
  const first = saturationOf(journey.ladder, 0)?.cells ?? [];
  const last = saturationOf(journey.ladder, lastPhase)?.cells ?? [];
  const slow = openCellsOf(journey, 0, 'baseline');
  const quick = openCellsOf(journey, lastPhase, 'baseline');
  const stored: Pick = (f) => f.storedPerSecond;
  const p99: Pick = (f) => f.p99Ms;
  const headlines = [
    headline('metrics stored a second at saturation', [
      ratioOf(last, first, stored),
      figureOf(first, stored),
      figureOf(last, stored),
    ]),
    headline("p99, ms, at phase 0's saturation rate", [
      ratioOf(slow, quick, p99),
      figureOf(slow, p99),
      figureOf(quick, p99),
    ]),
  ];
  return headlines.filter((one) => one !== undefined);
}

export function profileOf({ profiles }: Journey, phase: number | undefined): Profile | undefined {
  return profiles.find((profile) => profile.phase === phase && profile.revert === undefined);
}

/** 0 where the profile has no such share. */
export function shareOf(profile: Profile, wanted: (name: string) => boolean): number {
  return sum(profile.shares.filter(({ name }) => wanted(name)).map(({ share }) => share));
}
