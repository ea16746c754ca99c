/**
 * The streams of one worker: responses of GET /live that go on, one message a second, until the page is closed or
 * the server drains.
 *
 * Main makes the messages, once for all workers, and only while a worker has streams. A stream begins when main has
 * sent its opening text. A reader that does not read costs what the system's buffers hold, an opening text and two
 * messages at most: `write` tells of what an earlier one could not send, there are no further ones until that is
 * gone, and what is not gone after its timeout of 10 s makes uWebSockets.js close the connection.
 */

import { WORKER } from '../telemetry/counters.ts';
import type { Exchange } from './exchange.ts';
import type { Answers } from './outbox.ts';
import { headerLine, headOf, retryAfterLine } from './response.ts';

/** Streams at once; each may leave an opening text (tens of KiB) unread. */
const STREAMS_MAX = 64;

const HEAD = `${headOf(200, 'text/event-stream')}${headerLine('Cache-Control', 'no-store, no-transform')}${headerLine('X-Accel-Buffering', 'no')}${headerLine('X-Content-Type-Options', 'nosniff')}`;

export interface LiveMain {
  /** Asks main for an opening text, and for the messages from then on. */
  open(id: number): void;
  /** Nobody watches any more. */
  close(): void;
}

interface Stream {
  readonly exchange: Exchange;
  /** False while the reader has not taken what was written before. */
  writable: boolean;
}

export class LiveStreams {
  private readonly answers: Answers;
  private readonly main: LiveMain;
  /** Asked for, not yet begun; by the number that main was given. */
  private readonly opening = new Map<number, Exchange>();
  private readonly streams = new Map<Exchange, Stream>();
  private lastId = 0;
  private watching = false;

  constructor(answers: Answers, main: LiveMain) {
    this.answers = answers;
    this.main = main;
  }

  open(exchange: Exchange): void {
    if (this.answers.draining) return this.refuse(exchange, 'draining');
    if (this.opening.size + this.streams.size >= STREAMS_MAX) return this.refuse(exchange, 'streams_full');
    this.lastId += 1;
    this.opening.set(this.lastId, exchange);
    this.watching = true;
    this.main.open(this.lastId);
  }

  private closeWhenEmpty(): void {
    if (!this.watching || this.opening.size + this.streams.size > 0) return;
    this.watching = false;
    this.main.close();
  }

  private refuse(exchange: Exchange, reason: 'draining' | 'streams_full'): void {
    this.answers.answer(exchange, {
      status: 503,
      code: reason,
      detail:
        reason === 'draining'
          ? 'The server is shutting down.'
          : `There are ${STREAMS_MAX} live streams already; try again later.`,
      members: { reason },
      lines: retryAfterLine(reason),
    });
  }

  /** Main has sent the text that opens stream `id`. */
  opened(id: number, text: string): void {
    const exchange = this.opening.get(id);
    if (exchange === undefined) return;
    this.opening.delete(id);
    const stream = { exchange, writable: true };
    this.streams.set(exchange, stream);
    // Counted when its answer begins, so that a stream that goes on holds up no sum and no drain.
    this.answers.counters[WORKER.requests_200]! += 1;
    exchange.open = false;
    const { response } = exchange;
    response.onWritable(() => {
      stream.writable = true;
      return true;
    });
    response.cork(() => {
      response.writeStatus(HEAD);
      stream.writable = response.write(text);
    });
  }

  /** One message to all streams. */
  send(text: string): void {
    for (const stream of this.streams.values()) {
      if (!stream.writable) continue;
      const { response } = stream.exchange;
      response.cork(() => {
        stream.writable = response.write(text);
      });
    }
  }

  /** A client is gone; whether or not it was here. */
  aborted(exchange: Exchange): void {
    if (!this.watching) return;
    this.streams.delete(exchange);
    for (const [id, waiting] of this.opening) if (waiting === exchange) this.opening.delete(id);
    this.closeWhenEmpty();
  }

  /** Ends all streams: the process ends, and their readers come back to the next one. */
  endAll(): void {
    for (const exchange of this.opening.values()) this.refuse(exchange, 'draining');
    this.opening.clear();
    for (const { response } of this.streams.keys()) response.cork(() => response.end('', true));
    this.streams.clear();
    this.closeWhenEmpty();
  }
}
