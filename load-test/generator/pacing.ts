/**
 * When requests are due. The schedule is fixed before the run and never waits for the server: a request that finds
 * no free connection at its time is sent later and keeps its intended time, from which its latency counts. Measuring
 * from the send instead would leave out the waiting that the server caused (coordinated omission; Gil Tene, "How NOT
 * to Measure Latency").
 */
import type { Connection } from './connection.ts';

export interface PaceTimes {
  readonly startMs: number;
  /** Requests intended from then on are measured; what is before is the warm-up. */
  readonly measureMs: number;
  /** No request is intended from then on; infinite where only their number ends the load. */
  readonly endMs: number;
}

/** @param waited whether every connection it might use was busy at its intended time */
export type Send = (connection: Connection, intendedMs: number, waited: boolean) => void;

export interface Pace {
  /** Sends what is due; returns when to come again, infinite when only an answer can change anything. */
  pump(nowMs: number): number;
  /** A connection has become free; sends on it what has been waiting. Returns as `pump`. */
  freed(connection: Connection, nowMs: number): number;
  /** Nothing is left to send. */
  isDone(nowMs: number): boolean;
  /** Measured requests due before `atMs`, sent or not. */
  measuredDue(atMs: number): number;
  /** Requests due and not sent. */
  waiting(nowMs: number): number;
  /** Intended time of the first request not sent; infinite when all are. */
  firstUnsentMs(): number;
}

/** Whole numbers k ≥ 0 with `first + k × step < limit`. */
function timesBefore(limit: number, first: number, step: number): number {
  return limit <= first ? 0 : Math.ceil((limit - first) / step);
}

/** Constant arrival rate: any free connection takes the next request, in turn. */
export class OpenPace implements Pace {
  private readonly send: Send;
  private readonly firstMs: number;
  private readonly stepMs: number;
  private readonly times: PaceTimes;
  private readonly total: number;
  private next = 0;
  /** Free connections, first in, first out: all of them take part. */
  private readonly free: (Connection | undefined)[];
  private freeHead = 0;
  private freeCount = 0;
  /** Requests before this one were due while no connection was free. */
  private waitedUntil = 0;

  /** Request k of this thread is due at `firstMs + k × stepMs`. */
  constructor(send: Send, times: PaceTimes, firstMs: number, stepMs: number, connections: Connection[]) {
    this.send = send;
    this.times = times;
    this.firstMs = firstMs;
    this.stepMs = stepMs;
    this.total = timesBefore(times.endMs, firstMs, stepMs);
    this.free = [...connections];
    this.freeCount = connections.length;
  }

  pump(nowMs: number): number {
    const { free } = this;
    while (this.next < this.total) {
      const intendedMs = this.firstMs + this.next * this.stepMs;
      if (intendedMs > nowMs) return intendedMs;
      if (this.freeCount === 0) {
        this.waitedUntil = this.due(nowMs);
        return Number.POSITIVE_INFINITY;
      }
      const connection = free[this.freeHead]!;
      this.freeHead = this.freeHead + 1 === free.length ? 0 : this.freeHead + 1;
      this.freeCount--;
      const waited = this.next < this.waitedUntil;
      this.next++;
      this.send(connection, intendedMs, waited);
    }
    return Number.POSITIVE_INFINITY;
  }

  freed(connection: Connection, nowMs: number): number {
    // Whatever has become due since the last pump did so while none was free.
    if (this.freeCount === 0) this.waitedUntil = this.due(nowMs);
    const tail = this.freeHead + this.freeCount;
    this.free[tail < this.free.length ? tail : tail - this.free.length] = connection;
    this.freeCount++;
    return this.pump(nowMs);
  }

  isDone(): boolean {
    return this.next === this.total;
  }

  measuredDue(atMs: number): number {
    const { measureMs } = this.times;
    return Math.max(0, this.due(atMs) - timesBefore(measureMs, this.firstMs, this.stepMs));
  }

  waiting(nowMs: number): number {
    return Math.max(0, this.due(nowMs) - this.next);
  }

  firstUnsentMs(): number {
    return this.next < this.total ? this.firstMs + this.next * this.stepMs : Number.POSITIVE_INFINITY;
  }

  private due(atMs: number): number {
    return Math.min(this.total, timesBefore(atMs, this.firstMs, this.stepMs));
  }
}

/** Each client sends at its own regular times; one that is still busy then sends as soon as it is free. */
export class IntervalPace implements Pace {
  private readonly send: Send;
  private readonly times: PaceTimes;
  private readonly firstMs: number;
  private readonly stepMs: number;
  private readonly intervalMs: number;
  private readonly connections: readonly Connection[];
  /** Requests of each client in all, and those sent. */
  private readonly rounds: number;
  private readonly sent: Int32Array;
  /** Clients take turns: at `cursor` it is the turn of client `cursor % clients`. */
  private cursor = 0;

