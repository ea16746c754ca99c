/** The clients that the rate limit refuses most, by keyed hash, with their refusals over the last seconds. */
import { MS_PER_SECOND } from '../base/units.ts';
import type { ReadCensus } from '../limiter/limiter.ts';
import type { LimitedClient } from './messages.ts';

/** Candidates are the clients with the most refusals since they arrived; of these the page shows the most refused now. */
const CANDIDATES = 32;
const CLIENTS_SHOWN = 5;
/** Readings are one second apart. */
const WINDOW_READINGS = 5;

interface Reading {
  readonly atMs: number;
  readonly refused: ReadonlyMap<string, number>;
}

export class LimitedClients {
  private readonly memory: SharedArrayBuffer;
  private readonly readCensus: ReadCensus;
  private readonly readings: Reading[] = [];

  constructor(memory: SharedArrayBuffer, readCensus: ReadCensus) {
    this.memory = memory;
    this.readCensus = readCensus;
  }

  /** Call it once a second while somebody watches. */
  read(nowMs: number): LimitedClient[] {
    const { busiest } = this.readCensus(this.memory, CANDIDATES, 'refused');
    // Older readings date from an earlier watcher and describe no current rate.
    const recent = this.readings.filter(({ atMs }) => nowMs - atMs < (WINDOW_READINGS + 1) * MS_PER_SECOND);
    const from = recent[0];
    const clients = busiest.map((usage) => {
      const byRequests = usage.refusedRequests > 0;
      const refused = byRequests ? usage.refusedRequests : usage.refusedMetrics;
      // A client missing from a list that had room was not refused then.
      const unseen = from !== undefined && from.refused.size < CANDIDATES ? 0 : refused;
      const before = from?.refused.get(usage.client) ?? unseen;
      const seconds = from === undefined ? 1 : (nowMs - from.atMs) / MS_PER_SECOND;
      return {
        client: usage.client,
        // An evicted client that returns counts from 0.
        refusedPerSecond: Math.round(Math.max(refused - before, 0) / seconds),
        refused,
        allowed: byRequests ? usage.allowedRequests : usage.allowedMetrics,
      };
    });
    this.readings.splice(0, this.readings.length, ...recent.slice(1 - WINDOW_READINGS), {
      atMs: nowMs,
      refused: new Map(clients.map(({ client, refused }) => [client, refused])),
    });
    return clients
      .sort((a, b) => b.refusedPerSecond - a.refusedPerSecond || b.refused - a.refused)
      .slice(0, CLIENTS_SHOWN);
  }
}
