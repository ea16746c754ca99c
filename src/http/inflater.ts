/**
 * Decompresses gzip bodies on the thread pool, one at a time per worker, fairly between clients.
 *
 * - Memory: one decompressed body per worker at a time, always in the same place, and a bounded queue.
 * - Next: the client that was served least, counted in bytes of work. A client with large bodies therefore delays
 *   another by one body at most. A client that returns starts where the others are now, as in start-time fair queueing
 *   (Goyal, Vin, Cheng, SIGCOMM 1996).
 * - Full queue: the client with the longest queue loses its newest body (longest queue drop: Suter et al., 1998), so a
 *   client that floods the queue displaces only itself.
 * - Time: a body that waits for too long is dropped.
 */
import type { Exchange } from './exchange.ts';
import { type Inflated, inflate } from './inflate.ts';

/** Has the bodies, and learns the fate of each that it does not take back; `inflated` or `dropped`, never both. */
export interface InflaterOwner {
  /** The body in one piece, which must stay as it is until `inflated`. */
  compressed(exchange: Exchange): Uint8Array;
  /** The next body overwrites the bytes of `result` after this call. */
  inflated(exchange: Exchange, result: Inflated): void;
  /** The body left the queue without being decompressed. */
  dropped(exchange: Exchange): void;
}

/** A small body costs at least this many bytes of service, for its trip to the thread pool. */
const COST_MIN_BYTES = 16 << 10;
/** Clients without waiting bodies that are remembered while others wait. */
const IDLE_CLIENTS_MAX = 1_024;

interface Client {
  readonly waiting: Exchange[];
  /** Bytes of work on the scale of `clockBytes`: of each body the larger form, since a large one may hold next to nothing. */
  servedBytes: number;
}

const nameOf = ({ clientKey }: Exchange): string => Buffer.from(clientKey).toString('latin1');

export class Inflater {
  /** Takes as much memory as the largest body so far. */
  private readonly output: Uint8Array;
  private readonly capacity: number;
  private readonly owner: InflaterOwner;
  private readonly clients = new Map<string, Client>();
  private waiting = 0;
  private running: Exchange | null = null;
  /** The owner has taken it back: its result is of no use. */
  private isRunningRemoved = false;
  /** `servedBytes` of the client served last, when its body began: newcomers start here. */
  private clockBytes = 0;

  /** @param capacity bodies that may wait  @param maxBytes of a decompressed body */
  constructor(maxBytes: number, capacity: number, owner: InflaterOwner) {
    this.output = new Uint8Array(maxBytes);
    this.capacity = capacity;
    this.owner = owner;
  }

  /** Bodies that wait or are being decompressed. */
  get pending(): number {
    return this.waiting + (this.running === null ? 0 : 1);
  }

  /** Whether `push` would find a place for this client's body. */
  hasRoomFor(exchange: Exchange): boolean {
    if (this.waiting < this.capacity) return true;
    const own = this.clients.get(nameOf(exchange))?.waiting.length ?? 0;
    return this.longest().waiting.length > own + 1;
  }

  /** Queues the body of `exchange`. Ask `hasRoomFor` first. */
  push(exchange: Exchange): void {
    if (this.waiting >= this.capacity) this.drop(this.longest().waiting.at(-1)!);
    const name = nameOf(exchange);
    let client = this.clients.get(name);
    if (client === undefined) {
      client = { waiting: [], servedBytes: this.clockBytes };
      this.clients.set(name, client);
    }
    if (client.waiting.length === 0) client.servedBytes = Math.max(client.servedBytes, this.clockBytes);
    client.waiting.push(exchange);
    this.waiting += 1;
    if (this.running === null) this.next();
  }

  /** Forgets a body that waits. Does nothing for any other. */
  remove(exchange: Exchange): void {
    const waiting = this.clients.get(nameOf(exchange))?.waiting ?? [];
    const index = waiting.indexOf(exchange);
    if (index === -1) return;
    waiting.splice(index, 1);
    this.waiting -= 1;
  }

  /** Drops bodies that were complete before `sinceMs` and still wait. */
  expire(sinceMs: number): void {
    if (this.waiting === 0) return;
    for (const { waiting } of this.clients.values()) {
      while (waiting.length > 0 && waiting[0]!.receivedMs < sinceMs) this.drop(waiting[0]!);
    }
  }

  /** Forgets all bodies, also the one being decompressed. @returns these bodies */
  removeAll(): Exchange[] {
    const all = [...this.clients.values()].flatMap(({ waiting }) => waiting.splice(0));
    this.waiting = 0;
    if (this.running === null || this.isRunningRemoved) return all;
    this.isRunningRemoved = true;
    return [this.running, ...all];
  }

  private drop(exchange: Exchange): void {
    this.remove(exchange);
    this.owner.dropped(exchange);
  }

  private longest(): Client {
    let longest: Client | null = null;
    for (const client of this.clients.values()) {
      if (longest === null || client.waiting.length > longest.waiting.length) longest = client;
    }
    return longest!;
  }

  private next(): void {
    const client = this.leastServed();
    if (client === null) return;
    const exchange = client.waiting.shift()!;
    this.waiting -= 1;
    this.running = exchange;
    this.isRunningRemoved = false;
    this.clockBytes = client.servedBytes;
    const compressed = this.owner.compressed(exchange);
    const leastBytes = Math.max(compressed.length, COST_MIN_BYTES);
    inflate(compressed, this.output, (result) => {
      this.running = null;
      // A broken body may have cost as much as the largest one.
      const bytes = typeof result === 'string' ? this.output.length : result.length;
      client.servedBytes += Math.max(bytes, leastBytes);
      if (!this.isRunningRemoved) this.owner.inflated(exchange, result);
      if (this.running === null) this.next();
    });
  }

  /** The client to serve next; null when no body waits. */
  private leastServed(): Client | null {
    if (this.waiting === 0) {
      // Nobody competes any more.
      this.clients.clear();
      this.clockBytes = 0;
      return null;
    }
    let least: Client | null = null;
    for (const client of this.clients.values()) {
      if (client.waiting.length === 0) continue;
      if (least === null || client.servedBytes < least.servedBytes) least = client;
    }
    if (this.clients.size > this.waiting + IDLE_CLIENTS_MAX) this.forgetIdle();
    return least;
  }

  private forgetIdle(): void {
    for (const [name, client] of this.clients) if (client.waiting.length === 0) this.clients.delete(name);
  }
}
