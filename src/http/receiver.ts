/**
 * Receives POST bodies: checks what the header list can decide, assembles the body, and admits it.
 *
 * A body that comes in one chunk goes straight into the parser's input; one that comes in several is assembled in
 * a reused buffer first. Nothing is limited, parsed or stored before the last chunk, since uWebSockets.js calls a
 * route before it has validated the body's framing.
 */
import { monotonicMs } from '../base/clock.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { WORKER } from '../telemetry/counters.ts';
import { BodyBuffers } from './body-buffers.ts';
import { type ClientIdentity, unauthorizedProblem } from './client-identity.ts';
import { type Exchange, type ExchangeHandlers, ReceivingList } from './exchange.ts';
import type { HeaderScan } from './header-scan.ts';
import { type Inflated, Inflater } from './inflate.ts';
import { bodyFormatOf, CODINGS_ACCEPTED, codingOf, GZIP, prefersStrict, UNSUPPORTED } from './media-type.ts';
import type { Answers } from './outbox.ts';
import { headerLine, type Problem } from './response.ts';

export interface ReceiverConfig {
  readonly maxBodyBytes: number;
  /** Budget of this worker for bodies that arrive in several chunks. */
  readonly inflightBodyBytes: number;
  readonly bodyTimeoutMs: number;
}

export class Receiver implements ExchangeHandlers {
  private readonly dispatcher: Dispatcher;
  private readonly answers: Answers;
  private readonly identity: ClientIdentity;
  private readonly config: ReceiverConfig;
  private readonly buffers: BodyBuffers;
  private readonly inflater: Inflater;
  private readonly receiving = new ReceivingList();

  constructor(dispatcher: Dispatcher, answers: Answers, identity: ClientIdentity, config: ReceiverConfig) {
    this.dispatcher = dispatcher;
    this.answers = answers;
    this.identity = identity;
    this.config = config;
    this.buffers = new BodyBuffers(config.inflightBodyBytes);
    this.inflater = new Inflater(config.maxBodyBytes);
  }

  /** True while no body is being received or inflated. */
  get idle(): boolean {
    return this.receiving.oldest === null && this.inflater.pending === 0;
  }

  /** Takes over a POST whose framing is sound; `scan` holds its header list. */
  start(exchange: Exchange, scan: HeaderScan): void {
    exchange.measured = true;
    if (!this.identity.admits(exchange, scan)) return this.refuseUnauthorized(exchange, scan);
    const format = bodyFormatOf(scan.contentType);
    if (format === UNSUPPORTED) return this.answers.answer(exchange, unsupportedType(scan.contentType));
    const coding = codingOf(scan.contentEncoding);
    if (coding === UNSUPPORTED) return this.answers.answer(exchange, UNSUPPORTED_CODING);
    if (scan.contentLength > this.config.maxBodyBytes) return this.refuseTooLarge(exchange);
    const reason = this.dispatcher.unavailableReason();
    if (reason !== null) return this.dispatcher.refuseUnavailable(exchange, reason);
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
    // Refused or given up before: what still arrives is dropped.
    if (!exchange.open || exchange.receivedMs > 0) return;
    this.answers.counters[WORKER.body_bytes]! += chunk.byteLength;
    const length = exchange.length + chunk.byteLength;
    if (length > this.config.maxBodyBytes) return this.refuseTooLarge(exchange);
    if (isLast && exchange.buffer === null) return this.complete(exchange, new Uint8Array(chunk));
    if (!this.append(exchange, new Uint8Array(chunk), length)) {
      this.end(exchange);
      return this.dispatcher.refuseUnavailable(exchange, 'body_bytes_full');
    }
    if (isLast) this.complete(exchange, exchange.buffer!.subarray(0, length));
  }

  private append(exchange: Exchange, chunk: Uint8Array, length: number): boolean {
    const { buffer } = exchange;
    if (buffer === null) exchange.buffer = this.buffers.take(length);
    else if (length > buffer.length) {
      const larger = this.buffers.grow(buffer, exchange.length, length);
      if (larger === null) return false;
      exchange.buffer = larger;
    }
    if (exchange.buffer === null) return false;
    exchange.buffer.set(chunk, exchange.length);
    exchange.length = length;
    this.answers.counters[WORKER.body_bytes_now] = this.buffers.usedBytes;
    return true;
  }

