/** The sink of `consume`: stores messages that come in any order, more than once, and from several workers at a time. */
import type { CommitMessage } from '../nats/message.ts';

export interface Applied {
  /** Metrics stored now. */
  readonly lines: number;
  /** Messages that the sink held already, wholly or in part. */
  readonly repeated: number;
}

/**
 * `retry`: the sink is away or busy. `poison`: the sink refuses the content of a message, and will refuse it again.
 * `fatal`: a person must act, such as for a missing permission.
 */
type ApplyVerdict = 'retry' | 'poison' | 'fatal';

export class ApplyError extends Error {
  readonly verdict: ApplyVerdict;

  constructor(verdict: ApplyVerdict, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApplyError';
    this.verdict = verdict;
  }
}

export interface Applier {
  /** Connects, or connects again after a failure. @throws ApplyError */
  connect(): Promise<void>;
  /**
   * Stores the messages, and the fact that they are stored: those of one log in one durable transaction, or each in its own.
   * @throws ApplyError after which some may be stored: apply all of them again, and the sink recognises those
   */
  apply(messages: readonly CommitMessage[]): Promise<Applied>;
  close(): Promise<void>;
}
