/**
 * Deletes messages that the sink holds and that every consumer of the stream has acknowledged, except the newest one of each
 * log: that one is the resume point of its exporter.
 *
 * Each message is deleted by its number, after this process has stored it. A purge up to a number would be one request,
 * but nats-server 2.9 then moves consumers forward, past messages that nobody has acknowledged.
 *
 * In a cluster whose disks stall, a number can mean two messages: one that a consumer got, and another one of the next leader.
 * So that leader is asked for each message that was stored before its election, or soon after, before it is deleted. The
 * answer has the body, too, and takes two thirds of the CPU of storing it.
 *
 * Messages that stay although the consumer has finished them are settled with the sink: it decides whether it holds a
 * message, not the acknowledgement.
 */
import type { JetStreamManager, StoredMsg, StreamInfo } from '@nats-io/jetstream';
import { decodeExtent, isSameExtent } from '../nats/message.ts';
import { storedMessages } from '../nats/stored-messages.ts';
import type { StoredMessage } from './worker-report.ts';

/** While another consumer lags, older messages than these stay until a later search. */
const REMEMBERED_MAX = 100_000;
const REQUESTS_AHEAD = 16;
/** Of messages that are read at the same time; one may be larger. */
const READ_BYTES = 8 << 20;
interface Times {
  /** After an election, a consumer may be behind another server than the new leader for so long. */
  readonly doubtMs: number;
  /** Between searches. Other processes delete what they have stored within seconds. */
  readonly searchMs: number;
}

const TIMES: Times = { doubtMs: 60_000, searchMs: 60_000 };

interface Progress {
  /** All consumers have acknowledged the messages up to this one; 0 if that is not known now. */
  readonly acknowledged: number;
  /** The consumer of this sink delivers none of the messages up to this one again. */
  readonly finished: number;
  readonly isReplicated: boolean;
}

interface Known extends StoredMessage {
  /** When this process learned that the sink holds it, in steady ms. */
  readonly sinceMs: number;
}

/** Makes sure that the sink, or the quarantine, holds a message. @throws ApplyError while it cannot */
export type Settle = (message: StoredMsg) => Promise<void>;

export class Trimmer {
  private readonly jsm: JetStreamManager;
  private readonly stream: string;
  private readonly durable: string;
  private readonly settle: Settle;
  /** Messages that the sink holds, by log and sequence. */
  private readonly stored = new Map<string, Map<number, Known>>();
  private remembered = 0;
  /** Of the stream whose messages are remembered: when it was created, and its last sequence seen. */
  private created = '';
  private lastSequence = 0;
  /** The server that leads the stream, or ''. */
  private leader = '';
  /** Numbers of messages known before this time, in steady ms, may mean others. */
  private doubtedUntilMs = 0;
  private nextSearchMs = 0;
  /** `Progress.finished` at the last search; null before the first one. */
  private searchedUpTo: number | null = null;

  private readonly times: Times;

  /**
   * @param durable the consumer of this sink
   * @param times others for tests
   */
  constructor(jsm: JetStreamManager, stream: string, durable: string, settle: Settle, times: Times = TIMES) {
    this.times = times;
    this.jsm = jsm;
    this.stream = stream;
    this.durable = durable;
    this.settle = settle;
  }

  /** The sink holds these messages. */
  add(messages: readonly StoredMessage[]): void {
    const createdMs = this.created === '' ? 0 : Date.parse(this.created);
    const sinceMs = performance.now();
    for (const message of messages) {
      const { log, sequence, atMs } = message;
      if (this.remembered >= REMEMBERED_MAX) return;
      // A message of a stream that was deleted meanwhile: another one has its number now.
      if (atMs < createdMs) continue;
      const ofLog = this.stored.get(log) ?? new Map<number, Known>();
      if (!ofLog.has(sequence)) this.remembered++;
      this.stored.set(log, ofLog.set(sequence, { ...message, sinceMs }));
    }
  }

  private drop({ log, sequence }: Known): void {
    if (this.stored.get(log)?.delete(sequence) === true) this.remembered--;
  }

  private doubt(): void {
    this.doubtedUntilMs = performance.now() + this.times.doubtMs;
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
    try {
      return await this.deleteAndSearch();
    } catch (error) {
      // The cluster may elect a leader.
      this.doubt();
      throw error;
    }
  }

