/** Reads what a stream holds, without its consumers. */
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';

/**
 * Yields the messages with sequences `from` to `to`. One request for each message, and none for a deleted one: between the
 * last messages of two logs there may be millions of these.
 * @throws the client's errors
 */
export async function* storedMessages(
  jsm: JetStreamManager,
  stream: string,
  from: number,
  to: number,
): AsyncGenerator<StoredMsg, void> {
  for (let seq = from; seq <= to; seq++) {
    const next = { seq, next_by_subj: '>' };
    const message = await jsm.streams.getMessage(stream, next);
    if (message === null || message.seq > to) return;
    yield message;
    seq = message.seq;
  }
}
