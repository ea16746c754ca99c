/** One request and its answer, from the header list to the last byte sent. */
import type { BodyFormat } from '../parser/parser.ts';
import type { Status } from '../telemetry/counters.ts';
import type { Coding } from './media-type.ts';
import type { HttpResponse } from './uws.ts';

const NO_KEY = new Uint8Array(0);

export class Exchange {
  readonly response: HttpResponse;
  /** False once aborted or answered: from then on `response` must never be touched. */
  open = true;
  /** Monotonic ms when the header list was complete, when the body was, and when the metrics were journaled. */
  readonly startedMs: number;
  receivedMs = 0;
  journaledMs = 0;
  limitNs = 0;
  parseNs = 0;
  encodeNs = 0;
  clientHash = 0;
  /** What the limits know this client by. */
  clientKey: Uint8Array = NO_KEY;
  format: BodyFormat = 0;
  coding: Coding = 0;
  strict = false;
  headOnly = false;
  /** The body so far, where it comes in several chunks. */
  buffer: Uint8Array | null = null;
  length = 0;
  accepted = 0;
  rejected = 0;
  /** Tokens left for this client when limits are on. */
  remaining = -1;
  status: Status = 200;
  /** Value of Content-Type with further header lines joined to it (see answer.ts). */
  head = '';
  body = '';
  close = false;
  /** Neighbours in the list of bodies being received, oldest first. */
  older: Exchange | null = null;
  newer: Exchange | null = null;

  constructor(response: HttpResponse, startedMs: number) {
    this.response = response;
    this.startedMs = startedMs;
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
