/** Cells take turns round by round, so that a noisy neighbour hits all alike. */
import { isDeepStrictEqual } from 'node:util';

/**
 * The figures of each cell, one a round.
 * @param warmUps rounds whose figures do not count: compilation ends in them
 */
export async function takeTurns<Cell, Figures>(
  cells: readonly Cell[],
  rounds: number,
  measure: (cell: Cell) => Promise<Figures>,
  warmUps = 1,
): Promise<Map<Cell, Figures[]>> {
  const measured = new Map<Cell, Figures[]>(cells.map((cell) => [cell, []]));
  for (let round = -warmUps; round < rounds; round++) {
    for (const cell of cells) {
      const figures = await measure(cell);
      if (round >= 0) measured.get(cell)!.push(figures);
    }
  }
  return measured;
}

/** The figures of the cell that differs from `cell` in `baseline` alone. */
export function baselineOf<Cell extends object, Figures>(
  measured: ReadonlyMap<Cell, readonly Figures[]>,
  cell: Cell,
  baseline: Partial<Cell>,
): readonly Figures[] {
  const wanted = { ...cell, ...baseline };
  const [, figures] = [...measured].find(([own]) => isDeepStrictEqual(own, wanted)) ?? [];
  if (figures === undefined) throw new Error(`not measured: ${JSON.stringify(wanted)}`);
  return figures;
}

export interface Turns<Cell> {
  /** `round`, `kill`. */
  readonly title: string;
  readonly rounds: number;
  readonly cells: readonly Cell[];
  nameOf(cell: Cell): string;
  progress(text: string): void;
}

export interface Measured<Result> {
  readonly results: Result[];
  /** Cells that could not be measured, or whose files disagreed with the answers, and why. */
  readonly failures: string[];
}

/**
 * Measures each cell once a round. A cell that fails is named, and the others go on.
 * @param measure returns the result and its text for the progress line
 */
export async function measureInTurns<Cell, Result>(
  { title, rounds, cells, nameOf, progress }: Turns<Cell>,
  measure: (cell: Cell, round: number) => Promise<readonly [Result, string]>,
): Promise<Measured<Result>> {
  const measured: Measured<Result> = { results: [], failures: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const cell of cells) {
      const name = `${title} ${round}/${rounds}, ${nameOf(cell)}`;
      try {
        const [result, text] = await measure(cell, round);
        measured.results.push(result);
        progress(`${name}: ${text}`);
      } catch (error) {
        const failure = `${name}: ${error instanceof Error ? error.message : error}`;
        measured.failures.push(failure);
        progress(`FAILED ${failure}`);
      }
    }
  }
  return measured;
}
