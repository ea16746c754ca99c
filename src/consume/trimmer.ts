/**
 * Deletes messages that the sink holds and that every consumer of the stream has acknowledged, except the newest one of each
 * log: that one is the resume point of its exporter.
 *
 * Each message is deleted by its number, after this process has stored it. A purge up to a number would be one request,
 * but nats-server 2.9 then moves consumers forward, past messages that nobody has acknowledged.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import { decodeExtent } from '../nats/message.ts';
import { storedMessages } from '../nats/stored-messages.ts';

/** While another consumer lags, older messages than these stay until the next start. */
const REMEMBERED_MAX = 100_000;
const REQUESTS_AHEAD = 16;

export class Trimmer {
  private readonly jsm: JetStreamManager;
  private readonly stream: string;
  /** Sequences of acknowledged messages, by log. */
  private readonly stored = new Map<string, Set<number>>();
  private remembered = 0;
  private hasScanned = false;

  constructor(jsm: JetStreamManager, stream: string) {
    this.jsm = jsm;
    this.stream = stream;
  }

  /** The sink holds these messages. */
  add(messages: readonly (readonly [log: string, sequence: number])[]): void {
    for (const [log, sequence] of messages) {
      if (this.remembered >= REMEMBERED_MAX) return;
      const ofLog = this.stored.get(log) ?? new Set();
      if (!ofLog.has(sequence)) this.remembered++;
      this.stored.set(log, ofLog.add(sequence));
    }
  }

  /** Returns how many messages it deleted. @throws the client's errors */
  async trim(): Promise<number> {
    const floor = await this.acknowledgedUpTo();
    if (floor === 0) return 0;
    if (!this.hasScanned) await this.scan(floor);
    this.hasScanned = true;
    const due: [Set<number>, number][] = [];
    for (const ofLog of this.stored.values()) {
      let newest = 0;
      for (const sequence of ofLog) newest = Math.max(newest, sequence);
      for (const sequence of ofLog) if (sequence <= floor && sequence < newest) due.push([ofLog, sequence]);
    }
    for (let from = 0; from < due.length; from += REQUESTS_AHEAD) {
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

  /** The last message up to which every consumer has acknowledged all; 0 if that is not known now. */
  private async acknowledgedUpTo(): Promise<number> {
    let floor = Number.POSITIVE_INFINITY;
    let count = 0;
    for await (const { ack_floor: acked } of this.jsm.consumers.list(this.stream)) {
      floor = Math.min(floor, acked.stream_seq);
      count++;
    }
    const { state } = await this.jsm.streams.info(this.stream);
    // A cluster leaves consumers out of the list while they have no leader.
    return count === 0 || count < state.consumer_count ? 0 : floor;
  }

  /** Finds what an earlier process acknowledged and did not delete. */
  private async scan(floor: number): Promise<void> {
    const { state } = await this.jsm.streams.info(this.stream);
    for await (const { header, seq } of storedMessages(this.jsm, this.stream, state.first_seq, floor)) {
      const extent = decodeExtent(header);
      if (typeof extent !== 'string') this.add([[extent.log, seq]]);
      if (this.remembered >= REMEMBERED_MAX) return;
    }
  }
}
