/** The figures of a run: plain data, the whole of journey.json. All tables and charts are made from it alone. */
import type { OutcomeCounts } from '../../load-test/plan.ts';
import type { Phase, Slots } from '../../src/phases.ts';
import type { Origin } from '../report/origin.ts';

/** Goes up when older files can no longer be rendered. */
export const FORMAT = 1;

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

export interface Figures {
  /** Of the measured load; answers may come after it. */
  readonly seconds: number;
  readonly intended: number;
  readonly sent: number;
  readonly unsent: number;
  readonly outcomes: OutcomeCounts;
  readonly succeeded: number;
  /** Metrics of 2xx answers a second, from the first intended send time to the last answer. */
  readonly storedPerSecond: number;
  /** Of 2xx answers, from the intended send time; null where there was none. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly maxMs: number | null;
  /** Sends more than 1 ms after their time that had a free connection: the generator's doing. */
  readonly lateByGenerator: number;
  readonly generatorBusyShare: number;
  readonly generatorIsBottleneck: boolean;
  /** Of the whole server process, from the first request until it was idle again. */
  readonly cpuSeconds: number;
  /**
   * Metrics accepted by answers, and found in the files, in that time, the generator's short warm-up included. They
   * differ only by requests that got no answer, or the cell would have failed.
   */
  readonly accepted: number;
  readonly stored: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  /** Most threads of the process seen at once while the load ran. */
  readonly threads: number;
  /** Threads started to serve requests: one for each request that was not refused, where each gets its own. */
  readonly threadsStarted: number;
}

export interface Cell extends Variant {
  /** From 1. */
  readonly round: number;
  readonly batch: number;
  readonly load: ClosedCell | OpenCell;
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
