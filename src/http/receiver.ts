/**
 * Receives POST bodies: checks what the headers can decide, assembles the body, and hands it to the sink.
 *
 * A body in one piece goes to the sink as it is; the pieces of another are kept in chunks first. A compressed body waits
 * in such chunks until `Inflater` decompresses it.
 * Nothing is limited, parsed or stored before the last chunk, because uWebSockets.js calls a route before it has
 * validated the framing of the body.
 */
import { monotonicMs } from '../base/clock.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { CountedReason } from '../telemetry/unavailable.ts';
import { append, BodyAssembly, BodyChunks, CHUNK_BYTES } from './body-chunks.ts';
import { BodyDrain } from './body-drain.ts';
import { type ClientIdentity, unauthorizedProblem } from './client-identity.ts';
import { ClientShares } from './client-shares.ts';
import type { CompressedCharge } from './compressed-charge.ts';
import { type Exchange, type ExchangeOwner, ExchangePool } from './exchange.ts';
import type { HeaderScan } from './header-scan.ts';
import { idempotencyKeyOf } from './idempotency-key.ts';
import type { Inflated } from './inflate.ts';
import { Inflater, type InflaterOwner } from './inflater.ts';
import { bodyFormatOf, CODINGS_ACCEPTED, codingOf, GZIP, prefersStrict, UNSUPPORTED } from './media-type.ts';
import type { Outbox } from './outbox.ts';
import { ReceivingList } from './receiving-list.ts';
import type { RequestSink } from './request-sink.ts';
import { headerLine, type Problem } from './response.ts';
import type { HttpResponse } from './uws.ts';

export interface ReceiverConfig {
  readonly maxBodyBytes: number;
  /** This worker's budget for bodies that arrive in several pieces. */
  readonly inflightBodyBytes: number;
  readonly bodyTimeoutMs: number;
  /** Compressed bodies that may wait in this worker, and for how long. */
  readonly decompressionQueue: number;
  readonly decompressionTimeoutMs: number;
}

export class Receiver implements ExchangeOwner, InflaterOwner {
  private readonly sink: RequestSink;
  private readonly outbox: Outbox;
  private readonly counters: Float64Array;
  private readonly identity: ClientIdentity;
  private readonly charge: CompressedCharge;
  private readonly config: ReceiverConfig;
  private readonly exchanges = new ExchangePool(this);
  private readonly chunks: BodyChunks;
  private readonly assembly: BodyAssembly;
  /** The thread pool reads it while this thread assembles the next body. */
  private readonly compressedAssembly: BodyAssembly;
  private readonly shares = new ClientShares();
  private readonly inflater: Inflater;
  private readonly receiving = new ReceivingList();
  private readonly drain = new BodyDrain();

  constructor(sink: RequestSink, identity: ClientIdentity, charge: CompressedCharge, config: ReceiverConfig) {
    this.sink = sink;
    this.outbox = sink.outbox;
    this.counters = sink.outbox.counters;
    this.identity = identity;
    this.charge = charge;
    this.config = config;
    this.chunks = new BodyChunks(config.inflightBodyBytes);
    this.assembly = new BodyAssembly(config.maxBodyBytes);
    this.compressedAssembly = new BodyAssembly(config.maxBodyBytes);
    this.inflater = new Inflater(config.maxBodyBytes, config.decompressionQueue, this);
  }

  /** True while no body is being received, dropped or decompressed. */
  get idle(): boolean {
    return this.receiving.oldest === null && this.drain.idle && this.inflater.pending === 0;
  }

  /** An exchange for a request whose headers have just arrived, whatever it asks for. */
  open(response: HttpResponse): Exchange {
    this.counters[WORKER.requests_received]! += 1;
    const exchange = this.exchanges.acquire(response, this.outbox.turn.nowMs());
    response.onAborted(exchange.onAborted);
    return exchange;
  }

  /**
   * Drops the body of a request that is rejected by its headers. uWebSockets.js itself skips a body of known length,
   * and the connection stays usable. A larger or open one is drained within bounds, and then the connection closes. So
   * is any body before a close: uWebSockets.js would close at once, and the reset would overtake the answer.
   */
  discard(exchange: Exchange, { contentLength }: HeaderScan): void {
    exchange.receivedMs = exchange.startedMs;
    const closes = exchange.close || this.sink.gate.draining;
    if (!closes && contentLength >= 0 && contentLength <= this.config.maxBodyBytes) return;
    exchange.streaming = true;
    exchange.response.onData(exchange.onData);
  }

