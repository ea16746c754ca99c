/** The exports of a phase's benchmark, test/learn/phase-N/bench.ts. */

/**
 * `before`: the component of the phase before; `after`: that of the phase, from whichever tree the process runs.
 * `reference`: what later phases reach; asked for only by a benchmark with `columns`.
 */
export type Side = 'before' | 'after' | 'reference';

interface BenchRow {
  readonly name: string;
  /**
   * One measurement of about `ms`; smaller figures are better. Throws if the component's answers are wrong.
   * @param root of the clone, whose build a server is started from
   */
  readonly measure: (side: Side, ms: number, root: string) => number | Promise<number>;
}

/** The titles of the three columns. */
export interface Columns {
  readonly before: string;
  readonly yours: string;
  readonly reference: string;
}

export interface PhaseBench {
  /** `ns a record`. */
  readonly unit: string;
  /** The question to guess an answer for, before measuring; it is about the first row. */
  readonly question: string;
  /** For a phase without code of the learner: what its three sides are. */
  readonly columns?: Columns;
  readonly rows: readonly BenchRow[];
}

export interface BenchModule {
  readonly bench: PhaseBench;
}
