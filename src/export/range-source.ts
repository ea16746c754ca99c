/** Cuts the log into ranges of commits: by bytes while the exporter is behind, by age when it has caught up. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MetricsStreamError } from '../base/errors.ts';
import {
  CommitReader,
  type LogCommit,
  type LogDamage,
  type LogGap,
  type LogItem,
  type LogPlace,
  placeAfter,
  placeText,
} from '../storage/commit-reader.ts';
import { requireFinal } from './final-damage.ts';
import type { SentRanges } from './sent-ranges.ts';
import type { CommitRange } from './sink.ts';

/** The range before is on its way: its sockets get a turn of the event loop after so many bytes. */
export const TURN_BYTES = 256 << 10;
/** Without inotify, and for a new segment: how often to look for more. */
const POLL_MS = 100;

export interface RangeOptions {
  readonly dataDir: string;
  /** A range is complete when it has so many bytes; one commit may be larger. */
  readonly rangeBytes: number;
  /** The longest time that a commit waits for others. */
  readonly rangeAgeMs: number;
  /** End at the end of the log instead of following it. */
  readonly once: boolean;
  /** Go on behind commits that no file holds. */
  readonly acceptMissing: boolean;
}

class RangeBuilder {
  readonly commits: LogCommit[] = [];
  readonly damaged: LogDamage[] = [];
  bytes = 0;
  private lineCount = 0;
  private startedMs = 0;
  private last: number;
  private readonly after: number;

  constructor(after: number) {
    this.after = this.last = after;
  }

  get isEmpty(): boolean {
    return this.last === this.after;
  }

  /** Whether it reaches this commit. */
  holds(commit: number): boolean {
    return this.last >= commit;
  }

  /** Ms since the first commit. */
  get ageMs(): number {
    return performance.now() - this.startedMs;
  }

  addCommit(commit: LogCommit): void {
    this.begin();
    this.commits.push(commit);
    this.bytes += commit.lines.length;
    this.lineCount += commit.lineCount;
    this.last = commit.commit;
  }

  addDamage(damage: LogDamage): void {
    this.begin();
    this.damaged.push(damage);
    this.last = Math.max(this.last, damage.last);
  }

  private begin(): void {
    if (this.isEmpty) this.startedMs = performance.now();
  }

  build(end: LogPlace): CommitRange {
    const { after, last, commits, damaged, lineCount, bytes } = this;
    return { after, last, end, commits, damaged, lineCount, bytes };
  }
}

export class RangeSource {
  private readonly options: RangeOptions;
  private readonly sent: SentRanges;
  private readonly reader: CommitReader;
  private pass: AsyncGenerator<LogItem, void> | null = null;
  private after: number;
  /** The last segment whose damage is final. */
  private finalSegment = -1;

  /**
   * @param after the last commit that the sink holds; 0 begins with the oldest commit there is
   * @param end where it ends; null if the log does not hold it
   * @param sent ranges that may have to be sent again
   */
  constructor(options: RangeOptions, after: number, end: LogPlace | null, sent: SentRanges) {
    this.options = options;
    this.sent = sent;
    this.after = after;
    const { dataDir } = options;
    const from = end === null ? { place: placeAfter(dataDir, after), after } : { place: end, follows: after };
    this.reader = new CommitReader(dataDir, { ...from, sync: true });
  }

  /**
   * The next range; null at the end of the log with `once`, or when `signal` aborts.
   * @param atEnd called with the end of the log while no commit waits for others
   * @throws MetricsStreamError LOG_INCOMPLETE where commits are missing, SinkError `retry` before damage that is not final
   */
  async next(signal: AbortSignal, atEnd: (place: LogPlace) => void): Promise<CommitRange | null> {
    const builder = new RangeBuilder(this.after);
    const sentEnd = this.sent.endBehind(this.after);
    let turnBytes = TURN_BYTES;
    while (!signal.aborted) {
      if (builder.bytes >= turnBytes) {
        turnBytes = builder.bytes + TURN_BYTES;
        await nextTurn();
      }
      const item = await this.nextItem();
      if (item === null && builder.isEmpty) atEnd(this.reader.place);
      if (item !== null) this.add(builder, item);
      else if (this.options.once) return builder.isEmpty ? null : this.finish(builder);
      else await this.reader.changed(this.waitMs(builder), signal);
      if (this.isComplete(builder, item === null ? Number.POSITIVE_INFINITY : sentEnd))
        return this.finish(builder);
    }
    return null;
  }

  /** Closes the file that a pass has open. */
  async close(): Promise<void> {
    await this.pass?.return();
    this.pass = null;
  }

  /** Null at the end of a pass. */
  private async nextItem(): Promise<LogItem | null> {
    this.pass ??= this.reader.pass();
    const { done, value } = await this.pass.next();
    if (done !== true) return value;
    this.pass = null;
    return null;
  }

  private waitMs(builder: RangeBuilder): number {
    const { rangeAgeMs } = this.options;
    return builder.isEmpty ? POLL_MS : Math.max(1, Math.min(POLL_MS, rangeAgeMs - builder.ageMs));
  }

  /** @param sentEnd the commit where it has to end, however long reading takes; Infinity for any */
  private isComplete(builder: RangeBuilder, sentEnd: number): boolean {
    const { rangeBytes, rangeAgeMs } = this.options;
    if (builder.isEmpty) return false;
    if (builder.bytes >= rangeBytes || builder.holds(sentEnd)) return true;
    return sentEnd === Number.POSITIVE_INFINITY && builder.ageMs >= rangeAgeMs;
  }

  private finish(builder: RangeBuilder): CommitRange {
    const range = builder.build(this.reader.place);
    this.after = range.last;
    return range;
  }

  private add(builder: RangeBuilder, item: LogItem): void {
    switch (item.kind) {
      case 'commit':
        builder.addCommit(item);
        break;
      case 'damaged':
        if (item.segment !== this.finalSegment) requireFinal(this.options.dataDir, item);
        this.finalSegment = item.segment;
        // Foreign bytes between two commits that follow each other: no commit is missing.
        if (item.last >= item.first) builder.addDamage(item);
        break;
      case 'gap':
        builder.addDamage(this.accepted(item));
        break;
      case 'unreadable':
        throw new MetricsStreamError(
          'LOG_INCOMPLETE',
          `${placeText(item.segment, item.offset)}: cannot be read: ${item.code}. Run export as the user of the server.`,
        );
    }
  }

  private accepted({ segment, offset, after, commit, text }: LogGap): LogDamage {
    const place = placeText(segment, offset);
    if (commit <= after)
      throw new MetricsStreamError(
        'LOG_INCOMPLETE',
        `${place}: ${text}: a segment is out of place. Restore the segments as the server wrote them.`,
      );
    if (!this.options.acceptMissing)
      throw new MetricsStreamError(
        'LOG_INCOMPLETE',
        `${place}: ${text}. Put their segments back, or give --accept-missing to go on without them.`,
      );
    return {
      kind: 'damaged',
      segment,
      offset,
      bytes: 0,
      reason: 'missing',
      first: after + 1,
      last: commit - 1,
    };
  }
}
