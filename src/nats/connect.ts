/** Connections to NATS. They replace the defaults with which the client would give a connection up. */
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

  /** The outcome of a request. Rejects as soon as the connection breaks, and at once while it is broken. */
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
 * Connects once. Later the client reconnects by itself, for ever. By default it gives up after ten attempts, or after two
 * refused logins, which an operator may still correct.
 * @param name shown in the server's connection list
 * @throws SinkError with one line; MetricsStreamError CONFIG_INVALID for a file that cannot be read
 */
export async function openNats(address: NatsAddress, files: NatsFiles, name: string): Promise<NatsLink> {
  const { servers, user, password, token } = address;
  const credentials = files.creds === undefined ? null : readOption('--nats-creds', files.creds);
  const tls = tlsOf(address, files);
  try {
    const connection = await connect({
      servers: [...servers],
      name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnectTimeWait: RECONNECT_WAIT_MS,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      pingInterval: PING_INTERVAL_MS,
      ...(credentials === null ? {} : { authenticator: credsAuthenticator(credentials) }),
      ...(user === undefined ? {} : { user, pass: password ?? '' }),
      ...(token === undefined ? {} : { token }),
      ...tls,
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

/** The path of a file that can be read. The client reads it at each connection, so a renewed certificate takes effect. */
function readable(option: string, path: string): string {
  readOption(option, path);
  return path;
}

function tlsOf({ isTls }: NatsAddress, { tlsCa, tlsCert, tlsKey }: NatsFiles): { tls?: TlsOptions } {
  if (!isTls && tlsCa === undefined && tlsCert === undefined) return {};
  return {
    tls: {
      ...(tlsCa === undefined ? {} : { caFile: readable('--nats-tls-ca', tlsCa) }),
      ...(tlsCert === undefined ? {} : { certFile: readable('--nats-tls-cert', tlsCert) }),
      ...(tlsKey === undefined ? {} : { keyFile: readable('--nats-tls-key', tlsKey) }),
    },
  };
}
