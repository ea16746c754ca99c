/** Measures the cells round by round, and reports progress and the expected end. */
import { countOf } from '../../load-test/plan.ts';
import { type Measured, measureInTurns } from '../harness/turns.ts';
import { progress } from '../under-test/command-line.ts';
import { measureCell, variantName } from './cell.ts';
import type { Cell, Figures } from './figures.ts';
import { expectedSeconds, type PlannedCell } from './plan.ts';

export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly scratch: string;
}

/** Estimates the end of a run: the plan, corrected by the time that the finished part took. */
export class Schedule {
  private readonly startMs = performance.now();
  private doneSeconds = 0;
  private readonly plannedSeconds: number;

  constructor(plannedSeconds: number) {
    this.plannedSeconds = plannedSeconds;
  }

  done(seconds: number): void {
    this.doneSeconds += seconds;
  }

  get endText(): string {
    const elapsed = (performance.now() - this.startMs) / 1e3;
    const pace = this.doneSeconds > 0 ? elapsed / this.doneSeconds : 1;
    const left = Math.max(0, this.plannedSeconds - this.doneSeconds) * pace;
    const end = new Date(Date.now() + left * 1e3).toTimeString().slice(0, 5);
    return `${Math.ceil(left / 60)} min left, until about ${end}`;
  }
}

const loadName = ({ load, batch }: PlannedCell): string =>
  load.kind === 'closed'
    ? `${load.clients} clients × ${batch}`
    : `${load.ratePerSecond.toFixed(0)} requests/s × ${batch}`;

const cellName = (cell: PlannedCell): string => `${variantName(cell)}, ${loadName(cell)}`;

function figureText(figures: Figures): string {
  const { storedPerSecond, p99Ms, succeeded, outcomes } = figures;
  const all = countOf(outcomes, () => true);
  const p99 = p99Ms === null ? 'no answer of 2xx' : `p99 ${p99Ms.toFixed(1)} ms`;
  return `${storedPerSecond.toFixed(0)} metrics/s stored, ${succeeded} of ${all} answers 2xx, ${p99}`;
}

/** Measures every cell once a round. A cell that fails is named in `failures`; the others go on. */
export async function measureRounds(
  title: string,
  cells: readonly PlannedCell[],
  { rounds, seconds, warmUpSeconds, scratch }: RunOptions,
  schedule: Schedule,
): Promise<Measured<Cell>> {
  return measureInTurns(
    { title: `${title}, round`, rounds, cells, nameOf: cellName, progress },
    async (cell, round) => {
      try {
        const figures = await measureCell({ ...cell, seconds, warmUpSeconds, scratch, pinned: true });
        return [{ ...cell, round, figures }, `${figureText(figures)} (${schedule.endText})`] as const;
      } finally {
        schedule.done(expectedSeconds(cell, seconds, warmUpSeconds));
      }
    },
  );
}
