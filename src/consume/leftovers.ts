/**
 * Messages that the stream does not deliver again, and that nobody has deleted. The sink decides what becomes of them: it stores
 * those that it lacks, and a message that it refuses goes to the quarantine.
 */
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import { type CommitMessage, decodeMessage } from '../nats/message.ts';
import { type Applier, ApplyError } from './applier.ts';
import { isLastQuarantined, quarantine } from './quarantine.ts';

export interface LeftoversParts {
  readonly jsm: JetStreamManager;
  readonly stream: string;
  readonly applier: Applier;
  /** The sink lacked a message, wholly or in part, and has stored these lines of it now. */
  readonly onStored: (sequence: number, message: CommitMessage, lines: number) => void;
  readonly onQuarantined: (sequence: number, reason: string) => void;
}

export class Leftovers {
  private readonly parts: LeftoversParts;

  constructor(parts: LeftoversParts) {
    this.parts = parts;
  }

  /** @throws ApplyError while the sink cannot say, or store; the client's errors */
  async settle(found: StoredMsg): Promise<void> {
    const { applier, onStored } = this.parts;
    const message = decodeMessage(found.header, found.data);
    if (typeof message === 'string') {
      await this.putAside(found, message);
      return;
    }
    try {
      // As a repetition: the sink looks the commits up before it reads a line.
      const { lines, repeated } = await applier.apply([{ ...message, mayRepeat: true }]);
      if (lines > 0 || repeated === 0) onStored(found.seq, message, lines);
    } catch (error) {
      if (!(error instanceof ApplyError) || error.verdict !== 'poison') throw error;
      await this.putAside(found, error.message);
    }
  }

  private async putAside(found: StoredMsg, reason: string): Promise<void> {
    const { jsm, stream, onQuarantined } = this.parts;
    // The newest message of a log stays in the stream, so each start finds it again.
    if (await isLastQuarantined(jsm, stream, found)) return;
    await quarantine(jsm.jetstream(), stream, { ...found, headers: found.header }, reason);
    onQuarantined(found.seq, reason);
  }
}
