/**
 * The stream's settings: why it has them, how it is created, and how an existing one is checked.
 *
 * Every node publishes to `<stream in lower case>.<log id>`. A few subjects suffice: each one costs the server memory and
 * an index entry.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DiscardPolicy,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { monotonicMs } from '../base/clock.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { PART_BYTES } from '../export/parts.ts';
import { SinkError } from '../export/sink.ts';
import type { NatsAddress } from './address.ts';
import type { NatsLink } from './connect.ts';
import { isPermanent, isUnanswered, NatsErrorCode, natsCode, natsErrorText } from './errors.ts';

export interface StreamSettings {
  readonly replicas: number;
  readonly maxBytes: number;
}

const SAFE_REPLICAS = 3;
/** The server reserves the limit of each stream, and the quarantine is empty as a rule. */
const QUARANTINE_SHARE = 1 / 8;
const QUARANTINE_LEAST_BYTES = 64 << 20;
/** Servers sync a new stream to their disks, and a disk may stand still for seconds. */
const REQUEST_TIMEOUT_MS = 5_000;
/** A cluster that changes its leader never answers some requests, and refuses others. Asking again does no harm. */
const ASK_FOR_MS = 30_000;
const ASK_PAUSE_MS = 1_000;
/** Headers of a message: at most 8 KiB, and some for those of the server. */
const HEADERS_MAX_BYTES = 16 << 10;

export function subjectOf(stream: string, log: string): string {
  return `${stream.toLowerCase()}.${log}`;
}

/** Messages that no consumer can apply, until somebody retries them. */
export function quarantineStreamOf(stream: string): string {
  return `${stream}_QUARANTINE`;
}

function configOf(name: string, { replicas, maxBytes }: StreamSettings): Partial<StreamConfig> {
  return {
    subjects: [`${name.toLowerCase()}.*`],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    storage: StorageType.File,
    max_age: 0,
    max_msgs: -1,
    max_bytes: maxBytes,
    num_replicas: replicas,
  };
}

/** Creates the stream and its quarantine, or updates their limits. Returns the sentences that explain them. @throws SinkError */
export async function initStream(
  link: NatsLink,
  address: NatsAddress,
  settings: StreamSettings,
): Promise<string[]> {
  const { stream } = address;
  try {
    const jsm = await jetstreamManager(link.connection, { checkAPI: false, timeout: REQUEST_TIMEOUT_MS });
    const ask: Ask = (request) => askAgain(request, link.isCluster);
    const info = await addOrUpdate(jsm, ask, stream, settings);
    const { replicas, maxBytes } = settings;
    const share = Math.max(QUARANTINE_LEAST_BYTES, Math.floor(maxBytes * QUARANTINE_SHARE));
    const quarantine = { replicas, maxBytes: Math.min(maxBytes, share) };
    await addOrUpdate(jsm, ask, quarantineStreamOf(stream), quarantine);
    return explain(info);
  } catch (error) {
    throw new SinkError(isPermanent(error) ? 'fatal' : 'retry', natsErrorText(error, address), {
      cause: error,
    });
  }
}

type Ask = (request: () => Promise<StreamInfo>) => Promise<StreamInfo>;

async function addOrUpdate(
  jsm: JetStreamManager,
  ask: Ask,
  name: string,
  settings: StreamSettings,
): Promise<StreamInfo> {
  const config = configOf(name, settings);
  try {
    return await ask(() => jsm.streams.update(name, config));
  } catch (error) {
    if (natsCode(error) !== NatsErrorCode.STREAM_NOT_FOUND) throw error;
    return ask(() => jsm.streams.add({ name, ...config }));
  }
}

async function askAgain<Answer>(request: () => Promise<Answer>, isCluster: boolean): Promise<Answer> {
  const endMs = monotonicMs() + ASK_FOR_MS;
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!isUnanswered(error, isCluster) || monotonicMs() >= endMs) throw error;
      await sleep(ASK_PAUSE_MS);
    }
  }
}

/** Sentences for the operator: each setting with its reason. */
function explain({ config, state }: StreamInfo): string[] {
  const { name, num_replicas: replicas, max_bytes: maxBytes, subjects = [] } = config;
  return [
    `stream ${name} on ${subjects.join(', ')}: ${state.messages} messages, ${state.bytes} bytes`,
    replicas >= SAFE_REPLICAS
      ? `replicas ${replicas}: the loss of one server stops publishing for some seconds and loses nothing`
      : `replicas ${replicas}: the loss of this server loses the stream; export sends again what the log still has`,
    `max_bytes ${maxBytes}, discard new: a full stream refuses messages, and the log keeps them until there is room`,
    'retention limits, no max_age: the last message of each log stays, because it is the resume point of export',
    'consume deletes messages that every consumer of the stream has acknowledged, except that last one',
  ];
}

/** The settings that `init` gives a stream, as JSON. */
export function settingsText(): string {
  const { subjects: _, ...settings } = configOf('', { replicas: 0, maxBytes: 0 });
  return `${JSON.stringify({ ...settings, num_replicas: '--stream-replicas', max_bytes: '--stream-max-bytes' }, null, 2)}\n`;
}

/**
 * Checks that an existing stream keeps what export relies on.
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function checkStream({ config }: StreamInfo): void {
  const wrong: string[] = [];
  if (config.retention !== RetentionPolicy.Limits) wrong.push(`retention ${config.retention}`);
  if (config.discard !== DiscardPolicy.New) wrong.push(`discard ${config.discard}`);
  if (Number(config.max_age) !== 0) wrong.push('a max_age');
  if (config.max_msgs > 0) wrong.push('a max_msgs');
  if ((config.max_msgs_per_subject ?? -1) > 0) wrong.push('a max_msgs_per_subject');
  if (config.no_ack === true) wrong.push('no_ack');
  if (config.sealed === true) wrong.push('been sealed');
  // The resume point would be under another subject.
  if (config.subject_transform !== undefined) wrong.push('a subject_transform');
  if (wrong.length === 0) return;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `stream ${config.name} has ${wrong.join(' and ')}, so it can drop metrics or the resume point; ` +
      'run export --init to correct its limits, or name another stream',
  );
}

/**
 * Bytes of the largest body of a message, by the limits of stream and server.
 * @throws MetricsStreamError CONFIG_INVALID if an ordinary message does not fit
 */
export function bodyMaxBytes({ config }: StreamInfo, maxPayload: number): number {
  const { name, max_msg_size: maxSize = -1 } = config;
  const limit = maxSize > 0 ? Math.min(maxSize, maxPayload) : maxPayload;
  if (limit - HEADERS_MAX_BYTES >= PART_BYTES) return limit - HEADERS_MAX_BYTES;
  const setting = limit === maxPayload ? 'max_payload of nats-server' : `max_msg_size of the stream ${name}`;
  throw new MetricsStreamError(
    'CONFIG_INVALID',
    `${setting} is ${limit} bytes, and messages have up to ${PART_BYTES + HEADERS_MAX_BYTES}: set it to 1 MiB, or more`,
  );
}
