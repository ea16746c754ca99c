/**
 * Counts over the whole limiter table, for the metrics.
 *
 * Reads without taking locks: each word is whole, but a client that is being charged or replaced at this moment may
 * show counts that are a request old, or those of the client before it. Limits do not depend on what is read here.
 */
import type { ClientUsage, LimiterCensus } from './limiter.ts';
import {
  ALLOWED_METRICS_F64,
  ALLOWED_REQUESTS_F64,
  EVICTIONS_F64,
  LimiterTable,
  OVERFLOWED_F64,
  REFUSED_METRICS_F64,
  REFUSED_REQUESTS_F64,
} from './table.ts';

/** @param busiest how many clients to list, those with the most requests (and metrics) first */
export function takeCensus(memory: SharedArrayBuffer, busiest: number): LimiterCensus {
  const table = new LimiterTable(memory);
  const { f64, stripes, ways } = table;
  const top = new BusiestSlots(busiest);
  let occupied = 0;
  let evictions = 0;
  let overflowed = 0;
  for (let stripe = 0; stripe < stripes; stripe++) {
    const set = table.set(stripe);
    const used = table.used(set);
    occupied += used;
    evictions += f64[set + EVICTIONS_F64]!;
    overflowed += f64[set + OVERFLOWED_F64]!;
    for (let way = 0; way < used; way++) {
      const slot = table.slot(set, way);
      const requests = f64[slot + ALLOWED_REQUESTS_F64]! + f64[slot + REFUSED_REQUESTS_F64]!;
      const metrics = f64[slot + ALLOWED_METRICS_F64]! + f64[slot + REFUSED_METRICS_F64]!;
      top.offer(slot, requests + metrics);
    }
  }
  return {
    occupied,
    capacity: stripes * ways,
    evictions,
    overflowed,
    busiest: top.slots.map((slot) => usageOf(table, slot)),
  };
}

/** The slots of the highest counts offered, highest first. */
class BusiestSlots {
  readonly slots: number[] = [];
  private readonly counts: number[] = [];
  private readonly limit: number;
  /** A count must exceed this to be listed. */
  private threshold: number;

  constructor(limit: number) {
    this.limit = limit;
    this.threshold = limit > 0 ? 0 : Number.POSITIVE_INFINITY;
  }

  offer(slot: number, count: number): void {
    if (count <= this.threshold) return;
    let rank = this.counts.length;
    while (rank > 0 && this.counts[rank - 1]! < count) rank--;
    this.counts.splice(rank, 0, count);
    this.slots.splice(rank, 0, slot);
    if (this.counts.length > this.limit) {
      this.counts.pop();
      this.slots.pop();
    }
    if (this.counts.length === this.limit) this.threshold = this.counts[this.limit - 1]!;
  }
}

function usageOf(table: LimiterTable, slot: number): ClientUsage {
  const { f64 } = table;
  return {
    client: hexWord(table.hashHigh(slot)) + hexWord(table.hashLow(slot)),
    allowedRequests: f64[slot + ALLOWED_REQUESTS_F64]!,
    refusedRequests: f64[slot + REFUSED_REQUESTS_F64]!,
    allowedMetrics: f64[slot + ALLOWED_METRICS_F64]!,
    refusedMetrics: f64[slot + REFUSED_METRICS_F64]!,
  };
}

function hexWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
