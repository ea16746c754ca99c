/** Medians, spreads, ratios and verdicts, from the cells of a run. */
import { type Spread, spreadOf } from '../compare/report.ts';
import type { Cell, Figures, Journey, Profile, RateKind, RevertedSlot } from './figures.ts';

/** How many times better the last phase has to be than the first. */
export const TARGET_FACTOR = 10;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export const answersOf = ({ outcomes }: Figures): number =>
  sum(Object.values(outcomes).map((count) => count ?? 0));

/** 2xx of all answers and of all requests that got none. */
export const successShare = (figures: Figures): number =>
  answersOf(figures) === 0 ? 0 : figures.succeeded / answersOf(figures);

/** Infinite where nothing was stored. */
export const cpuPerMillion = ({ cpuSeconds, stored }: Figures): number => cpuSeconds / (stored / 1e6);

export const metricsPerCpuSecond = ({ cpuSeconds, stored }: Figures): number => stored / cpuSeconds;

/** Of the cells that have the figure; undefined when none has. */
export function figureOf(
  cells: readonly Cell[],
  pick: (figures: Figures) => number | null,
): Spread | undefined {
  const values = cells
    .map(({ figures }) => pick(figures))
    .filter((value): value is number => value !== null && Number.isFinite(value));
  return values.length === 0 ? undefined : spreadOf(values);
}

export const ladderCellsOf = ({ ladder }: Journey, phase: number, clients: number): Cell[] =>
  ladder.filter((cell) => cell.phase === phase && cell.load.clients === clients);

export const openCellsOf = ({ open }: Journey, phase: number, rateKind: RateKind): Cell[] =>
  open.filter(({ phase: own, load }) => own === phase && load.kind === 'open' && load.rateKind === rateKind);

export const revertCellsOf = (
  { reverts }: Journey,
  revert: RevertedSlot | undefined,
  batch: number,
): Cell[] => reverts.filter((cell) => cell.revert === revert && cell.batch === batch);

export const phasesOf = ({ ladder }: Journey): number[] => [...new Set(ladder.map(({ phase }) => phase))];

export const clientsOf = ({ ladder }: Journey): number[] => [
  ...new Set(ladder.map(({ load }) => load.clients)),
];

export interface Saturation {
  readonly phase: number;
  /** The rung of the ladder with the most metrics stored a second. */
  readonly clients: number;
  readonly storedPerSecond: Spread;
  readonly cells: readonly Cell[];
}

/** Undefined when the phase was not measured. */
export function saturationOf(cells: readonly Cell[], phase: number): Saturation | undefined {
  const own = cells.filter((cell) => cell.phase === phase);
  const rungs = [...new Set(own.map(({ load }) => load.clients))].map((clients) => {
    const rung = own.filter(({ load }) => load.clients === clients);
    return { phase, clients, cells: rung, storedPerSecond: figureOf(rung, (f) => f.storedPerSecond)! };
  });
  return rungs.sort((a, b) => b.storedPerSecond.median - a.storedPerSecond.median)[0];
}

/** Ratios of two sets of cells, each formed within one round; undefined when no round has both. */
export function ratioOf(
  cells: readonly Cell[],
  against: readonly Cell[],
  pick: (figures: Figures) => number | null,
): Spread | undefined {
  const ratios = cells.flatMap((cell) => {
    const other = against.find(({ round }) => round === cell.round);
    const ratio = (pick(cell.figures) ?? Number.NaN) / ((other && pick(other.figures)) ?? Number.NaN);
    return Number.isFinite(ratio) ? [ratio] : [];
  });
  return ratios.length === 0 ? undefined : spreadOf(ratios);
}

/** Beyond the spread of the rounds and by more than a machine at rest differs from itself; or neither. */
export type Change = 'more' | 'less' | 'none';

const NOISE = 0.03;

export interface Comparison {
  /** Formed within rounds. */
  readonly ratio: Spread;
  readonly change: Change;
}

/** Undefined when no round has both. */
export function compare(
  cells: readonly Cell[],
  against: readonly Cell[],
  pick: (figures: Figures) => number | null,
): Comparison | undefined {
  const ratio = ratioOf(cells, against, pick);
  const own = figureOf(cells, pick);
  const other = figureOf(against, pick);
  if (!ratio || !own || !other) return undefined;
  if (own.min > other.max && ratio.median > 1 + NOISE) return { ratio, change: 'more' };
  return { ratio, change: own.max < other.min && ratio.median < 1 - NOISE ? 'less' : 'none' };
}

export interface Headline {
  readonly name: string;
  readonly ratio: Spread;
  readonly met: boolean;
  readonly first: Spread;
  readonly last: Spread;
}

export interface Headlines {
  readonly throughput?: Headline;
  readonly p99?: Headline;
}

function headline(
  name: string,
  ratio: Spread | undefined,
  first: Spread | undefined,
  last: Spread | undefined,
): Headline | undefined {
  if (!ratio || !first || !last) return undefined;
  return { name, ratio, met: ratio.median >= TARGET_FACTOR, first, last };
}

/** The last phase against the first: at saturation, and at the rate that saturates the first. */
export function headlinesOf(journey: Journey): Headlines {
  const lastPhase = journey.phases.at(-1)!.number;
  const first = saturationOf(journey.ladder, 0);
  const last = saturationOf(journey.ladder, lastPhase);
  const stored = (f: Figures): number => f.storedPerSecond;
  const throughput =
    first &&
    last &&
    headline(
      'metrics stored a second at saturation',
      ratioOf(last.cells, first.cells, stored),
      first.storedPerSecond,
      last.storedPerSecond,
    );
  const slow = openCellsOf(journey, 0, 'baseline');
  const quick = openCellsOf(journey, lastPhase, 'baseline');
  const p99Of = (f: Figures): number | null => f.p99Ms;
  const p99 = headline(
    "p99 at the first phase's saturation rate",
    ratioOf(slow, quick, p99Of),
    figureOf(slow, p99Of),
    figureOf(quick, p99Of),
  );
  return { ...(throughput && { throughput }), ...(p99 && { p99 }) };
}

export function profileOf({ profiles }: Journey, phase: number): Profile | undefined {
  return profiles.find((profile) => profile.phase === phase && profile.revert === undefined);
}

/** 0 where the profile has no such share. */
export function shareOf(profile: Profile, wanted: (name: string) => boolean): number {
  return sum(profile.shares.filter(({ name }) => wanted(name)).map(({ share }) => share));
}
