/** A fault, injected into a real server and judged from outside: what a row of docs/results/reliability.md is made of. */
import type { Owner } from '../../support/clean-up.ts';

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
  /**
   * Most metrics acknowledged and lost that the promise allows: 0, or under `--ack received` and `written` what the
   * server's gauges named as not yet safe just before the fault, and what it acknowledged since.
   */
  readonly lossBound: number;
  readonly refusedButStored: number;
  /** Segment files begun meanwhile. */
  readonly segments: number;
  /** Slowest: from the end of the fault (or from the restart) to the first success; null where nothing fails. */
  readonly recoveryMs: number | null;
  /** Further observations in a few words. */
  readonly note?: string;
}

export interface FaultCase {
  /** `<fault>, phase <n>, <ack>`, or as much of it as tells it from the others. */
  readonly name: string;
  /** The injury to the server, in words. */
  readonly fault: string;
  /** The server's promise during and after it. */
  readonly promise: string;
  /** Left to the long form: its neighbours in the catalogue run the same code in every test run. */
  readonly longOnly?: boolean;
  /** Why it cannot be tried on this machine, or null. */
  readonly unavailable?: () => string | null;
  /** @throws when anything promised beside the figures of the tally does not hold */
  readonly run: (owner: Owner, form: Form) => Promise<FaultTally>;
}

export const inLongFormOnly = (faultCase: FaultCase): FaultCase => ({ ...faultCase, longOnly: true });

/** Broken parts of the promise by the figures of a tally; empty if it holds. */
export function brokenPromises(tally: FaultTally): string[] {
  const { tries, acknowledged, lost, lossBound, refusedButStored } = tally;
  return [
    ...(tries > 0 ? [] : ['the fault never struck']),
    ...(acknowledged > 0 ? [] : ['nothing was acknowledged, so nothing was shown']),
    ...(lost <= lossBound ? [] : [`${lost} acknowledged metrics lost, ${lossBound} allowed`]),
    ...(refusedButStored === 0 ? [] : [`${refusedButStored} refused metrics stored`]),
  ];
}