  /** Client c of this thread sends at `firstMs + c × stepMs` and every `intervalMs` from then on. */
  constructor(
    send: Send,
    times: PaceTimes,
    firstMs: number,
    stepMs: number,
    intervalMs: number,
    rounds: number,
    connections: Connection[],
  ) {
    this.send = send;
    this.times = times;
    this.firstMs = firstMs;
    this.stepMs = stepMs;
    this.intervalMs = intervalMs;
    this.connections = connections;
    this.rounds = rounds;
    this.sent = new Int32Array(connections.length);
  }

  pump(nowMs: number): number {
    const { connections, sent } = this;
    const clients = connections.length;
    for (;;) {
      const round = Math.floor(this.cursor / clients);
      const client = this.cursor - round * clients;
      const intendedMs = this.timeOf(client, round);
      if (round >= this.rounds || intendedMs >= this.times.endMs) return Number.POSITIVE_INFINITY;
      if (intendedMs > nowMs) return intendedMs;
      this.cursor++;
      const connection = connections[client]!;
      // A busy client sends when it is free, which may have been a moment ago.
      if (connection.isFree && sent[client] === round) {
        sent[client]!++;
        this.send(connection, intendedMs, false);
      }
    }
  }

  freed(connection: Connection, nowMs: number): number {
    const client = connection.index;
    const round = this.sent[client]!;
    const intendedMs = this.timeOf(client, round);
    if (round < this.rounds && intendedMs <= nowMs && intendedMs < this.times.endMs) {
      this.sent[client]!++;
      this.send(connection, intendedMs, true);
    }
    return this.pump(nowMs);
  }

  isDone(): boolean {
    return this.firstUnsentMs() === Number.POSITIVE_INFINITY;
  }

  measuredDue(atMs: number): number {
    return Math.max(0, this.dueBefore(atMs) - this.dueBefore(this.times.measureMs));
  }

  waiting(nowMs: number): number {
    return Math.max(0, this.dueBefore(nowMs) - this.sent.reduce((sum, count) => sum + count, 0));
  }

  firstUnsentMs(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const [client, round] of this.sent.entries()) {
      const intendedMs = this.timeOf(client, round);
      if (round < this.rounds && intendedMs < this.times.endMs) first = Math.min(first, intendedMs);
    }
    return first;
  }

  private timeOf(client: number, round: number): number {
    return this.firstMs + client * this.stepMs + round * this.intervalMs;
  }

  private dueBefore(atMs: number): number {
    const limit = Math.min(atMs, this.times.endMs);
    let due = 0;
    for (let client = 0; client < this.connections.length; client++) {
      due += Math.min(this.rounds, timesBefore(limit, this.timeOf(client, 0), this.intervalMs));
    }
    return due;
  }
}

/** Each client sends again when its answer has come: there is no schedule, and no request ever waits for its turn. */
export class BackToBackPace implements Pace {
  private readonly send: Send;
  private readonly times: PaceTimes;
  private readonly connections: readonly Connection[];
  /** Measured requests that each client may still send. */
  private readonly left: Float64Array;
  private measured = 0;
  private hasBegun = false;

  constructor(send: Send, times: PaceTimes, requestsPerClient: number, connections: Connection[]) {
    this.send = send;
    this.times = times;
    this.connections = connections;
    this.left = new Float64Array(connections.length).fill(requestsPerClient);
  }

  pump(nowMs: number): number {
    if (nowMs < this.times.startMs) return this.times.startMs;
    if (!this.hasBegun) {
      this.hasBegun = true;
      for (const connection of this.connections) this.freed(connection, nowMs);
    }
    return Number.POSITIVE_INFINITY;
  }

  freed(connection: Connection, nowMs: number): number {
    const client = connection.index;
    if (nowMs < this.times.endMs && this.left[client]! > 0) {
      if (nowMs >= this.times.measureMs) {
        this.left[client]!--;
        this.measured++;
      }
      this.send(connection, nowMs, false);
    }
    return Number.POSITIVE_INFINITY;
  }

  isDone(nowMs: number): boolean {
    return nowMs >= this.times.endMs || this.left.every((left) => left === 0);
  }

  measuredDue(): number {
    return this.measured;
  }

  waiting(): number {
    return 0;
  }

  firstUnsentMs(): number {
    return Number.POSITIVE_INFINITY;
  }
}
