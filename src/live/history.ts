/** The last minutes in points of one second each: what the live page draws, also for a page opened just now. */
import { STAGES, type Stage } from '../exposition/readings.ts';

const HISTORY_SECONDS = 300;

export const stageColumn = (stage: Stage) => `${stage}P99` as const;

/**
 * The numbers of a point. `time` is Unix seconds; `accepted` and `rejected` are metrics a second; `answered`,
 * `limited` (429) and `unavailable` (503) answers a second; `storedBytes` bytes a second; `depth` requests;
 * `breaker` as in `BreakerState`; latencies are milliseconds. null: nothing was there to measure.
 */
const COLUMNS = [
  'time',
  'answered',
  'accepted',
  'rejected',
  'limited',
  'unavailable',
  'storedBytes',
  'depth',
  'breaker',
  'requestP50',
  'requestP90',
  'requestP99',
  ...STAGES.map(stageColumn),
] as const;
type Column = (typeof COLUMNS)[number];

export type Point = Readonly<Record<Column, number | null>>;
export type Columns = Record<Column, (number | null)[]>;

export class History {
  private readonly points: Point[] = [];

  add(point: Point): void {
    this.points.push(point);
    if (this.points.length > HISTORY_SECONDS) this.points.shift();
  }

  /** Each column's numbers, oldest first. */
  columns(): Columns {
    const entries = COLUMNS.map((name) => [name, this.points.map((point) => point[name])] as const);
    return Object.fromEntries(entries) as Columns;
  }
}
