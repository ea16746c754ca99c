/**
 * The quarantine: a stream of messages that the sink refuses, each with the reason. They stay until an operator retries
 * them, so poison neither blocks the healthy messages behind it nor disappears.
 */
import type { JetStreamClient, JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import { headers, type MsgHdrs } from '@nats-io/transport-node';
import { decodeMessage } from '../nats/message.ts';
import { storedMessages } from '../nats/stored-messages.ts';
import { quarantineStreamOf, subjectOf } from '../nats/stream.ts';
import { type Applier, ApplyError } from './applier.ts';

const REASON = 'Ms-Reason';
const SOURCE_SEQUENCE = 'Ms-Source-Sequence';
const UNKNOWN_LOG = 'unknown';
const REASON_MAX = 500;

/** A message to be put aside. */
interface Refused {
  readonly headers: MsgHdrs | undefined;
  readonly data: Uint8Array;
  readonly seq: number;
}

/** Copies a message into the quarantine. The caller terminates the original afterwards. @throws the client's errors */
export async function quarantine(
  js: JetStreamClient,
  stream: string,
  message: Refused,
  reason: string,
): Promise<void> {
  const copy = headers();
  for (const [key, values] of message.headers ?? []) {
    if (!key.startsWith('Nats-')) for (const value of values) copy.append(key, value);
  }
  // A header is one line.
  copy.set(REASON, reason.replaceAll(/\s+/g, ' ').slice(0, REASON_MAX));
  copy.set(SOURCE_SEQUENCE, String(message.seq));
  await js.publish(subjectFor(stream, copy), message.data, { headers: copy });
}

function subjectFor(stream: string, copy: MsgHdrs): string {
  const log = copy.get('Ms-Log');
  return subjectOf(quarantineStreamOf(stream), /^[0-9a-f-]{36}$/.test(log) ? log : UNKNOWN_LOG);
}

/** Whether the newest message of a log in the quarantine is a copy of this one. @throws the client's errors */
export async function isLastQuarantined(
  jsm: JetStreamManager,
  stream: string,
  { header, seq }: StoredMsg,
): Promise<boolean> {
  const subject = subjectFor(stream, header);
  const last = await jsm.streams.getMessage(quarantineStreamOf(stream), { last_by_subj: subject });
  const isSame = (name: string): boolean => last?.header.get(name) === header.get(name);
  return last?.header.get(SOURCE_SEQUENCE) === String(seq) && isSame('Ms-First') && isSame('Ms-Part');
}

export interface RetryOutcome {
  readonly applied: number;
  /** One line for each message that stays: where it came from, and why. */
  readonly kept: readonly string[];
}

/** Applies each message of the quarantine again, and deletes it if that succeeds. */
export async function retryQuarantine(
  jsm: JetStreamManager,
  stream: string,
  applier: Applier,
): Promise<RetryOutcome> {
  const name = quarantineStreamOf(stream);
  const { state } = await jsm.streams.info(name);
  const kept: string[] = [];
  let applied = 0;
  for await (const message of storedMessages(jsm, name, state.first_seq, state.last_seq)) {
    const reason = await applyAgain(applier, message);
    if (reason === null) {
      await jsm.streams.deleteMessage(name, message.seq);
      applied++;
    } else {
      kept.push(`message ${message.header.get(SOURCE_SEQUENCE)} of ${stream}: ${reason}`);
    }
  }
  return { applied, kept };
}

/** Null once it is applied, or why it is not. @throws errors that concern no single message */
async function applyAgain(applier: Applier, { header, data }: StoredMsg): Promise<string | null> {
  const decoded = decodeMessage(header, data);
  if (typeof decoded === 'string') return decoded;
  try {
    await applier.apply([decoded]);
    return null;
  } catch (error) {
    if (error instanceof ApplyError && error.verdict === 'poison') return error.message;
    throw error;
  }
}
