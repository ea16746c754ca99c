/** A fault, injected into a real server and judged from outside: what a row of docs/reliability.md is made of. */
import type { Owner } from '../../support/server-process.ts';

/** short: seconds, for every test run. long: as often as it takes to believe it. */
export type Form = 'short' | 'long';

/** Metrics are counted by unique names, each sent once: what the answers said against what the files hold. */
export interface FaultTally {
  /** How often the fault struck. */
  readonly tries: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** 504, a reset, or no answer: stored or not. */
  readonly unknown: number;
  /** Acknowledged and not stored. */
  readonly lost: number;
  readonly refusedButStored: number;
  /** Slowest: from the end of the fault (or from the restart) to the first success; null where nothing recovers. */
  readonly recoveryMs: number | null;
  /** What else was seen, in a few words. */
  readonly note?: string;
}

export interface FaultCase {
  readonly name: string;
  /** What is done to the server, for people. */
  readonly fault: string;
  /** What the server promises meanwhile and after. */
  readonly promise: string;
  /** Most metrics acknowledged and lost that the promise allows; 0 but for `--ack received`. */
  readonly lossBound: (tally: FaultTally) => number;
  /** Why it cannot be tried on this machine, or null. */
  readonly unavailable?: () => string | null;
  readonly run: (owner: Owner, form: Form) => Promise<FaultTally>;
}
