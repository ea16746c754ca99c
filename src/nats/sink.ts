/**
 * The stream as a sink of the log: ranges of commits become messages, and the last message of the log's subject is the
 * cursor.
 *
 * An acknowledgement of JetStream is not a sync: by default its servers sync every two minutes, and a power loss can take
 * back what they acknowledged. So the cursor is read again at each connection, and retention keeps the log for some
 * minutes past the acknowledgement.
 */
import { monotonicMs } from '../base/clock.ts';
import { MetricsStreamError } from '../base/errors.ts';
import {
  type CommitRange,
  type Cursor,
  type PreparedRange,
  type Sink,
  type SinkContext,
  SinkError,
} from '../export/sink.ts';
import { logEnd } from '../storage/log-end.ts';
import type { NatsAddress } from './address.ts';
import { type NatsLink, openNats } from './connect.ts';
import { isPermanent, isUnanswered, natsErrorText } from './errors.ts';
import { LogWriter } from './log-writer.ts';
import type { CommitMessage, Extent } from './message.ts';
import { messagesOf } from './range-messages.ts';
import type { NatsFiles } from './security.ts';

/** Twice the longest time between two syncs of a server, and some. */
const DURABLE_AFTER_MS = 5 * 60_000;

export interface NatsSinkOptions {
  readonly address: NatsAddress;
  readonly files: NatsFiles;
  readonly dataDir: string;
  /** Steady ms; another one for tests. */
  readonly clock?: () => number;
}

/** A commit, and when it had been acknowledged, on the steady clock: wall time may jump. */
interface Mark {
  readonly commit: number;
  readonly atMs: number;
}

export class NatsSink implements Sink {
  readonly place: string;
  durableCommit = 0;
  private readonly options: NatsSinkOptions;
  private readonly context: SinkContext;
  private readonly clock: () => number;
  private link: NatsLink | null = null;
  private writer: LogWriter | null = null;
  /** Of the link, when the log's last message was read or found in its place. */
  private session = 0;
  /** Commits up to this one may have been in the stream before: whatever had been sent was sealed by now. */
  private mayRepeatUpTo = 0;
  private readonly marks: Mark[] = [];
  private shippedCommit = 0;
  /** After `rewind`: where to begin while the log's last message is still this one. */
  private rewound: { readonly commit: number; readonly sequence: number } | null = null;

  constructor(options: NatsSinkOptions, context: SinkContext) {
    this.options = options;
    this.context = context;
    this.clock = options.clock ?? monotonicMs;
    this.place = options.address.text;
  }

  async connect(): Promise<Cursor | null> {
    const { address, files, dataDir } = this.options;
    try {
      this.link ??= await openNats(address, files, `metricsstream export ${this.context.log}`);
      this.session = this.link.session;
      this.writer = await this.openWriter(this.link);
    } catch (error) {
      throw this.sinkError(error);
    }
    this.mayRepeatUpTo = logEnd(dataDir).commit || Number.POSITIVE_INFINITY;
    const { last, storedForMs } = this.writer;
    if (last === null) {
      this.durableCommit = this.shippedCommit = 0;
      this.marks.length = 0;
      return null;
    }
    const isRewound = this.rewound?.sequence === this.writer.sequence;
    if (isRewound) this.writer.last = null;
    const cursor = cursorOf(this.writer, last);
    const held = isRewound ? { ...cursor, commit: this.rewound!.commit, crc32: null } : cursor;
    this.rewindMarks(held.commit, this.clock() - storedForMs);
    return held;
  }

  /** A server that came back may have an older copy of the stream, and other logs may have filled it up since. */
  async cursor(): Promise<Cursor | null> {
    const { link, writer } = this;
    const { session } = link!;
    try {
      const isSame = session === this.session && (await writer!.isAtEnd());
      const found = isSame ? writer! : await this.openWriter(link!);
      this.session = session;
      return found.last === null ? null : cursorOf(found, found.last);
    } catch (error) {
      throw this.sinkError(error);
    }
  }

