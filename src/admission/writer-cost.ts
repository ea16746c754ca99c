/** The cost of storage where one writer thread stores for all workers: read from its gauges. */
import type { StorageCost } from '../journal/journal.ts';
import { WRITER } from '../telemetry/counters.ts';

export class WriterCost implements StorageCost {
  private readonly counters: Float64Array;
  private readonly workers: number;

  /** @param counters the writer's block  @param workers that share its throughput */
  constructor(counters: Float64Array, workers: number) {
    this.counters = counters;
    this.workers = workers;
  }

  get storedAtMs(): number {
    return this.counters[WRITER.released_at_ms_now]!;
  }

  get fixedMs(): number {
    return this.counters[WRITER.commit_fixed_ms_now]!;
  }

  get bytesPerMs(): number {
    return this.counters[WRITER.commit_bytes_per_ms_now]! / this.workers;
  }
}
