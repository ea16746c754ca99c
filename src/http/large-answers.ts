/**
 * Responses of tens of KiB: the live page and GET /metrics.
 *
 * Of a response that ends at once, uWebSockets.js keeps a copy of what the system's buffers do not take, until the client
 * reads it. With thousands of clients that never read, that was hundreds of MiB. So the rest of a large response waits
 * here, where it can be counted: when too many wait, the one that has waited longest is given up.
 */
import { WORKER } from '../telemetry/counters.ts';
import type { Exchange } from './exchange.ts';
import { bodyOf, headerLine, headTextOf } from './response.ts';

/** A shorter response may wait in memory of uWebSockets.js: its connection has other buffers of that size. */
const LARGE_LENGTH = 16 << 10;
/** Large responses at once whose clients have not read them. */
const UNREAD_MAX = 64;

/** Whether `LargeAnswers` should send the prepared response. */
export const isLarge = ({ body, headOnly, streaming }: Exchange): boolean =>
  body.length > LARGE_LENGTH && !headOnly && !streaming;

export class LargeAnswers {
  private readonly counters: Float64Array;
  private readonly unreadMax: number;
  /** Oldest first. */
  private readonly unread = new Set<Exchange>();

  constructor(counters: Float64Array, unreadMax = UNREAD_MAX) {
    this.counters = counters;
    this.unreadMax = unreadMax;
  }

  /** Begins the prepared response of an open exchange. @returns true if it is complete; otherwise it releases it later */
  send(exchange: Exchange): boolean {
    exchange.open = false;
    const { response } = exchange;
    const body = bodyOf(exchange);
    const size = Buffer.byteLength(body);
    let isComplete = false;
    response.cork(() => {
      const head = headTextOf(exchange);
      // uWebSockets.js closes the connection, since the request asked for it, but does not say so here.
      response.writeStatus(exchange.close ? `${head}${headerLine('Connection', 'close')}` : head);
      [, isComplete] = response.tryEnd(body, size);
    });
    if (!isComplete) this.keep(exchange, typeof body === 'string' ? Buffer.from(body) : body);
    return isComplete;
  }

  private keep(exchange: Exchange, bytes: Uint8Array): void {
    const { response } = exchange;
    this.unread.add(exchange);
    // Replaces the handler that every request gets: the exchange counts as answered.
    response.onAborted(() => this.unread.delete(exchange));
    response.onWritable((offset) => {
      const [isTaken, isComplete] = response.tryEnd(bytes.subarray(offset), bytes.length);
      if (isComplete) {
        this.unread.delete(exchange);
        exchange.release();
      }
      return isTaken;
    });
    if (this.unread.size <= this.unreadMax) return;
    const [oldest] = this.unread;
    this.counters[WORKER.responses_unread]! += 1;
    oldest!.response.close();
  }
}