  /** Receives the body of a POST whose framing is sound; `scan` holds its headers. */
  receive(exchange: Exchange, scan: HeaderScan): void {
    exchange.measured = true;
    if (this.rejectByHeaders(exchange, scan)) return this.discard(exchange, scan);
    exchange.strict = prefersStrict(scan.prefer);
    exchange.idempotencyKey = idempotencyKeyOf(scan.idempotencyKey);
    this.identity.setKey(exchange, scan);
    this.receiving.add(exchange);
    exchange.streaming = true;
    exchange.response.onData(exchange.onData);
  }

  /** @returns true if the request is rejected; otherwise `format` and `coding` of the body are known */
  private rejectByHeaders(exchange: Exchange, scan: HeaderScan): boolean {
    const problem = this.problemOfHeaders(exchange, scan);
    if (problem !== null) {
      this.outbox.enqueueProblem(exchange, problem);
      return true;
    }
    const reason = this.sink.gate.atHeaders(exchange.startedMs);
    if (reason !== null) this.outbox.enqueueUnavailable(exchange, reason);
    return reason !== null;
  }

  private problemOfHeaders(exchange: Exchange, scan: HeaderScan): Problem | null {
    if (!this.identity.admits(exchange, scan)) return unauthorizedProblem(scan.authorization);
    const format = bodyFormatOf(scan.contentType);
    if (format === UNSUPPORTED) return unsupportedType(scan.contentType);
    const coding = codingOf(scan.contentEncoding);
    if (coding === UNSUPPORTED) return UNSUPPORTED_CODING;
    if (scan.contentLength > this.config.maxBodyBytes) return this.tooLarge();
    exchange.format = format;
    exchange.coding = coding;
    return null;
  }

  received(exchange: Exchange, chunk: ArrayBuffer, isLast: boolean): void {
    exchange.streaming = !isLast;
    if (exchange.draining) return this.drain.received(exchange, chunk.byteLength, isLast);
    // The request was answered before: drop what still arrives.
    if (!exchange.open || exchange.receivedMs > 0) return;
    this.counters[WORKER.body_bytes]! += chunk.byteLength;
    const length = exchange.length + chunk.byteLength;
    if (length > this.config.maxBodyBytes) return this.rejectTooLarge(exchange);
    if (isLast && exchange.length === 0 && exchange.coding !== GZIP) {
      return this.complete(exchange, new Uint8Array(chunk));
    }
    // uWebSockets.js detaches the chunk after this call, so copy what has to stay.
    if (!this.makeRoom(exchange, length)) return this.refuseBody(exchange, 'body_bytes_full');
    append(exchange.chunks, exchange.length, new Uint8Array(chunk));
    exchange.length = length;
    if (!isLast) return;
    if (exchange.coding === GZIP) this.queueCompressed(exchange);
    else this.complete(exchange, this.assembly.contiguous(exchange.chunks, length));
  }

  /** Makes `exchange.chunks` hold `length` bytes. @returns false when the budget for bodies is used up */
  private makeRoom(exchange: Exchange, length: number): boolean {
    const { chunks } = exchange;
    const before = chunks.length;
    while (!this.chunks.extend(chunks, length)) {
      const victim = this.shares.victimFor(exchange, length - before * CHUNK_BYTES);
      if (victim === null) return false;
      this.refuseBody(victim, 'body_bytes_full');
    }
    if (chunks.length === before) return true;
    if (before === 0) this.shares.add(exchange, chunks.length * CHUNK_BYTES);
    else this.shares.grow(exchange, (chunks.length - before) * CHUNK_BYTES);
    this.counters[WORKER.body_bytes_now] = this.chunks.usedBytes;
    return true;
  }

  /** The identity-coded body is complete. */
  private complete(exchange: Exchange, body: Uint8Array): void {
    this.receiving.remove(exchange);
    exchange.receivedMs = monotonicMs();
    if (body.length === 0) return this.rejectMalformed(exchange, EMPTY_BODY);
    this.sink.admit(exchange, body);
    this.releaseChunks(exchange);
  }

  /**
   * The compressed body is complete. Checks in the order of all requests, 503 before 429, since a refused body must
   * cost neither its client's limit nor the time to decompress it.
   */
  private queueCompressed(exchange: Exchange): void {
    this.receiving.remove(exchange);
    exchange.receivedMs = monotonicMs();
    if (exchange.length === 0) return this.rejectMalformed(exchange, EMPTY_BODY);
    const reason =
      this.sink.gate.atHeaders(exchange.receivedMs) ??
      (this.inflater.hasRoomFor(exchange) ? null : 'decompression_full');
    if (reason !== null) return this.refuseBody(exchange, reason);
    if (!this.charge.accept(exchange, this.outbox)) return this.releaseChunks(exchange);
    this.inflater.push(exchange);
    this.counters[WORKER.decompressions_now] = this.inflater.pending;
  }

