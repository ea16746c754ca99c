/** Which cells a run measures, and in which order. */
import { PHASES, type Slots, slotsOf } from '../../src/phases.ts';

export type RevertedSlot = keyof Slots;

/** Which server a cell ran. */
export interface Variant {
  readonly phase: number;
  /** The slot that ran as it was before its last change. */
  readonly revert?: RevertedSlot;
}

/** Offered rates of the open loop: fixed, phase 0's at saturation, below and above the phase's own at saturation. */
export const RATE_KINDS = ['fixed', 'baseline', 'below', 'above'] as const;
export type RateKind = (typeof RATE_KINDS)[number];

export interface ClosedCell {
  readonly kind: 'closed';
  readonly clients: number;
}

export interface OpenCell {
  readonly kind: 'open';
  readonly rateKind: RateKind;
  readonly ratePerSecond: number;
  /** Connections. */
  readonly clients: number;
}

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
const POOL_PHASE = 6;
const REVERT_SLOTS: readonly RevertedSlot[] = ['dispatch', 'writer', 'parser', 'limiter', 'telemetry'];

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
  return cells.sort((a, b) => RATE_KINDS.indexOf(a.load.rateKind) - RATE_KINDS.indexOf(b.load.rateKind));
}

const slotsAt = (phase: number): Slots => slotsOf({ phase, revert: 'none' });

/**
 * The last phase, then the worker pool's, each as it is and with one slot reverted. The pool's phase has the earlier step
 * of every slot that a later phase replaced once more.
 */
export const REVERT_VARIANTS: readonly Variant[] = [LAST_PHASE, POOL_PHASE].flatMap((phase) => {
  const isNew = (slot: RevertedSlot) =>
    phase === LAST_PHASE || slotsAt(phase)[slot] !== slotsAt(LAST_PHASE)[slot];
  return [{ phase }, ...REVERT_SLOTS.filter(isNew).map((revert) => ({ phase, revert }))];
});

export function revertCells(): PlannedCell[] {
  const load = { kind: 'closed', clients: REVERT_CLIENTS } as const;
  return REVERT_BATCHES.flatMap((batch) => REVERT_VARIANTS.map((variant) => ({ ...variant, batch, load })));
}
