/** Connections to NATS, with the client's defaults that would lose them corrected. */
import { readFileSync } from 'node:fs';
import {
  ConnectionError,
  connect,
  credsAuthenticator,
  type NatsConnection,
  type TlsOptions,
} from '@nats-io/transport-node';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { SinkError } from '../export/sink.ts';
import type { NatsAddress } from './address.ts';
import { isPermanent, natsErrorText } from './errors.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_WAIT_MS = 250;
/** A peer that vanished without a word is noticed after two unanswered pings. */
const PING_INTERVAL_MS = 5_000;

/**
 * A connection that fails pending requests as soon as it breaks. The client itself lets them time out, because it does not
 * know that a request is safe to repeat.
 */
export class NatsLink {
  readonly connection: NatsConnection;
  private isUp = true;
  private readonly pending = new Set<(error: Error) => void>();

  constructor(connection: NatsConnection) {
    this.connection = connection;
    void this.watch();
  }

  private async watch(): Promise<void> {
    for await (const { type } of this.connection.status()) {
      if (type === 'reconnect') this.isUp = true;
      if (type !== 'disconnect') continue;
      this.isUp = false;
      for (const fail of this.pending) fail(new ConnectionError('the connection broke'));
    }
  }

  /** The outcome of a request; rejects at once while there is no connection. */
  async guard<T>(request: () => Promise<T>): Promise<T> {
    if (!this.isUp) throw new ConnectionError('the connection broke');
    let fail: (error: Error) => void = () => {};
    const broken = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    this.pending.add(fail);
    try {
      return await Promise.race([request(), broken]);
    } finally {
      this.pending.delete(fail);
    }
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

/** Files that `--nats-…` options name. */
export interface NatsFiles {
  /** Credentials (JWT and key) as `nsc` writes them. */
  readonly creds?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/**
 * Connects once. Later the client reconnects by itself, for ever: its default gives up after ten attempts.
 * @param name shown in the server's connection list
 * @throws SinkError with one line
 */
export async function openNats(address: NatsAddress, files: NatsFiles, name: string): Promise<NatsLink> {
  const { servers, user, password, token } = address;
  const credentials = files.creds === undefined ? null : readOption('--nats-creds', files.creds);
  try {
    const connection = await connect({
      servers: [...servers],
      name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      maxReconnectAttempts: -1,
      pingInterval: PING_INTERVAL_MS,
      ...(credentials === null ? {} : { authenticator: credsAuthenticator(credentials) }),
      ...(user === undefined ? {} : { user, pass: password ?? '' }),
      ...(token === undefined ? {} : { token }),
      ...tlsOf(address, files),
    });
    return new NatsLink(connection);
  } catch (error) {
    throw new SinkError(isPermanent(error) ? 'fatal' : 'retry', natsErrorText(error, address), {
      cause: error,
    });
  }
}

function readOption(option: string, path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new MetricsStreamError('CONFIG_INVALID', `${option} ${path}: ${systemErrorText(error)}`);
  }
}

function tlsOf({ isTls }: NatsAddress, { tlsCa, tlsCert, tlsKey }: NatsFiles): { tls?: TlsOptions } {
  if (!isTls && tlsCa === undefined && tlsCert === undefined) return {};
  return {
    tls: {
      ...(tlsCa === undefined ? {} : { caFile: tlsCa }),
      ...(tlsCert === undefined ? {} : { certFile: tlsCert }),
      ...(tlsKey === undefined ? {} : { keyFile: tlsKey }),
    },
  };
}
