/** Measures the cells round by round, and reports progress and the expected end. */
import { countOf } from '../../load-test/plan.ts';
import { type Measured, measureInTurns } from '../harness/turns.ts';
import { progress } from '../under-test/command-line.ts';
import { measureCell, variantName } from './cell.ts';
import type { Cell, Figures } from './figures.ts';
import type { PlannedCell } from './plan.ts';

export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly scratch: string;
}

/** Start, warm-up, waits for an idle process, the check of the files, stop. */
const OVERHEAD_SECONDS = 5;

/** Estimates the end of a run: cells take about as long as those before them. */
export class Schedule {
  private readonly startMs = performance.now();
  private readonly cells: number;
  private readonly guessMs: number;
  private done = 0;

  constructor(cells: number, seconds: number) {
    this.cells = cells;
    this.guessMs = (OVERHEAD_SECONDS + seconds) * 1e3;
  }

  cellDone(): void {
    this.done++;
  }

  get endText(): string {
    const cellMs = this.done > 0 ? (performance.now() - this.startMs) / this.done : this.guessMs;
    const leftMs = (this.cells - this.done) * cellMs;
    const end = new Date(Date.now() + leftMs).toTimeString().slice(0, 5);
    return `${Math.ceil(leftMs / 60e3)} min left, until about ${end}`;
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
        schedule.cellDone();
      }
    },
  );
}
