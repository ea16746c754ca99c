/**
 * The share of the chunks for bodies that each client holds. When the budget is used up, the client that holds most yields:
 * otherwise one client with many large bodies would keep every other client's bodies out.
 */
import type { Exchange } from './exchange.ts';

interface Share {
  bytes: number;
  /** In the order in which they got their first chunk. */
  readonly bodies: Exchange[];
}

const nameOf = ({ clientKey }: Exchange): string => Buffer.from(clientKey).toString('latin1');

export class ClientShares {
  private readonly shares = new Map<string, Share>();

  /** The exchange has got its first chunks, of `bytes`. */
  add(exchange: Exchange, bytes: number): void {
    const name = nameOf(exchange);
    const share = this.shares.get(name) ?? { bytes: 0, bodies: [] };
    this.shares.set(name, share);
    share.bytes += bytes;
    share.bodies.push(exchange);
  }

  /** The exchange has got further chunks, of `bytes`. */
  grow(exchange: Exchange, bytes: number): void {
    this.shares.get(nameOf(exchange))!.bytes += bytes;
  }

  /** The exchange has released its chunks, of `bytes`. */
  remove(exchange: Exchange, bytes: number): void {
    const name = nameOf(exchange);
    const share = this.shares.get(name)!;
    share.bytes -= bytes;
    share.bodies.splice(share.bodies.lastIndexOf(exchange), 1);
    if (share.bodies.length === 0) this.shares.delete(name);
  }

  /**
   * The body that should yield so that `exchange` gets `bytes` more: the newest of the client that holds most.
   * @returns null when no other client holds more than this client would hold then
   */
  victimFor(exchange: Exchange, bytes: number): Exchange | null {
    const own = this.shares.get(nameOf(exchange));
    let largest: Share | null = null;
    for (const share of this.shares.values()) {
      if (share !== own && (largest === null || share.bytes > largest.bytes)) largest = share;
    }
    if (largest === null || largest.bytes <= (own?.bytes ?? 0) + bytes) return null;
    return largest.bodies.at(-1)!;
  }
}
