/**
 * The live streams of one worker: responses of GET /live that go on, one message a second, until the page is closed or
 * the server drains.
 *
 * Main makes the messages once for all workers, and only while a worker has streams. A stream begins when main has
 * sent its opening text. A client that does not read costs what the system's buffers hold, at most an opening text
 * and two messages: while an earlier message is unsent, `LiveStreams` skips further ones, and uWebSockets.js closes
 * the connection after the idle time after a response.
 */
import type { Gate } from '../admission/gate.ts';
import { WORKER } from '../telemetry/counters.ts';
import { UNAVAILABLE } from '../telemetry/unavailable.ts';
import type { Exchange } from './exchange.ts';
import type { Outbox } from './outbox.ts';
import { headerLine, headOf, retryAfterLine } from './response.ts';

/** Streams at once. A client may leave the opening text of each (tens of KiB) unread. */
const STREAMS_MAX = 64;

const HEAD = `${headOf(200, 'text/event-stream')}${headerLine('Cache-Control', 'no-store, no-transform')}${headerLine('X-Accel-Buffering', 'no')}${headerLine('X-Content-Type-Options', 'nosniff')}`;

export interface LiveMain {
  /** Asks main for an opening text, and for the messages from then on. */
  open(id: number): void;
  /** This worker has no stream any more. */
  close(): void;
}

interface Stream {
  readonly exchange: Exchange;
  /** False while an earlier message is unsent. */
  writable: boolean;
}

export class LiveStreams {
  private readonly outbox: Outbox;
  private readonly gate: Gate;
  private readonly main: LiveMain;
  /** Streams that wait for their opening text, by the number that main got. */
  private readonly opening = new Map<number, Exchange>();
  private readonly streams = new Map<Exchange, Stream>();
  private lastId = 0;
  private watching = false;

  constructor(outbox: Outbox, gate: Gate, main: LiveMain) {
    this.outbox = outbox;
    this.gate = gate;
    this.main = main;
  }

  open(exchange: Exchange): void {
    if (this.gate.draining) return this.refuse(exchange, 'draining');
    if (this.opening.size + this.streams.size >= STREAMS_MAX) return this.refuse(exchange, 'streams_full');
    this.lastId += 1;
    this.opening.set(this.lastId, exchange);
    this.watching = true;
    // Replaces the handler that every request gets: a stream outlives its exchange's answer.
    exchange.response.onAborted(() => this.aborted(exchange));
    this.main.open(this.lastId);
  }

  private closeWhenIdle(): void {
    if (!this.watching || this.opening.size + this.streams.size > 0) return;
    this.watching = false;
    this.main.close();
  }

  private refuse(exchange: Exchange, reason: 'draining' | 'streams_full'): void {
    this.outbox.enqueueProblem(exchange, {
      status: 503,
      code: reason,
      detail: `${UNAVAILABLE[reason].detail} Try again later.`,
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
    // Counted when its answer begins, so that an endless stream delays neither a sum nor a drain.
    this.outbox.counters[WORKER.requests_200]! += 1;
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

  /** Sends one message to all streams. */
  send(text: string): void {
    for (const stream of this.streams.values()) {
      if (!stream.writable) continue;
      const { response } = stream.exchange;
      response.cork(() => {
        stream.writable = response.write(text);
      });
    }
  }

  private aborted(exchange: Exchange): void {
    if (exchange.open) {
      exchange.open = false;
      this.outbox.counters[WORKER.requests_aborted]! += 1;
    }
    this.streams.delete(exchange);
    for (const [id, waiting] of this.opening) if (waiting === exchange) this.opening.delete(id);
    this.closeWhenIdle();
  }

  /** Ends all streams: the process is about to end, and their clients reconnect to the next one. */
  endAll(): void {
    for (const exchange of this.opening.values()) this.refuse(exchange, 'draining');
    this.opening.clear();
    for (const { response } of this.streams.keys()) response.cork(() => response.end('', true));
    this.streams.clear();
    this.closeWhenIdle();
  }
}
