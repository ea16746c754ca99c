/** A requirement, or a figure without one, as the table of requirements shows it. */
export interface Finding {
  readonly requirement: string;
  readonly measured: string;
  /** Null: a figure without a requirement. */
  readonly holds: boolean | null;
  /** Also judged by a short run on a busy machine. */
  readonly isCorrectness: boolean;
}

const findingOf =
  (isCorrectness: boolean) =>
  (requirement: string, holds: boolean | null, measured: string): Finding => ({
    requirement,
    measured,
    holds,
    isCorrectness,
  });

export const correct = findingOf(true);
export const figure = findingOf(false);
