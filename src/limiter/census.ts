/**
 * Counts over the whole limiter table, for the metrics.
 *
 * Reads without locks. Each word is whole, but a client that is being charged or replaced at that moment may show counts
 * that are one request old, or those of its predecessor. Limits do not depend on these readings.
 */
import type { ClientUsage, LimiterCensus } from './limiter.ts';
import {
  ALLOWED_METRICS_F64,
  EVICTIONS_F64,
  LimiterTable,
  REFUSED_F64,
  REFUSED_METRICS_F64,
  REQUESTS_F64,
} from './table.ts';

/**
 * @param busiest number of clients to list: those with the most requests, or metrics if only these are limited
 * @param rank `refused`: rank by refusals only, and list no client without one
 */
export function readCensus(
  memory: SharedArrayBuffer,
  busiest: number,
  rank: 'all' | 'refused' = 'all',
): LimiterCensus {
  const table = new LimiterTable(memory);
  const { f64, sets, ways } = table;
  const top = new BusiestSlots(busiest);
  let occupied = 0;
  let evictions = 0;
  let overflowed = 0;
  for (let setIndex = 0; setIndex < sets; setIndex++) {
    const set = table.set(setIndex);
    const used = table.used(set);
    occupied += used;
    evictions += f64[set + EVICTIONS_F64]!;
    overflowed += f64[table.slot(set, ways) + REQUESTS_F64]!;
    for (let way = 0; way < used; way++) {
      top.offer(
        setIndex,
        way,
        rank === 'refused' ? refusedOf(table, setIndex, way) : allOf(table, setIndex, way),
      );
    }
  }
  return {
    occupied,
    capacity: sets * ways,
    evictions,
    overflowed,
    busiest: top.entries.map(({ setIndex, way }) => usageOf(table, setIndex, way)),
  };
}

function allOf(table: LimiterTable, setIndex: number, way: number): number {
  const { f64 } = table;
  const requests = f64[table.slot(table.set(setIndex), way) + REQUESTS_F64]!;
  if (requests > 0) return requests;
  const record = table.record(setIndex, way);
  return f64[record + ALLOWED_METRICS_F64]! + f64[record + REFUSED_METRICS_F64]!;
}

function refusedOf(table: LimiterTable, setIndex: number, way: number): number {
  const { f64 } = table;
  const record = table.record(setIndex, way);
  const requests = f64[record + REFUSED_F64]!;
  return requests > 0 ? requests : f64[record + REFUSED_METRICS_F64]!;
}

interface Ranked {
  readonly setIndex: number;
  readonly way: number;
  readonly count: number;
}

/** The slots with the highest counts offered, highest first. */
class BusiestSlots {
  readonly entries: Ranked[] = [];
  private readonly limit: number;
  /** A count must exceed this to be listed. */
  private threshold: number;

  constructor(limit: number) {
    this.limit = limit;
    this.threshold = limit > 0 ? 0 : Number.POSITIVE_INFINITY;
  }

  offer(setIndex: number, way: number, count: number): void {
    if (count <= this.threshold) return;
    const { entries, limit } = this;
    let rank = entries.length;
    while (rank > 0 && entries[rank - 1]!.count < count) rank--;
    entries.splice(rank, 0, { setIndex, way, count });
    if (entries.length > limit) entries.pop();
    if (entries.length === limit) this.threshold = entries[limit - 1]!.count;
  }
}

function usageOf(table: LimiterTable, setIndex: number, way: number): ClientUsage {
  const { f64 } = table;
  const slot = table.slot(table.set(setIndex), way);
  const record = table.record(setIndex, way);
  const refusedRequests = f64[record + REFUSED_F64]!;
  return {
    client: hexWord(table.hashHigh(slot)) + hexWord(table.hashLow(slot)),
    // A refusal in progress may have reached only one of the two words.
    allowedRequests: Math.max(f64[slot + REQUESTS_F64]! - refusedRequests, 0),
    refusedRequests,
    allowedMetrics: f64[record + ALLOWED_METRICS_F64]!,
    refusedMetrics: f64[record + REFUSED_METRICS_F64]!,
  };
}

function hexWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}
