/**
 * The census of the limiters with locks.
 *
 * Reads without locks. Each word is whole, but a client that is being charged or replaced at that moment may show counts
 * that are one request old, or those of its predecessor. Limits do not depend on these readings.
 */
import { BusiestSlots, clientName } from './busiest.ts';
import type { ClientUsage, LimiterCensus, ReadCensus } from './limiter.ts';
import {
  ALLOWED_METRICS_F64,
  EVICTIONS_F64,
  LimiterTable,
  REFUSED_F64,
  REFUSED_METRICS_F64,
  REQUESTS_F64,
} from './table.ts';

export const readTableCensus = ((memory, busiest, rank = 'all'): LimiterCensus => {
  const table = new LimiterTable(memory);
  const { f64, sets, ways } = table;
  const top = new BusiestSlots(busiest);
  const countOf = rank === 'refused' ? refusedOf : allOf;
  let occupied = 0;
  let evictions = 0;
  let overflowed = 0;
  for (let setIndex = 0; setIndex < sets; setIndex++) {
    const set = table.set(setIndex);
    const used = table.used(set);
    occupied += used;
    evictions += f64[set + EVICTIONS_F64]!;
    overflowed += f64[table.slot(set, ways) + REQUESTS_F64]!;
    for (let way = 0; way < used; way++) top.offer(setIndex * ways + way, countOf(table, setIndex, way));
  }
  return {
    occupied,
    capacity: sets * ways,
    evictions,
    overflowed,
    busiest: top.slots.map((index) => usageOf(table, Math.floor(index / ways), index % ways)),
  };
}) satisfies ReadCensus;

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

function usageOf(table: LimiterTable, setIndex: number, way: number): ClientUsage {
  const { f64 } = table;
  const slot = table.slot(table.set(setIndex), way);
  const record = table.record(setIndex, way);
  const refusedRequests = f64[record + REFUSED_F64]!;
  return {
    client: clientName(table.hashHigh(slot), table.hashLow(slot)),
    // A refusal in progress may have reached only one of the two words.
    allowedRequests: Math.max(f64[slot + REQUESTS_F64]! - refusedRequests, 0),
    refusedRequests,
    allowedMetrics: f64[record + ALLOWED_METRICS_F64]!,
    refusedMetrics: f64[record + REFUSED_METRICS_F64]!,
  };
}
