/** The messages between `examine.ts` and the process that runs the steps, `run-steps.ts`. */
import type { Finding } from './failure.ts';

/** A pipe of its own, because the learner's code may print to the standard output. */
export const RESULTS_FD = 3;

export interface RunRequest {
  readonly root: string;
  readonly steps: readonly { readonly id: string; readonly module: string; readonly guess: number | null }[];
}

export type StepResult =
  | { readonly step: string; readonly kind: 'starts' }
  | { readonly step: string; readonly kind: 'passed'; readonly note: string }
  | { readonly step: string; readonly kind: 'failed'; readonly finding: Finding }
  /** The code threw something else. */
  | { readonly step: string; readonly kind: 'threw'; readonly message: string; readonly stack: string };