  private complete(exchange: Exchange, body: Uint8Array): void {
    this.receiving.remove(exchange);
    exchange.receivedMs = monotonicMs();
    if (body.length === 0) return this.refuseMalformed(exchange, EMPTY_BODY);
    if (exchange.coding === GZIP) {
      // The chunk's memory is gone after this call, so a body in one chunk is copied; assembled ones stay put.
      const compressed = exchange.buffer === null ? body.slice() : body;
      this.inflater.push(compressed, (result) => this.inflated(exchange, result));
      return;
    }
    this.dispatcher.input.set(body);
    this.release(exchange);
    this.dispatcher.admit(exchange, body.length);
  }

  private inflated(exchange: Exchange, result: Inflated): void {
    this.release(exchange);
    if (!exchange.open) return;
    if (result === 'too_large') return this.refuseTooLarge(exchange);
    if (result === 'broken') return this.refuseMalformed(exchange, BROKEN_GZIP);
    exchange.receivedMs = monotonicMs();
    this.dispatcher.input.set(result);
    this.dispatcher.admit(exchange, result.length);
  }

  private refuseMalformed(exchange: Exchange, problem: Problem): void {
    const { counters } = this.answers;
    counters[WORKER.rejected_malformed]! += 1;
    counters[WORKER.parsed_json_failed + 2 * exchange.format]! += 1;
    this.answers.answer(exchange, problem);
  }

  private refuseUnauthorized(exchange: Exchange, { authorization, contentLength }: HeaderScan): void {
    // A body of a known and allowed size is dropped as it comes, and the connection lives on for a better token.
    const isBounded = contentLength >= 0 && contentLength <= this.config.maxBodyBytes;
    this.answers.answer(exchange, unauthorizedProblem(authorization, !isBounded));
  }

  private refuseTooLarge(exchange: Exchange): void {
    this.answers.counters[WORKER.rejected_too_large]! += 1;
    this.giveUp(exchange, {
      status: 413,
      code: 'body_too_large',
      detail: `Nothing was stored: a body may have at most ${this.config.maxBodyBytes} bytes, after decompression too. Send smaller batches.`,
      members: { limit: this.config.maxBodyBytes },
      // The rest of the body would have to be read to find the next request.
      close: true,
    });
  }

  private giveUp(exchange: Exchange, problem: Problem): void {
    this.end(exchange);
    this.answers.answer(exchange, problem);
  }

  /** From here on, what still arrives of this body is dropped. */
  private end(exchange: Exchange): void {
    this.release(exchange);
    exchange.receivedMs = monotonicMs();
  }

  /** Forgets an exchange: its place in the receiving list and its buffer. */
  private release(exchange: Exchange): void {
    this.receiving.remove(exchange);
    if (exchange.buffer === null) return;
    this.buffers.give(exchange.buffer);
    exchange.buffer = null;
    this.answers.counters[WORKER.body_bytes_now] = this.buffers.usedBytes;
  }

  /** The client is gone. A buffer that the thread pool still reads is given back when it is done. */
  aborted(exchange: Exchange): void {
    if (!exchange.open) return;
    exchange.open = false;
    this.answers.counters[WORKER.requests_aborted]! += 1;
    if (exchange.receivedMs === 0) this.release(exchange);
  }

  /** Answers 408 to bodies that have been arriving for too long. */
  expire(nowMs: number): void {
    for (;;) {
      const exchange = this.receiving.oldest;
      if (exchange === null || nowMs - exchange.startedMs < this.config.bodyTimeoutMs) return;
      this.answers.counters[WORKER.timeouts_body]! += 1;
      this.giveUp(exchange, {
        status: 408,
        code: 'body_timeout',
        detail: `Nothing was stored: the body did not arrive within ${this.config.bodyTimeoutMs} ms.`,
        members: { receivedBytes: exchange.length },
        close: true,
      });
    }
  }

  /** Refuses what is still arriving, for the end of a drain. */
  refuseAll(): void {
    for (let next = this.receiving.oldest; next !== null; next = this.receiving.oldest) {
      this.end(next);
      this.answers.counters[WORKER.timeouts_drain]! += 1;
      this.dispatcher.refuseUnavailable(next, 'draining');
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

/** uWebSockets.js shows some bodies whose framing is broken as empty ones, so the connection is not used again. */
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