  compressed(exchange: Exchange): Uint8Array {
    const body = this.compressedAssembly.contiguous(exchange.chunks, exchange.length);
    this.releaseChunks(exchange);
    return body;
  }

  dropped(exchange: Exchange): void {
    this.refuseBody(exchange, 'decompression_full');
  }

  inflated(exchange: Exchange, result: Inflated): void {
    this.counters[WORKER.decompressions_now] = this.inflater.pending;
    if (!exchange.open) return;
    if (result === 'too_large') return this.rejectTooLarge(exchange);
    if (result === 'broken') return this.rejectMalformed(exchange, BROKEN_GZIP);
    exchange.receivedMs = monotonicMs();
    this.sink.admit(exchange, result);
  }

  private rejectMalformed(exchange: Exchange, problem: Problem): void {
    this.releaseChunks(exchange);
    this.counters[WORKER.rejected_malformed]! += 1;
    this.counters[WORKER.parsed_json_failed + 2 * exchange.format]! += 1;
    this.outbox.enqueueProblem(exchange, problem);
  }

  private rejectTooLarge(exchange: Exchange): void {
    this.giveUp(exchange, this.tooLarge());
  }

  /** A 413, counted. */
  private tooLarge(): Problem {
    const { maxBodyBytes } = this.config;
    this.counters[WORKER.rejected_too_large]! += 1;
    return {
      status: 413,
      code: 'body_too_large',
      detail: `Nothing was stored: a body may have at most ${maxBodyBytes} bytes, after decompression too. Send smaller batches.`,
      members: { limit: maxBodyBytes },
    };
  }

  private giveUp(exchange: Exchange, problem: Problem): void {
    this.stopReceiving(exchange);
    this.outbox.enqueueProblem(exchange, problem);
  }

  private refuseBody(exchange: Exchange, reason: CountedReason): void {
    this.stopReceiving(exchange);
    this.outbox.enqueueUnavailable(exchange, reason);
  }

  /** Drops what still arrives of this body, or a compressed body that waits. */
  private stopReceiving(exchange: Exchange): void {
    this.receiving.remove(exchange);
    this.inflater.remove(exchange);
    this.counters[WORKER.decompressions_now] = this.inflater.pending;
    this.releaseChunks(exchange);
    exchange.receivedMs = monotonicMs();
  }

  private releaseChunks(exchange: Exchange): void {
    const { chunks } = exchange;
    if (chunks.length === 0) return;
    this.shares.remove(exchange, chunks.length * CHUNK_BYTES);
    this.chunks.release(chunks);
    this.counters[WORKER.body_bytes_now] = this.chunks.usedBytes;
  }

  /** The client is gone. */
  aborted(exchange: Exchange): void {
    if (exchange.draining) return this.drain.aborted(exchange);
    if (!exchange.open) return;
    exchange.open = false;
    this.counters[WORKER.requests_aborted]! += 1;
    if (exchange.chunks.length === 0) return this.receiving.remove(exchange);
    this.stopReceiving(exchange);
  }

  released(exchange: Exchange): void {
    if (exchange.streaming && !exchange.cutsBody) this.drain.add(exchange, monotonicMs());
    else this.exchanges.release(exchange);
  }

  /**
   * Answers 408 to bodies that have been arriving for too long and 503 to those that wait for decompression, and stops
   * draining the bodies of answered requests.
   */
  expire(nowMs: number): void {
    this.drain.expire(nowMs);
    this.inflater.expire(nowMs - this.config.decompressionTimeoutMs);
    this.counters[WORKER.decompressions_now] = this.inflater.pending;
    for (;;) {
      const exchange = this.receiving.oldest;
      if (exchange === null || nowMs - exchange.startedMs < this.config.bodyTimeoutMs) return;
      this.counters[WORKER.timeouts_body]! += 1;
      exchange.cutsBody = true;
      this.giveUp(exchange, {
        status: 408,
        code: 'body_timeout',
        detail: `Nothing was stored: the body did not arrive within ${this.config.bodyTimeoutMs} ms.`,
        members: { receivedBytes: exchange.length },
        close: true,
      });
    }
  }

  /** Refuses every body that is still arriving or not decompressed yet, at the end of a drain. */
  refuseAll(): void {
    this.drain.closeAll();
    for (let next = this.receiving.oldest; next !== null; next = this.receiving.oldest) this.refuseLate(next);
    for (const exchange of this.inflater.removeAll()) {
      // The client of the body being decompressed may have gone.
      if (exchange.open) this.refuseLate(exchange);
    }
  }

  private refuseLate(exchange: Exchange): void {
    this.counters[WORKER.timeouts_drain]! += 1;
    exchange.cutsBody = true;
    this.refuseBody(exchange, 'draining');
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
