/** The exports of a phase's benchmark, test/learn/phase-N/bench.ts. */

/** `before`: the component of the phase before; `after`: that of the phase, from whichever tree the process runs. */
export type Side = 'before' | 'after';

interface BenchRow {
  readonly name: string;
  /** One measurement of about `ms`; smaller figures are better. Throws if the component's answers are wrong. */
  readonly measure: (side: Side, ms: number) => number | Promise<number>;
}

export interface PhaseBench {
  /** `ns a record`. */
  readonly unit: string;
  /** The question to guess an answer for, before measuring; it is about the first row. */
  readonly question: string;
  readonly rows: readonly BenchRow[];
}

export interface BenchModule {
  readonly bench: PhaseBench;
}
