/** Measures the cells round by round, with progress and the expected end on the way. */
import { type CellOptions, measureCell, variantName } from './cell.ts';
import type { Cell, Figures } from './figures.ts';
import { expectedSeconds, type PlannedCell } from './plan.ts';

export interface RunOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly scratch: string;
  readonly pinned: boolean;
  readonly progress: (text: string) => void;
}

/** Says when a run will be over: what was planned, corrected by how long it took so far. */
export class Schedule {
  private readonly startMs = performance.now();
  private doneSeconds = 0;
  private plannedSeconds: number;

  constructor(plannedSeconds: number) {
    this.plannedSeconds = plannedSeconds;
  }

  done(seconds: number): void {
    this.doneSeconds += seconds;
  }

  /** What was left out takes no time. */
  dropped(seconds: number): void {
    this.plannedSeconds -= seconds;
  }

  get endText(): string {
    const elapsed = (performance.now() - this.startMs) / 1e3;
    const pace = this.doneSeconds > 0 ? elapsed / this.doneSeconds : 1;
    const left = Math.max(0, this.plannedSeconds - this.doneSeconds) * pace;
    const end = new Date(Date.now() + left * 1e3).toTimeString().slice(0, 5);
    return `${Math.ceil(left / 60)} min left, until about ${end}`;
  }
}

export interface Measured {
  readonly cells: Cell[];
  readonly failures: string[];
}

const loadName = ({ load, batch }: PlannedCell): string =>
  load.kind === 'closed'
    ? `${load.clients} clients × ${batch}`
    : `${load.ratePerSecond.toFixed(0)} requests/s × ${batch}`;

const cellName = (cell: PlannedCell): string => `${variantName(cell)}, ${loadName(cell)}`;

function figureText(figures: Figures): string {
  const { storedPerSecond, p99Ms, succeeded, outcomes } = figures;
  const all = Object.values(outcomes).reduce((sum: number, count) => sum + (count ?? 0), 0);
  const p99 = p99Ms === null ? 'no answer of 2xx' : `p99 ${p99Ms.toFixed(1)} ms`;
  return `${storedPerSecond.toFixed(0)} metrics/s stored, ${succeeded} of ${all} answers 2xx, ${p99}`;
}

/** Measures every cell once a round. A cell that fails is named in `failures`; the others go on. */
export async function measureRounds(
  title: string,
  cells: readonly PlannedCell[],
  options: RunOptions,
  schedule: Schedule,
  more: Partial<CellOptions> = {},
): Promise<Measured> {
  const { rounds, seconds, warmUpSeconds, scratch, pinned, progress } = options;
  const measured: Measured = { cells: [], failures: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const cell of cells) {
      const name = `${title}, round ${round}/${rounds}: ${cellName(cell)}`;
      try {
        const figures = await measureCell({ ...cell, seconds, warmUpSeconds, scratch, pinned, ...more });
        measured.cells.push({ ...cell, round, figures });
        schedule.done(expectedSeconds(cell, seconds, warmUpSeconds));
        progress(`${name}: ${figureText(figures)} (${schedule.endText})`);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        measured.failures.push(`${name}: ${why}`);
        schedule.done(expectedSeconds(cell, seconds, warmUpSeconds));
        progress(`${name}: FAILED: ${why}`);
      }
    }
  }
  return measured;
}
