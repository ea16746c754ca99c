/** The durable pull consumer that all workers of all processes share, and what is known about it. */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, type JetStreamManager } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import { MetricsStreamError } from '../base/errors.ts';
import { SinkError } from '../export/sink.ts';
import type { NatsAddress } from '../nats/address.ts';
import { isPermanent, NatsErrorCode, natsCode, natsErrorText } from '../nats/errors.ts';
import { checkStream, quarantineStreamOf } from '../nats/stream.ts';

/** Room for many processes; each holds back by itself, in bytes. */
const ACK_PENDING_MAX = 20_000;

const configOf = (ackWaitMs: number): Partial<ConsumerConfig> => ({
  ack_policy: AckPolicy.Explicit,
  deliver_policy: DeliverPolicy.All,
  ack_wait: nanos(ackWaitMs),
  // A server neither redelivers nor removes a message beyond this number: an outage of the sink would lose healthy ones.
  max_deliver: -1,
  max_ack_pending: ACK_PENDING_MAX,
});

/**
 * Creates the consumer, or corrects its settings. It has no inactive_threshold: it stays while no process runs.
 * @throws SinkError
 */
export async function ensureDurable(
  jsm: JetStreamManager,
  address: NatsAddress,
  durable: string,
  ackWaitMs: number,
): Promise<void> {
  const { stream } = address;
  try {
    checkStream(await jsm.streams.info(stream));
    await jsm.streams.info(quarantineStreamOf(stream));
    await addOrUpdate(jsm, stream, durable, configOf(ackWaitMs));
  } catch (error) {
    if (error instanceof SinkError) throw error;
    if (error instanceof MetricsStreamError) throw new SinkError('fatal', error.message, { cause: error });
    throw new SinkError(isPermanent(error) ? 'fatal' : 'retry', natsErrorText(error, address), {
      cause: error,
    });
  }
}

async function addOrUpdate(
  jsm: JetStreamManager,
  stream: string,
  durable: string,
  config: Partial<ConsumerConfig>,
): Promise<void> {
  try {
    checkDurable(stream, (await jsm.consumers.info(stream, durable)).config, durable);
    await jsm.consumers.update(stream, durable, config);
  } catch (error) {
    if (natsCode(error) !== NatsErrorCode.CONSUMER_NOT_FOUND) throw error;
    await jsm.consumers.add(stream, { durable_name: durable, ...config });
  }
}

/**
 * A consumer that somebody made for other purposes, whose settings an update cannot correct.
 * @throws SinkError
 */
function checkDurable(stream: string, config: ConsumerConfig, durable: string): void {
  const wrong: string[] = [];
  if ((config.deliver_subject ?? '') !== '') wrong.push('pushes');
  if (config.ack_policy !== AckPolicy.Explicit) wrong.push(`has the ack policy ${config.ack_policy}`);
  if (config.deliver_policy !== DeliverPolicy.All) wrong.push(`delivers ${config.deliver_policy}`);
  const filters = config.filter_subjects ?? [config.filter_subject ?? ''];
  if (filters.some((filter) => filter !== '')) wrong.push(`filters ${filters.join(', ')}`);
  if (config.headers_only === true) wrong.push('delivers headers only');
  if (wrong.length === 0) return;
  throw new SinkError(
    'fatal',
    `the consumer ${durable} of the stream ${stream} ${wrong.join(' and ')}: delete it, or name another with --durable`,
  );
}

export interface QueueReading {
  /** Messages that no worker has fetched, and those fetched and not acknowledged. */
  readonly pending: number;
  readonly unacknowledged: number;
  readonly redelivered: number;
  /** Bytes of all messages in the stream. */
  readonly streamBytes: number;
  /** The stream refuses messages beyond so many; -1 for no limit. */
  readonly streamLimitBytes: number;
  readonly quarantined: number;
}

export async function readQueue(
  jsm: JetStreamManager,
  stream: string,
  durable: string,
): Promise<QueueReading> {
  const [consumer, { state, config }, quarantine] = await Promise.all([
    jsm.consumers.info(stream, durable),
    jsm.streams.info(stream),
    jsm.streams.info(quarantineStreamOf(stream)),
  ]);
  return {
    pending: consumer.num_pending,
    unacknowledged: consumer.num_ack_pending,
    redelivered: consumer.num_redelivered,
    streamBytes: state.bytes,
    streamLimitBytes: config.max_bytes,
    quarantined: quarantine.state.messages,
  };
}
