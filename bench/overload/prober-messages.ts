/** Messages between the prober and the process that started it. */

export interface ProbeStream {
  readonly name: string;
  /** Requests a second, sent at fixed times whatever the server does. */
  readonly ratePerSecond: number;
  readonly connections: number;
  readonly request:
    | { readonly method: 'GET'; readonly path: string }
    | {
        readonly method: 'POST';
        readonly batch: number;
        readonly runId: string;
        readonly headers: Readonly<Record<string, string>>;
      };
}

export interface ProberPlan {
  readonly port: number;
  readonly streams: readonly ProbeStream[];
}

/** One request; times on the clock of `monotonicMs`. */
export interface Probe {
  readonly dueMs: number;
  readonly sentMs: number;
  readonly doneMs: number;
  /** Every connection was busy when it was due. */
  readonly waited: boolean;
  /** The answer's status; below 100 one of FAILURE_INDEX. */
  readonly outcome: number;
  readonly lacksRetryAfter: boolean;
  readonly accepted: number;
  /** Time within it that the prober was ready to run and had no core: the prober's own delay. */
  readonly ownDelayMs: number;
  /** Time within it that the hypervisor kept a core from this machine, in steps of 10 ms. */
  readonly stolenMs: number;
}

/** The probes by stream, in the order of their numbers, which is the order in which they were due. */
export type ProberReport = readonly (readonly Probe[])[];
