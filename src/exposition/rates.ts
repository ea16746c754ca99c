/** Rates of counters over the last ten seconds. */
import { monotonicMs } from '../base/clock.ts';
import { MS_PER_SECOND } from '../base/units.ts';
import { CLASSES, type ClassIndex, METRIC_TYPES, type MetricType, STATUSES } from '../telemetry/counters.ts';
import type { Readings } from './readings.ts';

/** Interval between two recordings of the totals. Rates cover the last RATE_INTERVALS intervals. */
export const RATE_INTERVAL_MS = 1000;
const RATE_INTERVALS = 10;

interface Totals {
  readonly atMs: number;
  readonly requests: number;
  readonly accepted: number;
  readonly classRequests: readonly number[];
  /** By class, then by type. */
  readonly ingested: readonly (readonly number[])[];
}

/** Each per second. */
export interface Rates {
  readonly requests: number;
  readonly accepted: number;
  readonly classRequests: (index: ClassIndex) => number;
  readonly ingested: (index: ClassIndex, type: MetricType) => number;
}

export function answeredRequests(readings: Readings): number {
  return STATUSES.reduce((sum, status) => sum + readings.workers(`requests_${status}`), 0);
}

export class RecentRates {
  private readonly readings: Readings;
  /** Totals at the end of each of the last intervals, oldest first. */
  private readonly history: Totals[];

  constructor(readings: Readings) {
    this.readings = readings;
    this.history = [this.totals()];
  }

  /** Records the totals; call it every RATE_INTERVAL_MS. */
  record(): void {
    this.history.push(this.totals());
    if (this.history.length > RATE_INTERVALS) this.history.shift();
  }

  read(): Rates {
    const from = this.history[0]!;
    const to = this.totals();
    const seconds = Math.max((to.atMs - from.atMs) / MS_PER_SECOND, Number.EPSILON);
    const rate = (read: (totals: Totals) => number): number => (read(to) - read(from)) / seconds;
    return {
      requests: rate(({ requests }) => requests),
      accepted: rate(({ accepted }) => accepted),
      classRequests: (index) => rate(({ classRequests }) => classRequests[index]!),
      ingested: (index, type) => rate(({ ingested }) => ingested[index]![METRIC_TYPES.indexOf(type)]!),
    };
  }

  private totals(): Totals {
    const { readings } = this;
    return {
      atMs: monotonicMs(),
      requests: answeredRequests(readings),
      accepted: readings.workers('metrics_accepted'),
      classRequests: CLASSES.map((index) => readings.workers(`class_${index}_requests`)),
      ingested: CLASSES.map((index) =>
        METRIC_TYPES.map((type) => readings.workers(`ingested_${index}_${type}`)),
      ),
    };
  }
}
