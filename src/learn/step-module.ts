/** The exports of a step's test file. */

/** A broken solution that the step, or the later step that it names, refuses. */
export interface Mutant {
  /** The mistake in a few words. */
  readonly mistake: string;
  /** The file, if the phase has several. */
  readonly file?: string;
  /** Text that the solved file has exactly once, and its replacement. */
  readonly find: string;
  readonly replace: string;
  /** The step that refuses it; this one if absent. */
  readonly refusedBy?: string;
}

interface StepContext {
  /** The learner's prediction, for steps that measure. */
  readonly guess: number | null;
  /** The learner's clone, whose server the step may start. */
  readonly root: string;
}

export interface StepModule {
  /** Throws StepFailure if the learner's code is wrong. Returns nothing or a sentence to print, also as a promise. */
  readonly check: (context: StepContext) => unknown;
  readonly mutants: readonly Mutant[];
}
