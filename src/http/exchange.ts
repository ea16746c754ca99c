/** One request and its response, from the headers to the last byte sent. */
import type { BodyFormat } from '../parser/parser.ts';
import type { PipelineRequest } from '../pipeline.ts';
import { METRIC_TYPES, type Status } from '../telemetry/counters.ts';
import type { Coding } from './media-type.ts';
import type { HttpResponse } from './uws.ts';

const NO_KEY = new Uint8Array(0);

/** Who an exchange belongs to: learns what happens on its connection and gets it back for reuse. */
export interface ExchangeOwner {
  aborted(exchange: Exchange): void;
  received(exchange: Exchange, chunk: ArrayBuffer, isLast: boolean): void;
  /** The exchange is answered and nothing else holds it. */
  released(exchange: Exchange): void;
}

export class Exchange implements PipelineRequest {
  response!: HttpResponse;
  /** False once aborted or answered: from then on nobody may touch `response`. */
  open = false;
  /** True from asking for the body to its last chunk: meanwhile uWebSockets.js may still call `onData`. */
  streaming = false;
  /** The response ends the connection even if the body is still arriving. */
  cutsBody = false;
  /** 100 (Continue) is written, see response.ts. */
  continued = false;
  /** Answered, but the body is still arriving, see body-drain.ts. */
  draining = false;
  /** Monotonic ms: headers complete, body complete, end of the pipeline, metrics journaled (0: not reached). */
  startedMs = 0;
  receivedMs = 0;
  processedMs = 0;
  journaledMs = 0;
  limitNs = 0;
  parseNs = 0;
  encodeNs = 0;
  clientHash = 0;
  /** Index of the client's class, see `CLASSES`; 0 is anonymous. */
  clientClass = 0;
  clientKey: Uint8Array = NO_KEY;
  format: BodyFormat = 0;
  coding: Coding = 0;
  strict = false;
  isCharged = false;
  idempotencyKey = '';
  keyEntry = -1;
  headOnly = false;
  /** A POST of metrics. Only their times are recorded; those of scrapes and probes would blur them. */
  measured = false;
  /** The thread that served the request has recorded its times. */
  recorded = false;
  /** The body so far, if it comes in several pieces: `length` bytes in chunks of one size, see body-chunks.ts. */
  readonly chunks: Uint8Array[] = [];
  length = 0;
  accepted = 0;
  rejected = 0;
  cursor = 0;
  /** Accepted metrics of each type, by its code in the encoder's columns; set with `accepted`. */
  readonly typeCounts = new Int32Array(METRIC_TYPES.length);
  remaining = -1;
  status: Status = 200;
  /** Status line and header lines, see response.ts. */
  head = '';
  body = '';
  close = false;
  /** uWebSockets.js closes the connection after the response, however it is written. */
  closesAlone = false;
  /** Neighbours in the list of bodies being received, oldest first. */
  older: Exchange | null = null;
  newer: Exchange | null = null;
  /** Made once per exchange: a closure per request would cost a compile check at its first call. */
  readonly onAborted: () => void;
  readonly onData: (chunk: ArrayBuffer, isLast: boolean) => void;
  private readonly owner: ExchangeOwner;

  constructor(owner: ExchangeOwner) {
    this.owner = owner;
    this.onAborted = () => owner.aborted(this);
    this.onData = (chunk, isLast) => owner.received(this, chunk, isLast);
  }

  begin(response: HttpResponse, startedMs: number): void {
    this.response = response;
    this.open = true;
    this.streaming = false;
    this.cutsBody = false;
    this.continued = false;
    this.startedMs = startedMs;
    this.receivedMs = 0;
    this.journaledMs = 0;
    this.limitNs = 0;
    this.parseNs = 0;
    this.encodeNs = 0;
    this.clientHash = 0;
    this.clientClass = 0;
    this.isCharged = false;
    this.idempotencyKey = '';
    this.keyEntry = -1;
    this.headOnly = false;
    this.measured = false;
    this.recorded = false;
    this.length = 0;
    this.accepted = 0;
    this.rejected = 0;
    this.remaining = -1;
    this.status = 200;
    this.close = false;
    this.closesAlone = false;
  }

  /** Gives an answered exchange back to its owner. */
  release(): void {
    this.owner.released(this);
  }
}

const IDLE_MAX = 1024;

/** Exchanges for reuse. The garbage collector gets those that were aborted or that uWebSockets.js may still call. */
export class ExchangePool {
  private readonly idle: Exchange[] = [];
  private readonly owner: ExchangeOwner;

  constructor(owner: ExchangeOwner) {
    this.owner = owner;
  }

  acquire(response: HttpResponse, startedMs: number): Exchange {
    const exchange = this.idle.pop() ?? new Exchange(this.owner);
    exchange.begin(response, startedMs);
    return exchange;
  }

  release(exchange: Exchange): void {
    if (!exchange.streaming && this.idle.length < IDLE_MAX) this.idle.push(exchange);
  }
}
