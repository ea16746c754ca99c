/**
 * Receives POST bodies: checks what the headers can decide, assembles the body, and hands it to the sink.
 *
 * A body in one chunk goes to the sink as it is; a body in several chunks is assembled in a reused buffer first.
 * Nothing is limited, parsed or stored before the last chunk, because uWebSockets.js calls a route before it has
 * validated the framing of the body.
 */
import { monotonicMs } from '../base/clock.ts';
import { WORKER } from '../telemetry/counters.ts';
import { BodyBuffers } from './body-buffers.ts';
import { type ClientIdentity, unauthorizedProblem } from './client-identity.ts';
import { type Exchange, type ExchangeOwner, ExchangePool } from './exchange.ts';
import type { HeaderScan } from './header-scan.ts';
import { type Inflated, Inflater } from './inflate.ts';
import { bodyFormatOf, CODINGS_ACCEPTED, codingOf, GZIP, prefersStrict, UNSUPPORTED } from './media-type.ts';
import type { Outbox } from './outbox.ts';
import { ReceivingList } from './receiving-list.ts';
import type { RequestSink } from './request-sink.ts';
import { headerLine, type Problem } from './response.ts';
import type { HttpResponse } from './uws.ts';

export interface ReceiverConfig {
  readonly maxBodyBytes: number;
  /** This worker's budget for bodies that arrive in several chunks. */
  readonly inflightBodyBytes: number;
  readonly bodyTimeoutMs: number;
}

export class Receiver implements ExchangeOwner {
  private readonly sink: RequestSink;
  private readonly outbox: Outbox;
  private readonly counters: Float64Array;
  private readonly identity: ClientIdentity;
  private readonly config: ReceiverConfig;
  private readonly exchanges = new ExchangePool(this);
  private readonly buffers: BodyBuffers;
  private readonly inflater: Inflater;
  private readonly receiving = new ReceivingList();

  constructor(sink: RequestSink, identity: ClientIdentity, config: ReceiverConfig) {
    this.sink = sink;
    this.outbox = sink.outbox;
    this.counters = sink.outbox.counters;
    this.identity = identity;
    this.config = config;
    this.buffers = new BodyBuffers(config.inflightBodyBytes);
    this.inflater = new Inflater(config.maxBodyBytes);
  }

  /** True while no body is being received or decompressed. */
  get idle(): boolean {
    return this.receiving.oldest === null && this.inflater.pending === 0;
  }

  /** An exchange for a request whose headers have just arrived, whatever it asks for. */
  open(response: HttpResponse): Exchange {
    this.counters[WORKER.requests_received]! += 1;
    const exchange = this.exchanges.acquire(response, this.outbox.turn.nowMs());
    response.onAborted(exchange.onAborted);
    return exchange;
  }

  /** Receives the body of a POST whose framing is sound; `scan` holds its headers. */
  receive(exchange: Exchange, scan: HeaderScan): void {
    exchange.measured = true;
    if (!this.identity.admits(exchange, scan)) return this.rejectUnauthorized(exchange, scan);
    const format = bodyFormatOf(scan.contentType);
    if (format === UNSUPPORTED)
      return this.outbox.enqueueProblem(exchange, unsupportedType(scan.contentType));
    const coding = codingOf(scan.contentEncoding);
    if (coding === UNSUPPORTED) return this.outbox.enqueueProblem(exchange, UNSUPPORTED_CODING);
    if (scan.contentLength > this.config.maxBodyBytes) return this.rejectTooLarge(exchange);
    const reason = this.sink.gate.atHeaders(exchange.startedMs);
    if (reason !== null) return this.outbox.enqueueUnavailable(exchange, reason);
    exchange.format = format;
    exchange.coding = coding;
    exchange.strict = prefersStrict(scan.prefer);
    this.identity.setKey(exchange, scan);
    this.receiving.add(exchange);
    exchange.streaming = true;
    exchange.response.onData(exchange.onData);
  }

  received(exchange: Exchange, chunk: ArrayBuffer, isLast: boolean): void {
    exchange.streaming = !isLast;
    // The request was answered before: drop what still arrives.
    if (!exchange.open || exchange.receivedMs > 0) return;
    this.counters[WORKER.body_bytes]! += chunk.byteLength;
    const length = exchange.length + chunk.byteLength;
    if (length > this.config.maxBodyBytes) return this.rejectTooLarge(exchange);
    if (isLast && exchange.buffer === null) return this.complete(exchange, new Uint8Array(chunk));
    if (!this.append(exchange, new Uint8Array(chunk), length)) {
      this.stopReceiving(exchange);
      return this.outbox.enqueueUnavailable(exchange, 'body_bytes_full');
    }
    if (isLast) this.complete(exchange, exchange.buffer!.subarray(0, length));
  }

  /** @returns false when the budget for bodies is used up */
  private append(exchange: Exchange, chunk: Uint8Array, length: number): boolean {
    const { buffer } = exchange;
    if (buffer === null) exchange.buffer = this.buffers.acquire(length);
    else if (length > buffer.length) {
      const larger = this.buffers.grow(buffer, exchange.length, length);
      if (larger === null) return false;
      exchange.buffer = larger;
    }
    if (exchange.buffer === null) return false;
    exchange.buffer.set(chunk, exchange.length);
    exchange.length = length;
    this.counters[WORKER.body_bytes_now] = this.buffers.usedBytes;
    return true;
  }

