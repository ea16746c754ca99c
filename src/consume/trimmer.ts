/**
 * Deletes messages that the sink holds and that every consumer of the stream has acknowledged, except the newest one of each
 * log: that one is the resume point of its exporter.
 *
 * Each message is deleted by its number, after this process has stored it. A purge up to a number would be one request,
 * but nats-server 2.9 then moves consumers forward, past messages that nobody has acknowledged.
 *
 * Messages that stay although the consumer has finished them are settled with the sink: it decides whether it holds a
 * message, not the acknowledgement.
 */
import type { JetStreamManager, StoredMsg, StreamInfo } from '@nats-io/jetstream';
import { decodeExtent } from '../nats/message.ts';
import { storedMessages } from '../nats/stored-messages.ts';
import type { StoredMessage } from './worker-report.ts';

/** While another consumer lags, older messages than these stay until a later search. */
const REMEMBERED_MAX = 100_000;
const REQUESTS_AHEAD = 16;
/** Other processes delete what they have stored within seconds. */
const SEARCH_MS = 60_000;

interface Progress {
  /** All consumers have acknowledged the messages up to this one; 0 if that is not known now. */
  readonly acknowledged: number;
  /** The consumer of this sink delivers none of the messages up to this one again. */
  readonly finished: number;
}

/** Makes sure that the sink, or the quarantine, holds a message. @throws ApplyError while it cannot */
export type Settle = (message: StoredMsg) => Promise<void>;

export class Trimmer {
  private readonly jsm: JetStreamManager;
  private readonly stream: string;
  private readonly durable: string;
  private readonly settle: Settle;
  /** Sequences of messages that the sink holds, by log. */
  private readonly stored = new Map<string, Set<number>>();
  private remembered = 0;
  /** Of the stream whose messages are remembered: when it was created, and its last sequence seen. */
  private created = '';
  private lastSequence = 0;
  private nextSearchMs = 0;
  /** `Progress.finished` at the last search; null before the first one. */
  private searchedUpTo: number | null = null;

  /** @param durable the consumer of this sink */
  constructor(jsm: JetStreamManager, stream: string, durable: string, settle: Settle) {
    this.jsm = jsm;
    this.stream = stream;
    this.durable = durable;
    this.settle = settle;
  }

  /** The sink holds these messages. */
  add(messages: readonly StoredMessage[]): void {
    const createdMs = this.created === '' ? 0 : Date.parse(this.created);
    for (const { log, sequence, atMs } of messages) {
      if (this.remembered >= REMEMBERED_MAX) return;
      // A message of a stream that was deleted meanwhile: another one has its number now.
      if (atMs < createdMs) continue;
      const ofLog = this.stored.get(log) ?? new Set();
      if (!ofLog.has(sequence)) this.remembered++;
      this.stored.set(log, ofLog.add(sequence));
    }
  }

  /** The numbers that are remembered may mean other messages now. */
  forget(): void {
    this.stored.clear();
    this.remembered = 0;
    this.nextSearchMs = 0;
    this.searchedUpTo = null;
  }

  /** Returns how many messages it deleted. @throws the client's errors; ApplyError */
  async trim(): Promise<number> {
    const progress = await this.progress();
    if (progress === null) return 0;
    const { acknowledged, finished } = progress;
    const deleted = await this.deleteUpTo(acknowledged);
    if (performance.now() < this.nextSearchMs) return deleted;
    await this.settleLeftovers(Math.min(finished, this.searchedUpTo ?? finished));
    this.searchedUpTo = finished;
    this.nextSearchMs = performance.now() + SEARCH_MS;
    return deleted;
  }

  private async deleteUpTo(floor: number): Promise<number> {
    const due: [Set<number>, number][] = [];
    for (const ofLog of this.stored.values()) {
      let newest = 0;
      for (const sequence of ofLog) newest = Math.max(newest, sequence);
      for (const sequence of ofLog) if (sequence <= floor && sequence < newest) due.push([ofLog, sequence]);
    }
    for (let from = 0; from < due.length; from += REQUESTS_AHEAD) {
      if (from > 0 && !this.isKnown(await this.jsm.streams.info(this.stream))) return from;
      const some = due.slice(from, from + REQUESTS_AHEAD);
      await Promise.all(some.map(([, sequence]) => this.delete(sequence)));
      for (const [ofLog, sequence] of some) ofLog.delete(sequence);
      this.remembered -= some.length;
    }
    return due.length;
  }

  private async delete(sequence: number): Promise<void> {
    try {
      await this.jsm.streams.deleteMessage(this.stream, sequence, false);
    } catch (error) {
      // Another process was faster.
      if (!/no message found|not found/.test((error as Error).message)) throw error;
    }
  }

  /** Null if the stream is another one than before. */
  private async progress(): Promise<Progress | null> {
    let acknowledged = Number.POSITIVE_INFINITY;
    let finished = 0;
    let count = 0;
    for await (const { name, ack_floor, delivered, num_ack_pending } of this.jsm.consumers.list(
      this.stream,
    )) {
      acknowledged = Math.min(acknowledged, ack_floor.stream_seq);
      // The floor stays below a message that has been delivered max_deliver times, and is not delivered again.
      if (name === this.durable) finished = (num_ack_pending === 0 ? delivered : ack_floor).stream_seq;
      count++;
    }
    const info = await this.jsm.streams.info(this.stream);
    if (!this.isKnown(info)) return null;
    // A cluster leaves consumers out of the list while they have no leader.
    return { finished, acknowledged: count === 0 || count < info.state.consumer_count ? 0 : acknowledged };
  }

  /** Whether the stream is the one whose numbers are remembered. Forgets them if it was made again or restored. */
  private isKnown({ created, state }: StreamInfo): boolean {
    const isFirst = this.created === '';
    const isSame = isFirst || (created === this.created && state.last_seq >= this.lastSequence);
    if (!isSame) this.forget();
    this.created = created;
    this.lastSequence = state.last_seq;
    return isSame;
  }

  /**
   * Finds messages that are finished and were not deleted. As a rule, a process ended before it deleted them. But an
   * acknowledgement can belong to another message: one of a stream of this name that was deleted or rolled back, or
   * somebody gave it by hand; and a message is not delivered more often than the consumer's max_deliver.
   */
  private async settleLeftovers(upTo: number): Promise<void> {
    const { state } = await this.jsm.streams.info(this.stream);
    for await (const message of storedMessages(this.jsm, this.stream, state.first_seq, upTo)) {
      const { header, seq: sequence, time } = message;
      const extent = decodeExtent(header);
      // Others wait in the stream and in the quarantine for a person.
      if (typeof extent === 'string' || this.stored.get(extent.log)?.has(sequence) === true) continue;
      if (this.remembered >= REMEMBERED_MAX) return;
      await this.settle(message);
      this.add([{ log: extent.log, sequence, atMs: time.getTime() }]);
    }
  }
}