  private async deleteAndSearch(): Promise<number> {
    const progress = await this.progress();
    if (progress === null) return 0;
    const { acknowledged, finished, isReplicated } = progress;
    const deleted = await this.deleteUpTo(acknowledged, isReplicated);
    if (performance.now() < this.nextSearchMs) return deleted;
    await this.settleLeftovers(Math.min(finished, this.searchedUpTo ?? finished));
    this.searchedUpTo = finished;
    this.nextSearchMs = performance.now() + this.times.searchMs;
    return deleted;
  }

  private async deleteUpTo(floor: number, isReplicated: boolean): Promise<number> {
    let deleted = 0;
    for (const batch of batchesOf(await this.due(floor, isReplicated))) {
      if (deleted > 0 && !this.isKnown(await this.jsm.streams.info(this.stream))) return deleted;
      const some = isReplicated ? await this.inPlace(batch) : batch;
      await Promise.all(some.map((message) => this.delete(message)));
      for (const message of some) this.drop(message);
      deleted += some.length;
    }
    return deleted;
  }

  /** Messages up to `floor`, without the newest of each log. */
  private async due(floor: number, isReplicated: boolean): Promise<Known[]> {
    const dueOf = new Map<Known, Known[]>();
    for (const ofLog of this.stored.values()) {
      const newest = newestOf(ofLog.values());
      const due = [...ofLog.values()].filter(
        ({ sequence }) => sequence <= floor && sequence < newest.sequence,
      );
      if (due.length > 0) dueOf.set(newest, due);
    }
    if (!isReplicated) return [...dueOf.values()].flat();
    const due: Known[] = [];
    // If the stream has no such message, the one before is the resume point.
    for (const batch of batchesOf([...dueOf.keys()]))
      for (const newest of await this.inPlace(batch)) due.push(...dueOf.get(newest)!);
    return due;
  }

  /** Those messages that the stream has under their numbers. Settles what it has there in place of others. */
  private async inPlace(batch: readonly Known[]): Promise<Known[]> {
    const { jsm, stream, doubtedUntilMs } = this;
    const same = batch.filter(({ sinceMs }) => sinceMs >= doubtedUntilMs);
    const doubted = batch.filter(({ sinceMs }) => sinceMs < doubtedUntilMs);
    const found = await Promise.all(
      doubted.map(({ sequence: seq }) => jsm.streams.getMessage(stream, { seq })),
    );
    for (const [k, message] of found.entries()) {
      const known = doubted[k]!;
      if (message !== null && isSameMessage(message, known)) same.push(known);
      else {
        // The sink comes first: if it does not answer, the number stays, and the next try finds the same.
        if (message !== null) await this.settleOne(message);
        if (this.stored.get(known.log)?.get(known.sequence) === known) this.drop(known);
      }
    }
    return same;
  }

  private async delete({ sequence }: StoredMessage): Promise<void> {
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
    this.follow(info.cluster?.leader ?? '');
    // A cluster leaves consumers out of the list while they have no leader.
    const isComplete = count > 0 && count >= info.state.consumer_count;
    return {
      ...{ finished, acknowledged: isComplete ? acknowledged : 0 },
      isReplicated: info.config.num_replicas > 1,
    };
  }

  private follow(leader: string): void {
    if (leader !== this.leader) this.doubt();
    this.leader = leader;
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
      const extent = decodeExtent(message.header);
      // Others wait in the stream and in the quarantine for a person.
      if (typeof extent === 'string') continue;
      const known = this.stored.get(extent.log)?.get(message.seq);
      if (known !== undefined && isSameExtent(extent, known)) continue;
      if (this.remembered >= REMEMBERED_MAX) return;
      await this.settleOne(message);
    }
  }

  private async settleOne(message: StoredMsg): Promise<void> {
    await this.settle(message);
    const { header, seq: sequence, data, time } = message;
    const extent = decodeExtent(header);
    if (typeof extent !== 'string')
      this.add([{ ...extent, sequence, bytes: data.length, atMs: time.getTime() }]);
  }
}

function isSameMessage({ header }: StoredMsg, known: StoredMessage): boolean {
  const extent = decodeExtent(header);
  return typeof extent !== 'string' && isSameExtent(extent, known);
}

/** @param messages at least one */
function newestOf(messages: Iterable<Known>): Known {
  let newest: Known | null = null;
  for (const message of messages) if (newest === null || message.sequence > newest.sequence) newest = message;
  return newest!;
}

function* batchesOf(messages: readonly Known[]): Generator<Known[]> {
  let batch: Known[] = [];
  let bytes = 0;
  for (const message of messages) {
    if (batch.length === REQUESTS_AHEAD || (batch.length > 0 && bytes + message.bytes > READ_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(message);
    bytes += message.bytes;
  }
  if (batch.length > 0) yield batch;
}