  private complete(exchange: Exchange, body: Uint8Array): void {
    this.receiving.remove(exchange);
    exchange.receivedMs = monotonicMs();
    if (body.length === 0) return this.rejectMalformed(exchange, EMPTY_BODY);
    if (exchange.coding === GZIP) {
      // uWebSockets.js detaches the chunk after this call, so copy it. An assembled body stays in its buffer.
      const compressed = exchange.buffer === null ? body.slice() : body;
      this.inflater.push(compressed, (result) => this.inflated(exchange, result));
      return;
    }
    this.sink.admit(exchange, body);
    this.releaseBuffer(exchange);
  }

  private inflated(exchange: Exchange, result: Inflated): void {
    this.releaseBuffer(exchange);
    if (!exchange.open) return;
    if (result === 'too_large') return this.rejectTooLarge(exchange);
    if (result === 'broken') return this.rejectMalformed(exchange, BROKEN_GZIP);
    exchange.receivedMs = monotonicMs();
    this.sink.admit(exchange, result);
  }

  private rejectMalformed(exchange: Exchange, problem: Problem): void {
    this.releaseBuffer(exchange);
    this.counters[WORKER.rejected_malformed]! += 1;
    this.counters[WORKER.parsed_json_failed + 2 * exchange.format]! += 1;
    this.outbox.enqueueProblem(exchange, problem);
  }

  private rejectUnauthorized(exchange: Exchange, { authorization, contentLength }: HeaderScan): void {
    // If the body has a known and allowed size, drop it as it arrives. The connection stays for a better token.
    const isBounded = contentLength >= 0 && contentLength <= this.config.maxBodyBytes;
    this.outbox.enqueueProblem(exchange, unauthorizedProblem(authorization, !isBounded));
  }

  private rejectTooLarge(exchange: Exchange): void {
    this.counters[WORKER.rejected_too_large]! += 1;
    this.giveUp(exchange, {
      status: 413,
      code: 'body_too_large',
      detail: `Nothing was stored: a body may have at most ${this.config.maxBodyBytes} bytes, after decompression too. Send smaller batches.`,
      members: { limit: this.config.maxBodyBytes },
      // Otherwise the server would have to read the rest of the body to find the next request.
      close: true,
    });
  }

  private giveUp(exchange: Exchange, problem: Problem): void {
    this.stopReceiving(exchange);
    this.outbox.enqueueProblem(exchange, problem);
  }

  /** Drops what still arrives of this body. */
  private stopReceiving(exchange: Exchange): void {
    this.receiving.remove(exchange);
    this.releaseBuffer(exchange);
    exchange.receivedMs = monotonicMs();
  }

  private releaseBuffer(exchange: Exchange): void {
    if (exchange.buffer === null) return;
    this.buffers.release(exchange.buffer);
    exchange.buffer = null;
    this.counters[WORKER.body_bytes_now] = this.buffers.usedBytes;
  }

  /** The client is gone. If the thread pool still reads the buffer, `inflated` releases it. */
  aborted(exchange: Exchange): void {
    if (!exchange.open) return;
    exchange.open = false;
    this.counters[WORKER.requests_aborted]! += 1;
    if (exchange.receivedMs > 0) return;
    this.receiving.remove(exchange);
    this.releaseBuffer(exchange);
  }

  released(exchange: Exchange): void {
    this.exchanges.release(exchange);
  }

  /** Answers 408 to bodies that have been arriving for too long. */
  expire(nowMs: number): void {
    for (;;) {
      const exchange = this.receiving.oldest;
      if (exchange === null || nowMs - exchange.startedMs < this.config.bodyTimeoutMs) return;
      this.counters[WORKER.timeouts_body]! += 1;
      this.giveUp(exchange, {
        status: 408,
        code: 'body_timeout',
        detail: `Nothing was stored: the body did not arrive within ${this.config.bodyTimeoutMs} ms.`,
        members: { receivedBytes: exchange.length },
        close: true,
      });
    }
  }

  /** Refuses every body that is still arriving, at the end of a drain. */
  refuseAll(): void {
    for (let next = this.receiving.oldest; next !== null; next = this.receiving.oldest) {
      this.stopReceiving(next);
      this.counters[WORKER.timeouts_drain]! += 1;
      this.outbox.enqueueUnavailable(next, 'draining');
    }
  }
}

function unsupportedType(contentType: string): Problem {
  return {
    status: 415,
    code: 'unsupported_type',
    detail: 'Nothing was stored: send application/json or application/x-ndjson.',
    members: {
      contentType: contentType.slice(0, 100),
      supported: ['application/json', 'application/x-ndjson'],
    },
    lines: headerLine('Accept', 'application/json, application/x-ndjson'),
  };
}

const UNSUPPORTED_CODING: Problem = {
  status: 415,
  code: 'unsupported_encoding',
  detail: 'Nothing was stored: send the body as it is or with Content-Encoding: gzip.',
  members: { supported: ['gzip', 'identity'] },
  lines: headerLine('Accept-Encoding', CODINGS_ACCEPTED),
};

/** uWebSockets.js reports some bodies with broken framing as empty, so the connection cannot be used again. */
const EMPTY_BODY: Problem = {
  status: 400,
  code: 'malformed',
  detail: 'Nothing was stored: the body is empty.',
  members: { offset: 0, field: '', reason: 'the body is empty' },
  close: true,
};

const BROKEN_GZIP: Problem = {
  status: 400,
  code: 'malformed',
  detail: 'Nothing was stored: the body is not a complete gzip stream.',
  members: { offset: 0, field: '', reason: 'not a complete gzip stream' },
};
