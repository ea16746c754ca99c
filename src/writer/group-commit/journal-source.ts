/** The journal rings of all workers as the source of group commits. */
import { monotonicMs } from '../../base/clock.ts';
import { type Outcome, STORED } from '../../journal/journal.ts';
import { JournalConsumer } from '../../journal/ring.ts';
import type { CommitBuffer } from '../../storage/commit-buffer.ts';
import { WRITER } from '../../telemetry/counters.ts';
import { CommitCost } from '../commit-cost.ts';
import type { CommitSource } from '../grouped-writer.ts';
import type { WriterParts } from '../writer.ts';

/** A commit is closed when it has this many bytes; one run may exceed it. */
const COMMIT_BYTES = 4 << 20;
/** A worker that reads its outcomes does not ring the bell. */
const OUTCOMES_POLL_MS = 2;

export class JournalSource implements CommitSource {
  readonly losesRefused = true;
  private readonly parts: WriterParts;
  private readonly journals: readonly JournalConsumer[];
  private readonly cost = new CommitCost();
  /** The ring that the next group starts with, so that none waits for the others. */
  private firstRing = 0;
  /** A ring was skipped because its worker has yet to read earlier outcomes. */
  private outcomesAreFull = false;

  constructor(parts: WriterParts) {
    this.parts = parts;
    this.journals = parts.memory.journals.map((journal) => new JournalConsumer(journal));
  }

  /** Adds runs from the rings in turn until a commit is full or nothing is published. */
  gather(buffer: CommitBuffer): void {
    const { journals } = this;
    this.outcomesAreFull = false;
    for (let i = 0; i < journals.length && buffer.bytes < COMMIT_BYTES; i++) {
      const journal = journals[(this.firstRing + i) % journals.length]!;
      //> 2.4 nothing whose refusal could not be reported
      if (!journal.hasOutcomeRoom()) {
        this.outcomesAreFull = true;
        continue;
      }
      //<
      //> 2.1 all that is published
      //: if (journal.next()) buffer.add(journal.bytes, journal.runOffset, journal.runBytes, journal.runLines);
      //> 2.2 a commit has a bound
      //: while (journal.next()) {
      while (buffer.bytes < COMMIT_BYTES && journal.next()) {
        //<
        buffer.add(journal.bytes, journal.runOffset, journal.runBytes, journal.runLines);
      }
      //<
    }
    //> 2.5 another ring comes first in the next commit
    this.firstRing = (this.firstRing + 1) % journals.length;
    //<
  }

  mark(): string {
    return '';
  }

  /** Reports the outcome to every ring of the group and releases its memory. */
  settle(outcome: Outcome): void {
    const { config, counters } = this.parts;
    // Before any cursor moves: a thread that sees one moved sees this time, or a later one.
    counters[WRITER.released_at_ms_now] = monotonicMs();
    for (const journal of this.journals) {
      if (!journal.holdsRuns) continue;
      //> 2.3 the outcome before the cursor
      //: journal.release();
      // Under `received` the answers are out, so nobody reads outcomes.
      if (outcome !== STORED && config.ack !== 'received') journal.pushOutcome(outcome);
      journal.release();
      //<
    }
  }

  pollInMs(): number {
    return this.outcomesAreFull ? OUTCOMES_POLL_MS : Number.POSITIVE_INFINITY;
  }

  /** The workers' admission control steers by these. */
  stored(bytes: number, tookMs: number): void {
    const { counters } = this.parts;
    this.cost.add(bytes, tookMs);
    counters[WRITER.commit_fixed_ms_now] = this.cost.fixedMs;
    counters[WRITER.commit_bytes_per_ms_now] = this.cost.bytesPerMs;
  }

  syncIsWanted(): boolean {
    return false;
  }

  syncStarts(): null {
    return null;
  }

  synced(): void {
    // Answers wait for their own sync, or for none.
  }

  maintain(): void {
    // The rings need no upkeep.
  }

  close(): void {
    // Their memory goes with the process.
  }
}
