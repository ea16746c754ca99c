/**
 * Bodies that still arrive although their request is answered.
 *
 * Many clients read no response before they have sent the whole body. If the server closed the connection at once, the
 * kernel would reset it, and such a client would see the reset instead of the response. So the response goes out, the
 * server drops the rest of the body as it arrives, and then closes the connection (RFC 9112, section 9.6).
 */
import type { Exchange } from './exchange.ts';
import { ReceivingList } from './receiving-list.ts';

/** Bytes and time after which the connection is closed in any case; 30 s is the `lingering_time` of nginx. */
const DRAIN_MAX_BYTES = 64 << 20;
const DRAIN_MAX_MS = 30_000;

export class BodyDrain {
  private readonly draining = new ReceivingList();

  get idle(): boolean {
    return this.draining.oldest === null;
  }

  /** Takes over an exchange whose answer is sent and whose body is still arriving. */
  add(exchange: Exchange, nowMs: number): void {
    exchange.draining = true;
    exchange.length = 0;
    exchange.receivedMs = nowMs;
    this.draining.add(exchange);
  }

  received(exchange: Exchange, bytes: number, isLast: boolean): void {
    exchange.length += bytes;
    if (isLast || exchange.length > DRAIN_MAX_BYTES) this.close(exchange);
  }

  /** The connection is closed, by either side. */
  aborted(exchange: Exchange): void {
    this.draining.remove(exchange);
    exchange.draining = false;
  }

  /** Closes the connections whose body took too long. */
  expire(nowMs: number): void {
    for (;;) {
      const exchange = this.draining.oldest;
      if (exchange === null || nowMs - exchange.receivedMs < DRAIN_MAX_MS) return;
      this.close(exchange);
    }
  }

  /** Closes all connections, at the end of a shutdown. */
  closeAll(): void {
    this.expire(Number.POSITIVE_INFINITY);
  }

  private close(exchange: Exchange): void {
    this.draining.remove(exchange);
    exchange.response.close();
  }
}
