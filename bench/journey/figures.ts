/** The figures of a run: plain data, the whole of journey.json. All tables and charts are made from it alone. */
import type { Phase } from '../../src/phases.ts';
import type { Origin } from '../report/origin.ts';
import type { measureCell } from './cell.ts';
import type { PlannedCell, Variant } from './plan.ts';

/** Goes up when older files can no longer be rendered. */
export const FORMAT = 1;

export type Figures = Awaited<ReturnType<typeof measureCell>>;

export interface Cell extends PlannedCell {
  /** From 1. */
  readonly round: number;
  readonly figures: Figures;
}

export interface ProfileShare {
  readonly name: string;
  /** Of the samples in which the process had the core. */
  readonly share: number;
}

export interface Profile extends Variant {
  readonly tool: 'perf';
  readonly clients: number;
  readonly batch: number;
  readonly storedPerSecond: number;
  readonly samples: number;
  /** Share of the core's time that the process did not use. */
  readonly idleShare: number;
  readonly shares: readonly ProfileShare[];
  /** The most costly functions by self time. */
  readonly functions: readonly ProfileShare[];
}

export interface Journey extends Origin {
  readonly format: typeof FORMAT;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Arguments of every server but the phase, the revert, the port and the directory. */
  readonly serverArgs: readonly string[];
  readonly phases: readonly Phase[];
  /** Metrics a request in the ladder and the open loop. */
  readonly batch: number;
  readonly openClients: number;
  readonly ladder: readonly Cell[];
  readonly open: readonly Cell[];
  readonly reverts: readonly Cell[];
  readonly profiles: readonly Profile[];
  /** Where the profiles come from, if not from the same run. */
  readonly profiled?: Origin;
  /** Cells that could not be measured, or whose files disagreed with the answers. */
  readonly failures: readonly string[];
}
