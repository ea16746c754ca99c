/** `nats://` as a sink: its options and what `export` does with it. */
import { type Command, Option } from 'commander';
import { MetricsStreamError } from '../base/errors.ts';
import { GIB } from '../config/units.ts';
import type { SinkFactory } from '../export/sink.ts';
import { parseNatsAddress } from '../nats/address.ts';
import type { NatsFiles } from '../nats/security.ts';
import { quantityOption } from './flag-values.ts';
import type { Flags, SinkKind } from './sink-kind.ts';

const REPLICAS_MAX = 5;
const CLUSTER_REPLICAS = 3;

/** Options of a connection, for `export` and `consume`. */
export function addNatsOptions(command: Command): void {
  const options = [
    new Option('--nats-creds <file>', 'credentials of the user, as nsc writes them'),
    new Option('--nats-nkey <file>', 'seed of the NKey of the user, as nk writes it'),
    new Option(
      '--nats-tls-ca <file>',
      'PEM file of the authority that signed the certificates of the servers',
    ),
    new Option('--nats-tls-cert <file>', 'PEM file of a client certificate'),
    new Option('--nats-tls-key <file>', 'PEM file of its key'),
  ];
  for (const option of options) command.addOption(option.helpGroup('NATS:'));
}

function addOptions(command: Command): void {
  addNatsOptions(command);
  const options = [
    quantityOption(
      '--stream-replicas <n>',
      'for --init: servers that hold the stream (0: 3 in a cluster, else 1)',
      'count',
      '0',
      [0, REPLICAS_MAX],
    ),
    quantityOption('--stream-max-bytes <size>', 'for --init: a full stream refuses messages', 'size', '8g', [
      1 << 20,
      1_024 * GIB,
    ]),
  ];
  for (const option of options) command.addOption(option.helpGroup('NATS:'));
}

export function natsFilesOf(flags: Flags): NatsFiles {
  const files = {
    creds: flags.natsCreds,
    nkey: flags.natsNkey,
    tlsCa: flags.natsTlsCa,
    tlsCert: flags.natsTlsCert,
    tlsKey: flags.natsTlsKey,
  };
  return Object.fromEntries(Object.entries(files).filter(([, path]) => path !== undefined));
}

async function open(text: string, flags: Flags): Promise<SinkFactory> {
  const { NatsSink } = await import('../nats/sink.ts');
  const options = {
    address: parseNatsAddress(text, '--to'),
    files: natsFilesOf(flags),
    dataDir: flags.dataDir as string,
  };
  return (context) => new NatsSink(options, context);
}

async function init(text: string, flags: Flags): Promise<string> {
  const [{ openNats }, { initStream }] = await Promise.all([
    import('../nats/connect.ts'),
    import('../nats/stream.ts'),
  ]);
  const address = parseNatsAddress(text, '--to');
  const link = await openNats(address, natsFilesOf(flags), 'metricsstream export --init');
  const replicas = (flags.streamReplicas as number) || (link.isCluster ? CLUSTER_REPLICAS : 1);
  try {
    const lines = await initStream(link, address, { replicas, maxBytes: flags.streamMaxBytes as number });
    return lines.join('\n');
  } finally {
    await link.close();
  }
}

async function schema(): Promise<string> {
  const { settingsText } = await import('../nats/stream.ts');
  return settingsText();
}

function verify(): Promise<number> {
  return Promise.reject(
    new MetricsStreamError(
      'CONFIG_INVALID',
      '--sink: a stream keeps messages only until they are consumed; verify the database behind it',
    ),
  );
}

export const NATS: SinkKind = {
  schemes: ['nats:', 'tls:'],
  name: 'nats',
  addOptions,
  open,
  init,
  schema,
  verify,
};
