/**
 * One worker: fetches messages of the shared durable consumer, applies them in batches, and acknowledges each batch once its
 * transaction is durable.
 *
 * Two loops share a backlog. One fetches, the other applies, so the next batch arrives during the transaction. A worker has
 * a thread of its own: the client of NATS gives up a request when the event loop was blocked for some seconds.
 */
import type {
  Consumer,
  ConsumerMessages,
  JetStreamClient,
  JetStreamManager,
  JsMsg,
} from '@nats-io/jetstream';
import type { NatsAddress } from '../nats/address.ts';
import type { NatsLink } from '../nats/connect.ts';
import { natsErrorText } from '../nats/errors.ts';
import { type CommitMessage, decodeExtent, decodeMessage, type Extent } from '../nats/message.ts';
import { quarantineStreamOf } from '../nats/stream.ts';
import { type Applied, type Applier, ApplyError } from './applier.ts';
import { Backlog } from './backlog.ts';
import { quarantine } from './quarantine.ts';
import type { SinkBreaker } from './sink-breaker.ts';
import type { StoredMessage, WorkerReport, WorkerState } from './worker-report.ts';

/** A worker reports a message as in progress so often within the time for its acknowledgement. */
const TOUCHES = 3;
/** The server holds a fetch for so long. It bounds the time of an orderly stop. */
const FETCH_MS = 1_000;
const WAIT_MS = 1_000;
const OFFLINE_MS = 500;
const RETURN_MS = 500;
const RETURN_MAX_MS = 30_000;

export interface WorkerOptions {
  readonly link: NatsLink;
  readonly jsm: JetStreamManager;
  readonly address: NatsAddress;
  readonly durable: string;
  readonly workers: number;
  readonly batchBytes: number;
  /** Bytes of messages that a worker holds at most. */
  readonly heldBytes: number;
  readonly ackWaitMs: number;
  readonly applier: Applier;
  readonly breaker: SinkBreaker;
  readonly report: (report: WorkerReport) => void;
}

interface Decoded {
  readonly source: JsMsg;
  readonly message: CommitMessage;
}

export class Worker {
  private readonly options: WorkerOptions;
  private readonly js: JetStreamClient;
  private readonly backlog: Backlog;
  /** By message: the connection over which it came. */
  private readonly sessions = new WeakMap<JsMsg, number>();
  private consumer: Consumer | null = null;
  private isStopping = false;
  /** Messages that nobody had fetched when the last one was delivered. */
  private pending = 0;
  /** Why the stream gave nothing the last time, or ''. */
  private error = '';

  constructor(options: WorkerOptions) {
    this.options = options;
    this.js = options.jsm.jetstream();
    this.backlog = new Backlog(options.batchBytes, options.heldBytes);
  }

  /** Works until `stop`. */
  async run(): Promise<void> {
    const touch = setInterval(() => this.backlog.touch(), this.options.ackWaitMs / TOUCHES);
    try {
      await Promise.all([this.fetchLoop(), this.applyLoop()]);
      // A plain refusal: another worker gets them at once.
      for (const message of this.backlog.drain()) message.nak();
    } finally {
      clearInterval(touch);
      this.enter('stopped');
    }
  }

  /** Finishes the batch in progress, and gives the rest back to the stream. */
  stop(): void {
    this.isStopping = true;
  }

  private enter(state: WorkerState): void {
    this.options.report({
      kind: 'state',
      state,
      held: this.backlog.size,
      heldBytes: this.backlog.bytes,
      error: this.error,
    });
  }

  private async fetchLoop(): Promise<void> {
    while (!this.isStopping) {
      if (!this.options.breaker.isClosed) await this.awaitSink();
      else if (this.backlog.room() === 0) await this.backlog.changed(WAIT_MS);
      else await this.fetchOnce();
    }
  }

  /** Nobody fetches until a connection to the sink succeeds. */
  private async awaitSink(): Promise<void> {
    const { breaker, applier } = this.options;
    this.enter('paused');
    // The applier serves one call at a time.
    if (this.backlog.size > 0 || !breaker.admitsTest()) {
      await this.backlog.changed(OFFLINE_MS);
      return;
    }
    try {
      await breaker.watch(() => applier.connect(), isSinkFailure);
    } catch (error) {
      this.sinkFailed(error as Error);
    }
  }

  /** Fetches what is there, up to this worker's share of the queue; waits for one message if the queue is empty. */
  private async fetchOnce(): Promise<void> {
    const { options, backlog } = this;
    const share = Math.ceil((this.pending + 1) / options.workers);
    try {
      if (backlog.size === 0) this.enter('fetching');
      this.consumer ??= await this.js.consumers.get(options.address.stream, options.durable);
      const messages = await this.consumer.fetch({
        max_messages: Math.min(backlog.room(), share),
        expires: FETCH_MS,
      });
      // The client itself waits for the next connection, however long that takes.
      await options.link.guard(() => this.receive(messages)).finally(() => messages.stop());
      this.error = '';
    } catch (error) {
      this.consumer = null;
      this.error = natsErrorText(error, options.address);
      this.enter('offline');
      await backlog.changed(OFFLINE_MS);
    }
  }

