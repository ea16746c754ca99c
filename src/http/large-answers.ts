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
    const { response, close, closesAlone } = exchange;
    if (close && !closesAlone) return this.sendAndClose(exchange, Buffer.from(exchange.body));
    const body = bodyOf(exchange);
    const size = Buffer.byteLength(body);
    let isComplete = false;
    response.cork(() => {
      writeHead(exchange);
      [, isComplete] = response.tryEnd(body, size);
    });
    if (!isComplete) this.keep(exchange, typeof body === 'string' ? Buffer.from(body) : body, size);
    return isComplete;
  }

  /**
   * `tryEnd` cannot ask uWebSockets.js to close. The first call announces its size as Content-Length, and the last one
   * decides whether the response is complete. So one byte that never comes keeps it open, until it is closed here.
   */
  private sendAndClose(exchange: Exchange, bytes: Uint8Array): boolean {
    const { response } = exchange;
    const size = bytes.length + 1;
    let isTaken = false;
    response.cork(() => {
      writeHead(exchange);
      response.tryEnd(bytes.subarray(0, 1), bytes.length);
      [isTaken] = response.tryEnd(bytes.subarray(1), size);
    });
    if (isTaken) response.close();
    else this.keep(exchange, bytes, size);
    return isTaken;
  }

  private keep(exchange: Exchange, bytes: Uint8Array, size: number): void {
    const { response } = exchange;
    this.unread.add(exchange);
    // Replaces the handler that every request gets: the exchange counts as answered.
    response.onAborted(() => this.unread.delete(exchange));
    response.onWritable((offset) => {
      const [isTaken, isComplete] = response.tryEnd(bytes.subarray(offset), size);
      if (isComplete) {
        this.unread.delete(exchange);
        exchange.release();
      }
      // uWebSockets.js still needs the connection after this call.
      else if (isTaken) setImmediate(() => this.close(exchange));
      return isTaken;
    });
    if (this.unread.size <= this.unreadMax) return;
    const [oldest] = this.unread;
    this.counters[WORKER.responses_unread]! += 1;
    oldest!.response.close();
  }

  /** Closes the connection of a response that the system's buffers have taken. */
  private close(exchange: Exchange): void {
    if (!this.unread.delete(exchange)) return;
    exchange.response.close();
    exchange.release();
  }
}

function writeHead(exchange: Exchange): void {
  const head = headTextOf(exchange);
  // uWebSockets.js adds this line in `end` only.
  exchange.response.writeStatus(exchange.close ? `${head}${headerLine('Connection', 'close')}` : head);
}
