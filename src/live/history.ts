/** The points of the last minutes, one per second, so that a page opened now shows what came before. */
import { STAGES } from '../telemetry/recorder.ts';
import type { Column, Columns, Point } from './messages.ts';

const HISTORY_SECONDS = 300;

const COLUMNS: readonly Column[] = [
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
  ...STAGES.map((stage) => `${stage}P99` as const),
];

export class History {
  private readonly points: Point[] = [];

  add(point: Point): void {
    this.points.push(point);
    if (this.points.length > HISTORY_SECONDS) this.points.shift();
  }

  /** Each column's values, oldest first. */
  columns(): Columns {
    const entries = COLUMNS.map((name) => [name, this.points.map((point) => point[name])] as const);
    return Object.fromEntries(entries) as Columns;
  }
}