  private async receive(messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      this.pending = message.info.pending;
      this.sessions.set(message, this.options.link.session);
      this.backlog.add(message);
    }
  }

  private async applyLoop(): Promise<void> {
    const { backlog } = this;
    while (!this.isStopping) {
      const batch = backlog.take();
      if (batch.length === 0) {
        await backlog.changed(WAIT_MS);
        continue;
      }
      this.enter('applying');
      const decoded = await this.decode(batch);
      if (this.options.breaker.isClosed) await this.applyBatch(decoded);
      else this.giveBack(decoded);
      backlog.finished();
    }
  }

  /** The messages that are ours; puts the others into the quarantine. */
  private async decode(batch: readonly JsMsg[]): Promise<Decoded[]> {
    const decoded: Decoded[] = [];
    for (const source of batch) {
      const message = decodeMessage(source.headers, source.data);
      if (typeof message === 'string') await this.putAside(source, message);
      else decoded.push({ source, message });
    }
    return decoded;
  }

  /** After a refusal each message is applied alone, so that poison does not take its neighbours along. */
  private async applyBatch(batch: readonly Decoded[]): Promise<void> {
    if (batch.length === 0) return;
    try {
      await this.store(batch);
    } catch (error) {
      if (isSinkFailure(error)) {
        this.sinkFailed(error as Error);
        this.giveBack(batch);
      } else if (batch.length === 1) await this.putAside(batch[0]!.source, (error as Error).message);
      else for (const one of batch) await this.applyBatch([one]);
    }
  }

  private async store(batch: readonly Decoded[]): Promise<void> {
    const { applier, breaker, report } = this.options;
    const startMs = performance.now();
    const applied: Applied = await breaker.watch(
      () => applier.apply(batch.map(({ message }) => message)),
      isSinkFailure,
    );
    // Only now: a crash before this line sends the messages again, and the sink knows that it holds them.
    for (const { source } of batch) source.ack();
    const now = Date.now();
    report({
      kind: 'batch',
      messages: batch.length,
      redelivered: batch.filter(({ source }) => source.redelivered).length,
      repeated: applied.repeated,
      bytes: batch.reduce((sum, { message }) => sum + message.body.length, 0),
      lines: applied.lines,
      applyMs: performance.now() - startMs,
      queueMs: batch.map(({ message }) => now - message.readAtMs),
      streamMs: batch.map(({ source }) => now - source.time.getTime()),
      stored: batch.flatMap(({ source, message }) => this.storedMessage(source, message)),
    });
  }

  /** Not over another connection: a server that was restored from a copy gives such a number to a new message. */
  private storedMessage(source: JsMsg, { log, first, last, part, parts }: Extent): StoredMessage[] {
    if (this.sessions.get(source) !== this.options.link.session) return [];
    const { seq: sequence, data, time } = source;
    return [{ log, first, last, part, parts, sequence, bytes: data.length, atMs: time.getTime() }];
  }

  private sinkFailed({ message: error }: Error): void {
    this.options.report({ kind: 'sink failed', error });
  }

  /** With a delay that grows with the deliveries: a bare refusal would come back within a millisecond. */
  private giveBack(batch: readonly Decoded[]): void {
    for (const { source } of batch) {
      source.nak(Math.min(RETURN_MAX_MS, RETURN_MS * 2 ** Math.min(source.info.deliveryCount - 1, 16)));
    }
    this.options.report({ kind: 'returned', messages: batch.length });
  }

  private async putAside(source: JsMsg, reason: string): Promise<void> {
    const { address, report } = this.options;
    try {
      await quarantine(this.js, address.stream, source, reason);
      // Without the reason: servers before 2.11 do not understand it, and would deliver the message again.
      source.term();
      const extent = decodeExtent(source.headers);
      const stored = typeof extent === 'string' ? [] : this.storedMessage(source, extent);
      report({ kind: 'quarantined', sequence: source.seq, reason, stored });
    } catch (error) {
      // The quarantine is full or away: the message stays where it is.
      source.nak(RETURN_MAX_MS);
      const text = natsErrorText(error, { ...address, stream: quarantineStreamOf(address.stream) });
      report({
        kind: 'quarantine failed',
        error: `message ${source.seq} is refused (${reason}) and cannot be put into the quarantine: ${text}`,
      });
      report({ kind: 'returned', messages: 1 });
    }
  }
}

/** Poison says nothing about the sink. */
function isSinkFailure(error: unknown): boolean {
  return !(error instanceof ApplyError) || error.verdict !== 'poison';
}
