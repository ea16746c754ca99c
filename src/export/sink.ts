/**
 * A sink of the log: another system that holds the commits up to its cursor.
 *
 * The sink owns the cursor. It stores a range of commits and the new cursor in one atomic step, so each commit takes
 * effect exactly once without a unique key for each metric. After any failure the exporter asks the sink which commit it
 * holds, and continues behind that one. The identity of a commit is the log's id and the commit's number.
 */
import type { Registry } from 'prom-client';
import { MetricsStreamError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { LogCommit, LogDamage, LogPlace } from '../storage/commit-reader.ts';

export interface Cursor {
  /** The last commit that the sink holds. */
  readonly commit: number;
  /** The last segment that may hold it; 0 if the sink does not know it. */
  readonly segment: number;
  /** Of its seal: another log that went on from an older copy has another one. Null if the sink does not know it. */
  readonly crc32: number | null;
  /** The exporter that stored it, as named in `SinkContext`. */
  readonly writer: string;
}

/** Commits that follow each other, to be stored together. */
export interface CommitRange {
  /** The cursor before: the sink must hold exactly this commit. 0 for a sink that holds nothing. */
  readonly after: number;
  /** The cursor after. */
  readonly last: number;
  /** Where the log continues behind `last`. */
  readonly end: LogPlace;
  readonly commits: readonly LogCommit[];
  /** Damaged commits within the range, which the sink records in its quarantine in the same step. */
  readonly damaged: readonly LogDamage[];
  readonly lineCount: number;
  /** Bytes of all lines. */
  readonly bytes: number;
}

/** The range's last commit; null if that one is damaged. */
export function lastCommit({ commits, last }: CommitRange): LogCommit | null {
  const commit = commits.at(-1);
  return commit?.commit === last ? commit : null;
}

/** A range in the sink's own form; prepared while the range before it is on its way. */
export interface PreparedRange {
  /**
   * Stores the range and the new cursor in one atomic step.
   * @throws SinkError
   */
  ship(): Promise<void>;
  /** Metrics that the sink cannot hold; `ship` puts them into its quarantine. */
  readonly quarantinedCount: number;
}

/** Beside shipping, do what is due; as the last work of this process, also what is due later. */
export type Maintenance = 'beside' | 'last';

export interface Sink {
  /** Where it is, for people: never with a password. */
  readonly place: string;
  /**
   * Connects, or connects again after a failure, and reads the cursor.
   * @returns null if the sink holds nothing of this log
   * @throws SinkError
   */
  connect(): Promise<Cursor | null>;
  /**
   * Forgets the commits behind `commit`, so that they can be sent again.
   * @returns the last commit that it still holds: a range is forgotten whole
   * @throws SinkError
   */
  rewind(commit: number): Promise<number>;
  /** @throws SinkError */
  prepare(range: CommitRange): Promise<PreparedRange>;
  /** Reads the cursor again, beside shipping. @returns null if the sink holds nothing of this log. @throws SinkError */
  cursor(): Promise<Cursor | null>;
  /** Called about once a second. @throws SinkError */
  maintain(when: Maintenance): Promise<void>;
  /** The last commit that survives a crash of the sink: retention may delete the log up to it. */
  readonly durableCommit: number;
  close(): Promise<void>;
}

export interface SinkContext {
  /** The log's id. */
  readonly log: string;
  /** Names this exporter, and no other one: the sink keeps it beside the cursor. */
  readonly writer: string;
  readonly logger: Logger;
  /** For metrics of the sink's own. */
  readonly registry: Registry;
}

export type SinkFactory = (context: SinkContext) => Sink;

/**
 * `retry`: it may pass by itself. `fenced`: another exporter ships the same log to the same sink. `fatal`: a person must
 * act.
 */
type Verdict = 'retry' | 'fenced' | 'fatal';

export class SinkError extends MetricsStreamError {
  readonly verdict: Verdict;
  /** No answer came in time, or the answer that nobody leads it now: asking again may help. */
  readonly isUnanswered: boolean;

  constructor(verdict: Verdict, message: string, options: ErrorOptions & { isUnanswered?: boolean } = {}) {
    super(verdict === 'fenced' ? 'SINK_FENCED' : 'SINK_FAILED', message, options);
    this.verdict = verdict;
    this.isUnanswered = options.isUnanswered ?? false;
  }
}
