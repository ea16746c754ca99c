/**
 * The messages that a worker has fetched and not yet finished. Fetching goes on while a batch is being applied, so a batch
 * grows with the queue behind it: one message when the stream is empty, a full batch when the sink is the bottleneck.
 */
import type { JsMsg } from '@nats-io/jetstream';
import { PART_BYTES } from '../export/parts.ts';

/** Messages of an idle system are small; this many fit a batch however small they are. */
const MESSAGES_MAX = 256;
/** Weight of the newest message in the mean size. */
const SIZE_WEIGHT = 1 / 8;

export class Backlog {
  private readonly batchBytes: number;
  private readonly heldBytes: number;
  private waiting: JsMsg[] = [];
  private waitingBytes = 0;
  private meanBytes = PART_BYTES;
  private applying: readonly JsMsg[] = [];
  private applyingBytes = 0;
  private readonly waiters = new Set<() => void>();

  /**
   * @param batchBytes a batch is full with this many bytes
   * @param heldBytes what waits and what is being applied stay below this, except for a single message
   */
  constructor(batchBytes: number, heldBytes: number) {
    this.batchBytes = batchBytes;
    this.heldBytes = Math.max(batchBytes, heldBytes);
  }

  /** How many messages to fetch next: enough for one batch beside the one being applied. 0: wait. */
  room(): number {
    const left = Math.max(0, this.batchBytes - this.waitingBytes);
    const messages = Math.min(Math.ceil(left / this.meanBytes), MESSAGES_MAX - this.waiting.length);
    return Math.max(0, Math.min(messages, this.affordable()));
  }

  /**
   * How many messages fit if all are as large as a message gets. The mean says nothing about the next one: after an
   * outage, full messages follow the small ones of a calm hour.
   */
  private affordable(): number {
    const held = this.waitingBytes + this.applyingBytes;
    const messages = Math.floor((this.heldBytes - held) / PART_BYTES);
    return held === 0 ? Math.max(1, messages) : messages;
  }

  add(message: JsMsg): void {
    const { length } = message.data;
    this.waiting.push(message);
    this.waitingBytes += length;
    this.meanBytes += (length - this.meanBytes) * SIZE_WEIGHT;
    this.announce();
  }

  /** The next batch; empty if nothing waits. */
  take(): readonly JsMsg[] {
    let bytes = 0;
    let count = 0;
    while (count < this.waiting.length && (count === 0 || bytes < this.batchBytes)) {
      bytes += this.waiting[count]!.data.length;
      count++;
    }
    this.applying = this.waiting.splice(0, count);
    this.waitingBytes -= bytes;
    this.applyingBytes = bytes;
    return this.applying;
  }

  finished(): void {
    this.applying = [];
    this.applyingBytes = 0;
    this.announce();
  }

  /** Empties the queue, for giving everything back. */
  drain(): readonly JsMsg[] {
    const { waiting } = this;
    this.waiting = [];
    this.waitingBytes = 0;
    return waiting;
  }

  /** Tells the server that this worker still works on them, or it would deliver them again. */
  touch(): void {
    for (const message of this.applying) message.working();
    for (const message of this.waiting) message.working();
  }

  get size(): number {
    return this.waiting.length + this.applying.length;
  }

  /** Of bodies, waiting and being applied. */
  get bytes(): number {
    return this.waitingBytes + this.applyingBytes;
  }

  /** Resolves at the next change, or after `timeoutMs`. */
  changed(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.waiters.add(done);
    });
  }

  private announce(): void {
    for (const done of this.waiters) done();
  }
}
