/** The clients that the rate limit refuses most, by keyed hash, with how much it refused them over the last seconds. */
import { takeCensus } from '../limiter/census.ts';

/** Clients looked at, by refusals since they came; those shown are the ones refused most of late. */
const CLIENTS_LOOKED_AT = 32;
const CLIENTS_SHOWN = 5;
/** Looks are a second apart. */
const WINDOW_LOOKS = 5;

export interface LimitedClient {
  /** 16 hexadecimal digits that mean nothing outside this process. */
  readonly client: string;
  /** Requests, or metrics where only these are limited: a second of late, and since the client came. */
  readonly refusedPerSecond: number;
  readonly refused: number;
  readonly allowed: number;
}

interface Look {
  readonly atMs: number;
  readonly refused: ReadonlyMap<string, number>;
}

export class LimitedClients {
  private readonly memory: SharedArrayBuffer;
  private readonly looks: Look[] = [];

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
  }

  /** To be called once a second while someone watches. */
  look(nowMs: number): LimitedClient[] {
    const { busiest } = takeCensus(this.memory, CLIENTS_LOOKED_AT, 'refused');
    // What was seen long ago, by someone who watched then, says nothing of a rate.
    const recent = this.looks.filter(({ atMs }) => nowMs - atMs < (WINDOW_LOOKS + 1) * 1e3);
    const from = recent[0];
    const clients = busiest.map((usage) => {
      const byRequests = usage.refusedRequests > 0;
      const refused = byRequests ? usage.refusedRequests : usage.refusedMetrics;
      // One that was not in a list with room left had not been refused then.
      const unseen = from !== undefined && from.refused.size < CLIENTS_LOOKED_AT ? 0 : refused;
      const before = from?.refused.get(usage.client) ?? unseen;
      const seconds = from === undefined ? 1 : (nowMs - from.atMs) / 1e3;
      return {
        client: usage.client,
        // A client that was forgotten and came back counts from 0.
        refusedPerSecond: Math.round(Math.max(refused - before, 0) / seconds),
        refused,
        allowed: byRequests ? usage.allowedRequests : usage.allowedMetrics,
      };
    });
    this.looks.splice(0, this.looks.length, ...recent.slice(1 - WINDOW_LOOKS), {
      atMs: nowMs,
      refused: new Map(clients.map(({ client, refused }) => [client, refused])),
    });
    return clients
      .sort((a, b) => b.refusedPerSecond - a.refusedPerSecond || b.refused - a.refused)
      .slice(0, CLIENTS_SHOWN);
  }
}
