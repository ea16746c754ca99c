/** Which cells a run measures, in which order, and how long that takes. */
import { PHASES } from '../../src/phases.ts';
import { startsThreads } from './cell.ts';
import type { ClosedCell, OpenCell, RateKind, RevertedSlot, Variant } from './figures.ts';

const LADDER_CLIENTS = [10, 20, 50, 100, 150] as const;
export const BATCH = 100;
/** Enough that no request waits for a connection while the server keeps up. */
export const OPEN_CLIENTS = 150;
const FIXED_RATE = 100;
const REVERT_BATCHES = [1, 100, 1_000] as const;
const REVERT_CLIENTS = 50;
/** No more than may have a thread at once, so that the profile shows requests served and not requests refused. */
export const PROFILE_CLIENTS = 20;
/** Shares of the phase's own rate at saturation. */
const OWN_RATES = { below: 0.8, above: 1.5 } as const;

export const LAST_PHASE = PHASES.at(-1)!.number;
export const REVERT_SLOTS: readonly RevertedSlot[] = ['dispatch', 'writer', 'parser', 'limiter', 'telemetry'];

export interface PlannedCell extends Variant {
  readonly batch: number;
  readonly load: ClosedCell | OpenCell;
}

/** Phases take turns on each rung, so that a noisy neighbour hits all alike. */
export function ladderCells(phases: readonly number[]): PlannedCell[] {
  return LADDER_CLIENTS.flatMap((clients) =>
    phases.map((phase) => ({ phase, batch: BATCH, load: { kind: 'closed' as const, clients } })),
  );
}

/** @param saturation requests a second of each phase at saturation */
export function openCells(phases: readonly number[], saturation: ReadonlyMap<number, number>): PlannedCell[] {
  const ratesOf = (phase: number): [RateKind, number | undefined][] => {
    const own = saturation.get(phase);
    return [
      ['fixed', FIXED_RATE],
      ['baseline', saturation.get(0)],
      ['below', own && own * OWN_RATES.below],
      ['above', own && own * OWN_RATES.above],
    ];
  };
  const cells = phases.flatMap((phase) =>
    ratesOf(phase).flatMap(([rateKind, rate]): (PlannedCell & { load: OpenCell })[] => {
      if (!rate) return [];
      const load: OpenCell = { kind: 'open', rateKind, ratePerSecond: rate, clients: OPEN_CLIENTS };
      return [{ phase, batch: BATCH, load }];
    }),
  );
  const order: readonly RateKind[] = ['fixed', 'baseline', 'below', 'above'];
  return cells.sort((a, b) => order.indexOf(a.load.rateKind) - order.indexOf(b.load.rateKind));
}

export function revertCells(): PlannedCell[] {
  const variants: Variant[] = [
    { phase: LAST_PHASE },
    ...REVERT_SLOTS.map((revert) => ({ phase: LAST_PHASE, revert })),
  ];
  return REVERT_BATCHES.flatMap((batch) =>
    variants.map((variant) => ({
      ...variant,
      batch,
      load: { kind: 'closed' as const, clients: REVERT_CLIENTS },
    })),
  );
}

/** Start, waits for an idle process, the check of the files, stop. */
const OVERHEAD_SECONDS = 3;
/** Requests under way at the end of a load, where each takes seconds. */
const DRAIN_SECONDS = 3;

/** A first guess; a run corrects it by how long its cells really took. */
export function expectedSeconds(variant: Variant, seconds: number, warmUpSeconds: number): number {
  const threads = startsThreads(variant);
  return OVERHEAD_SECONDS + seconds + (threads ? warmUpSeconds / 3 + DRAIN_SECONDS : warmUpSeconds);
}
