/** One request and its answer, from the header list to the last byte sent. */
import type { BodyFormat } from '../parser/parser.ts';
import { METRIC_TYPES, type Status } from '../telemetry/counters.ts';
import type { Coding } from './media-type.ts';
import type { HttpResponse } from './uws.ts';

const NO_KEY = new Uint8Array(0);

/** What happens to an exchange while its request arrives. */
export interface ExchangeHandlers {
  aborted(exchange: Exchange): void;
  received(exchange: Exchange, chunk: ArrayBuffer, isLast: boolean): void;
}

export class Exchange {
  response!: HttpResponse;
  /** False once aborted or answered: from then on `response` must never be touched. */
  open = false;
  /** True from asking for body chunks to the last one: until then the transport may still call `onData`. */
  streaming = false;
  /** Monotonic ms when the header list was complete, when the body was, and when the metrics were journaled. */
  startedMs = 0;
  receivedMs = 0;
  journaledMs = 0;
  limitNs = 0;
  parseNs = 0;
  encodeNs = 0;
  clientHash = 0;
  /** Index of the client's class, see `CLASSES`; 0 is anonymous. */
  clientClass = 0;
  /** What the limits know this client by. */
  clientKey: Uint8Array = NO_KEY;
  format: BodyFormat = 0;
  coding: Coding = 0;
  strict = false;
  headOnly = false;
  /** A POST of metrics: it and its times are told; those of scrapes and probes would only blur them. */
  measured = false;
  /** Its times were told already, by the thread that served it. */
  recorded = false;
  /** The body so far, where it comes in several chunks. */
  buffer: Uint8Array | null = null;
  length = 0;
  accepted = 0;
  rejected = 0;
  /** Accepted metrics of each type, by its code in the parser's columns; set with `accepted`. */
  readonly typeCounts = new Int32Array(METRIC_TYPES.length);
  /** Tokens left for this client when limits are on. */
  remaining = -1;
  status: Status = 200;
  /** Status line and header lines (see answer.ts). */
  head = '';
  body = '';
  close = false;
  /** Neighbours in the list of bodies being received, oldest first. */
  older: Exchange | null = null;
  newer: Exchange | null = null;
  /** Made once for each exchange: a closure made anew for each request costs a compile check at its first call. */
  readonly onAborted: () => void;
  readonly onData: (chunk: ArrayBuffer, isLast: boolean) => void;

  constructor(handlers: ExchangeHandlers) {
    this.onAborted = () => handlers.aborted(this);
    this.onData = (chunk, isLast) => handlers.received(this, chunk, isLast);
  }

  begin(response: HttpResponse, startedMs: number): void {
    this.response = response;
    this.open = true;
    this.streaming = false;
    this.startedMs = startedMs;
    this.receivedMs = 0;
    this.journaledMs = 0;
    this.limitNs = 0;
    this.parseNs = 0;
    this.encodeNs = 0;
    this.clientHash = 0;
    this.clientClass = 0;
    this.headOnly = false;
    this.measured = false;
    this.recorded = false;
    this.length = 0;
    this.accepted = 0;
    this.rejected = 0;
    this.remaining = -1;
    this.status = 200;
    this.close = false;
  }
}

const IDLE_MAX = 1024;

/** Exchanges for reuse. One that was aborted, or that the transport may still call, is left to the collector. */
export class ExchangePool {
  private readonly idle: Exchange[] = [];
  private readonly handlers: ExchangeHandlers;

  constructor(handlers: ExchangeHandlers) {
    this.handlers = handlers;
  }

  take(response: HttpResponse, startedMs: number): Exchange {
    const exchange = this.idle.pop() ?? new Exchange(this.handlers);
    exchange.begin(response, startedMs);
    return exchange;
  }

  /** Call for an answered exchange that nothing else holds. */
  give(exchange: Exchange): void {
    if (!exchange.streaming && this.idle.length < IDLE_MAX) this.idle.push(exchange);
  }
}

/** Exchanges whose body is still arriving, in order of their start: the oldest is the first to time out. */
export class ReceivingList {
  oldest: Exchange | null = null;
  private newest: Exchange | null = null;

  add(exchange: Exchange): void {
    exchange.older = this.newest;
    if (this.newest === null) this.oldest = exchange;
    else this.newest.newer = exchange;
    this.newest = exchange;
  }

  /** Does nothing for an exchange that is not in the list. */
  remove(exchange: Exchange): void {
    if (exchange.older === null && this.oldest !== exchange) return;
    if (exchange.older === null) this.oldest = exchange.newer;
    else exchange.older.newer = exchange.newer;
    if (exchange.newer === null) this.newest = exchange.older;
    else exchange.newer.older = exchange.older;
    exchange.older = null;
    exchange.newer = null;
  }
}
