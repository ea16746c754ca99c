/** A requirement, or a figure without one, as the table of requirements shows it. */
export interface Finding {
  readonly requirement: string;
  readonly measured: string;
  /** Null: a figure without a requirement. */
  readonly holds: boolean | null;
  /** Also judged by a short run on a busy machine. */
  readonly isCorrectness: boolean;
}

export const correct = (requirement: string, holds: boolean, measured: string): Finding => ({
  requirement,
  measured,
  holds,
  isCorrectness: true,
});

export const figure = (requirement: string, holds: boolean | null, measured: string): Finding => ({
  requirement,
  measured,
  holds,
  isCorrectness: false,
});
