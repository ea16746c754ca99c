/**
 * The synchronous writer: the thread that serves a request writes its lines itself, one commit and (under `synced`)
 * one sync a request, before it answers.
 *
 * ```
 *  serving thread A ─┐                                                      ┌─ writer thread: background sync, aged
 *  serving thread B ─┼─► lock ─► seal ─► write ─► fdatasync ─► unlock ◄─────┤  segments, retention, probing a full
 *  serving thread C ─┘           └────── the open segment ──────┘           └─ disk, telling of what failed
 * ```
 * A commit is settled as soon as it is published, so nobody ever waits for the stored cursor. Under `received`, as
 * with any other writer, the answer does not depend on the write: lines that it loses are counted as such.
 */

import { FULL, type Journal, type Outcome, STORED } from '../../journal/journal.ts';
import { Batch } from '../../storage/commit-buffer.ts';
import type { JournalParts, WriterModule } from '../writer.ts';
import { Housekeeper } from './housekeeper.ts';
import { createSynchronousMemory, TRANSITIONS } from './memory.ts';
import { SynchronousStore } from './store.ts';

interface Commit {
  readonly offset: number;
  readonly bytes: number;
  readonly lines: number;
  /** Cursor after it. */
  readonly cursor: number;
}

interface Verdict {
  readonly cursor: number;
  readonly outcome: Outcome;
}

export class SynchronousJournal implements Journal {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private readonly store: SynchronousStore;
  private readonly outcomesAreTold: boolean;
  private readonly batch = new Batch();
  /** Committed and not yet published, in the buffer from its start to `end`. */
  private readonly waiting: Commit[] = [];
  private end = 0;
  private head = 0;
  private stored = 0;
  /** Of the commits that were not stored, those not yet asked about. */
  private readonly verdicts: Verdict[] = [];

  /** @param now monotonic ms; tests have a clock of their own */
  constructor({ memory, lane, ...parts }: JournalParts, now?: () => number) {
    const buffer = memory.journals[lane]!;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    const store = new SynchronousStore(memory.common, parts, now);
    this.store = store;
    // The writer thread tells of it. Transitions are made while storing, so the lock is held.
    parts.breaker.onTransition = ({ to, reason }) => {
      store.memory.setText(
        TRANSITIONS,
        `${store.memory.text(TRANSITIONS)}${to} ${reason}
`,
      );
      parts.bell.ring();
    };
    this.outcomesAreTold = parts.config.ack !== 'received';
  }

  get usedBytes(): number {
    return this.end;
  }

  claim(maxBytes: number): number {
    if (maxBytes > this.bytes.length) return FULL;
    // There is nobody to wait for: room is made by writing what waits.
    if (this.end + maxBytes > this.bytes.length) this.publish();
    return this.end;
  }

  commit(endOffset: number, lines: number): number {
    const bytes = endOffset - this.end;
    this.head = (this.head + bytes) | 0;
    this.waiting.push({ offset: this.end, bytes, lines, cursor: this.head });
    this.end = endOffset;
    return this.head;
  }

  /** Stores what is committed, each commit by itself. There is nobody to ring for. */
  publish(): boolean {
    const { batch, waiting } = this;
    for (const { offset, bytes, lines, cursor } of waiting) {
      batch.clear();
      batch.add(this.bytes, offset, bytes, lines);
      const outcome = this.store.store(batch);
      if (outcome !== STORED && this.outcomesAreTold) this.verdicts.push({ cursor, outcome });
    }
    waiting.length = 0;
    this.end = 0;
    this.stored = this.head;
    return false;
  }

  storedCursor(): number {
    return this.stored;
  }

  outcome(cursor: number): Outcome {
    const { verdicts } = this;
    while (verdicts.length > 0 && ((verdicts[0]!.cursor - cursor) | 0) < 0) verdicts.shift();
    return verdicts[0]?.cursor === cursor ? verdicts[0].outcome : STORED;
  }

  waitForStored(): null {
    this.publish();
    return null;
  }

  blockUntilStored(): void {
    this.publish();
  }
}

export const createMemory = ((lanes, journalBytes) => ({
  // No ring: one buffer that holds the largest claim.
  journals: Array.from({ length: lanes }, () => new SharedArrayBuffer(journalBytes / 2)),
  common: createSynchronousMemory(),
})) satisfies WriterModule['createMemory'];

export const openJournal = ((parts) => new SynchronousJournal(parts)) satisfies WriterModule['openJournal'];

/** What a thread committed it has stored itself before it ended. */
export const isSettled = (() => true) satisfies WriterModule['isSettled'];

export const createWriter = ((parts) => new Housekeeper(parts)) satisfies WriterModule['createWriter'];