  private openWriter(link: NatsLink): Promise<LogWriter> {
    return LogWriter.open(link, this.options.address.stream, this.context.log);
  }

  /** Marks beyond the cursor belong to messages that the stream has lost. */
  private rewindMarks(commit: number, atMs: number): void {
    this.shippedCommit = commit;
    this.durableCommit = Math.min(this.durableCommit, commit);
    while (this.marks.length > 0 && this.marks.at(-1)!.commit > commit) this.marks.pop();
    this.marks.push({ commit, atMs });
    this.advanceDurable();
  }

  prepare(range: CommitRange): Promise<PreparedRange> {
    const { log, writer } = this.context;
    const messages = messagesOf(range, {
      ...{ log, exporter: writer, readAtMs: Date.now() },
      bodyMaxBytes: this.writer!.bodyMaxBytes,
    });
    const refused = messages.filter(({ part, damage }) => part > 0 && damage !== '');
    return Promise.resolve({
      quarantinedCount: refused.length,
      ship: async () => {
        await this.ship(range, messages);
        for (const { first: commit, firstLine: line, damage } of refused)
          this.context.logger.error(
            { commit, line },
            `not shipped: ${damage}; raise max_payload of nats-server`,
          );
      },
    });
  }

  private async ship(range: CommitRange, messages: readonly CommitMessage[]): Promise<void> {
    const writer = this.writer!;
    try {
      for (const message of messages) {
        if (isStored(message, writer.last)) continue;
        await writer.append({ ...message, mayRepeat: message.first <= this.mayRepeatUpTo });
      }
    } catch (error) {
      throw this.sinkError(error);
    }
    this.shippedCommit = range.last;
  }

  /** The messages stay; the commits behind `commit` are sent again, and consumers skip those that they have applied. */
  rewind(commit: number): Promise<number> {
    const writer = this.writer!;
    writer.last = null;
    this.rewound = { commit, sequence: writer.sequence };
    this.shippedCommit = commit;
    this.durableCommit = Math.min(this.durableCommit, commit);
    this.marks.length = 0;
    return Promise.resolve(commit);
  }

  maintain(): Promise<void> {
    const { shippedCommit: commit, marks } = this;
    if (commit > (marks.at(-1)?.commit ?? this.durableCommit)) marks.push({ commit, atMs: this.clock() });
    this.advanceDurable();
    return Promise.resolve();
  }

  private advanceDurable(): void {
    const beforeMs = this.clock() - DURABLE_AFTER_MS;
    while (this.marks.length > 0 && this.marks[0]!.atMs <= beforeMs) {
      this.durableCommit = Math.max(this.durableCommit, this.marks.shift()!.commit);
    }
  }

  async close(): Promise<void> {
    await this.link?.close();
  }

  private sinkError(error: unknown): SinkError {
    if (error instanceof SinkError) return error;
    const isFatal =
      isPermanent(error) || (error instanceof MetricsStreamError && error.code === 'CONFIG_INVALID');
    const text =
      error instanceof MetricsStreamError ? error.message : natsErrorText(error, this.options.address);
    return new SinkError(isFatal ? 'fatal' : 'retry', text, {
      cause: error,
      isUnanswered: this.link !== null && isUnanswered(error, this.link.isCluster),
    });
  }
}

/** The last commit that the stream holds wholly. Of the one before the parts of another, it does not tell the seal. */
function cursorOf({ exporter, sealCrc32 }: LogWriter, { last, part, parts }: Extent): Cursor {
  const isWhole = part >= parts;
  const commit = isWhole ? last : last - 1;
  return { commit, segment: 0, crc32: isWhole ? sealCrc32 : null, writer: exporter };
}

/** After a failure amid a large commit, its first parts are in the stream already. */
function isStored({ first, part }: CommitMessage, stored: Extent | null): boolean {
  return stored !== null && part > 0 && stored.last === first && stored.part >= part;
}
