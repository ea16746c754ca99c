/**
 * The synchronous writer: the thread that serves a request writes its lines itself, one commit and (under `synced`)
 * one sync for each request, before it answers.
 *
 * ```
 *  serving thread A ─┐                                                      ┌─ writer thread: background sync, aged
 *  serving thread B ─┼─► lock ─► seal ─► write ─► fdatasync ─► unlock ◄─────┤  segments, retention, probing a full
 *  serving thread C ─┘           └────── the open segment ──────┘           └─ disk, logging what failed
 * ```
 * A commit is settled as soon as it is published, so nobody waits for the stored cursor. Under `received`, as with any
 * other writer, the answer does not depend on the write: lines that it loses are counted.
 */

import { monotonicMs } from '../../base/clock.ts';
import { difference } from '../../base/wrapped.ts';
import { FULL, type Journal, type Outcome, REFUSED, STORED } from '../../journal/journal.ts';
import { CommitBuffer } from '../../storage/commit-buffer.ts';
import type { JournalParts, WriterModule } from '../writer.ts';
import { MaintenanceWriter } from './maintenance.ts';
import { createSynchronousMemory, TRANSITIONS } from './memory.ts';
import { SharedLog } from './shared-log.ts';

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
  private readonly shared: SharedLog;
  private readonly parts: Omit<JournalParts, 'memory' | 'lane'>;
  private readonly now: () => number;
  private readonly buffer = new CommitBuffer();
  /** Commits that are not yet published, in the buffer from its start to `end`. */
  private readonly waiting: Commit[] = [];
  private end = 0;
  private head = 0;
  private stored = 0;
  /** Outcomes of commits that were not stored, until somebody asks. */
  private readonly verdicts: Verdict[] = [];

  /** @param now monotonic ms; tests pass a clock of their own */
  constructor({ memory, lane, ...parts }: JournalParts, now: () => number = monotonicMs) {
    const lines = memory.journals[lane]!;
    this.bytes = new Uint8Array(lines);
    this.view = new DataView(lines);
    this.shared = new SharedLog(memory.common, parts);
    this.parts = parts;
    this.now = now;
    const { memory: shared } = this.shared;
    // Transitions are made while storing, so this thread holds the lock. The writer thread logs them.
    parts.breaker.onTransition = ({ to, reason }) => {
      shared.setText(TRANSITIONS, `${shared.text(TRANSITIONS)}${to} ${reason}\n`);
      parts.bell.ring();
    };
  }

  get usedBytes(): number {
    return this.end;
  }

  claim(maxBytes: number): number {
    if (maxBytes > this.bytes.length) return FULL;
    // Publishing makes room at once: it writes what waits.
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

  /** Stores what is committed, each commit by itself. Returns false: no bell needs ringing. */
  publish(): boolean {
    const { buffer, waiting } = this;
    for (const { offset, bytes, lines, cursor } of waiting) {
      buffer.clear();
      buffer.add(this.bytes, offset, bytes, lines);
      const outcome = this.store();
      // Under `received` the answers do not depend on it, so nobody asks.
      if (outcome !== STORED && this.parts.config.ack !== 'received') this.verdicts.push({ cursor, outcome });
    }
    waiting.length = 0;
    this.end = 0;
    this.stored = this.head;
    return false;
  }

  private store(): Outcome {
    const { buffer, shared } = this;
    return shared.locked<Outcome>(
      () => {
        const outcome = shared.log.store(buffer, this.now());
        if (outcome === REFUSED) shared.log.countRefused(buffer.lines);
        return outcome;
      },
      () => {
        shared.memory.addUnlockedLines(buffer.lines);
        this.parts.bell.ring();
        return REFUSED;
      },
    );
  }

  storedCursor(): number {
    return this.stored;
  }

  outcome(cursor: number): Outcome {
    const { verdicts } = this;
    while (verdicts.length > 0 && difference(verdicts[0]!.cursor, cursor) < 0) verdicts.shift();
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

/** A thread has stored what it committed before it ended. */
export const isSettled = (() => true) satisfies WriterModule['isSettled'];

export const createWriter = ((parts) => new MaintenanceWriter(parts)) satisfies WriterModule['createWriter'];
