/**
 * The census of the lock-free limiter. Reads plainly while other threads write: each word is whole, but a client that is
 * being inserted or evicted at that moment may show the counts of another one.
 */
import { BusiestSlots, clientName } from './busiest.ts';
import type { ClientUsage, LimiterCensus, LimiterGeometry, ReadCensus } from './limiter.ts';
import {
  ALLOWED,
  BUCKET,
  EVICTIONS,
  HIGH,
  LOW,
  OVERFLOWED,
  REFUSED,
  TableIndex,
} from './lock-free-layout.ts';
import { layoutOf, type TableLayout } from './lock-free-memory.ts';
import { TokenClock } from './token-clock.ts';

/** The counts of one table. Slots are identified by the index of their first word. */
class TableReader {
  private readonly i32: Int32Array;
  private readonly index: TableIndex;
  private readonly clock: TokenClock;

  constructor(memory: SharedArrayBuffer, { offset, rate, burst }: TableLayout, geometry: LimiterGeometry) {
    this.i32 = new Int32Array(memory);
    this.clock = new TokenClock(rate, burst);
    this.index = new TableIndex(offset, geometry);
  }

  /** Calls `visit` for each set, with the index of its first word. */
  eachSet(visit: (set: number) => void): void {
    for (let set = 0; set < this.index.sets; set++) visit(this.index.set(set));
  }

  /** Calls `visit` for each slot of a set that has a client. */
  eachClient(set: number, visit: (slot: number) => void): void {
    for (let way = 0; way < this.index.ways; way++) {
      const slot = this.index.slot(set, way);
      if (this.i32[slot + LOW] !== 0 || this.i32[slot + HIGH] !== 0) visit(slot);
    }
  }

  evictions(set: number): number {
    return this.i32[set + EVICTIONS]! >>> 0;
  }

  overflowed(set: number): number {
    return this.i32[set + OVERFLOWED]! >>> 0;
  }

  allowed(slot: number): number {
    const { countBits, countMask } = this.clock;
    return this.count(slot + ALLOWED) * 2 ** countBits + ((this.i32[slot + BUCKET]! >> 1) & countMask);
  }

  refused(slot: number): number {
    return this.count(slot + REFUSED);
  }

  name(slot: number): string {
    return clientName(this.i32[slot + HIGH]!, this.i32[slot + LOW]!);
  }

  private count(word: number): number {
    return this.i32[word]! >>> 0;
  }
}

export const readLockFreeCensus = ((memory, busiest, rank = 'all'): LimiterCensus => {
  const layout = layoutOf(memory);
  const { geometry } = layout;
  const readerOf = (table: TableLayout | null) => table && new TableReader(memory, table, geometry);
  const requests = readerOf(layout.requests);
  const metrics = readerOf(layout.metrics);
  const census = { occupied: 0, evictions: 0, overflowed: 0 };
  const top = new BusiestSlots(busiest);
  const clients = requests ?? metrics;
  for (const table of [requests, metrics]) {
    table?.eachSet((set) => {
      census.evictions += table.evictions(set);
      census.overflowed += table.overflowed(set);
      if (table !== clients) return;
      table.eachClient(set, (slot) => {
        census.occupied++;
        top.offer(slot, table.refused(slot) + (rank === 'all' ? table.allowed(slot) : 0));
      });
    });
  }
  const usages = top.slots.map((slot) => usageOf(slot, requests, metrics));
  return {
    ...census,
    capacity: geometry.sets * geometry.ways,
    busiest: withMetrics(usages, requests && metrics),
  };
}) satisfies ReadCensus;

/** The usage in the first table that exists. */
function usageOf(slot: number, requests: TableReader | null, metrics: TableReader | null): ClientUsage {
  const table = requests ?? metrics;
  const counted = { allowed: table?.allowed(slot) ?? 0, refused: table?.refused(slot) ?? 0 };
  return {
    client: table?.name(slot) ?? '',
    allowedRequests: requests === null ? 0 : counted.allowed,
    refusedRequests: requests === null ? 0 : counted.refused,
    allowedMetrics: requests === null ? counted.allowed : 0,
    refusedMetrics: requests === null ? counted.refused : 0,
  };
}

/** Adds the metrics of clients found by their requests. */
function withMetrics(usages: readonly ClientUsage[], metrics: TableReader | null): ClientUsage[] {
  if (metrics === null || usages.length === 0) return [...usages];
  const byName = new Map(usages.map((usage) => [usage.client, usage]));
  metrics.eachSet((set) => {
    metrics.eachClient(set, (slot) => {
      const client = metrics.name(slot);
      const usage = byName.get(client);
      if (usage === undefined) return;
      const allowedMetrics = metrics.allowed(slot);
      byName.set(client, { ...usage, allowedMetrics, refusedMetrics: metrics.refused(slot) });
    });
  });
  return [...byName.values()];
}
