/** Connections to NATS. They replace the defaults with which the client would give a connection up. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionError, connect, type NatsConnection } from '@nats-io/transport-node';
import { Backoff } from '../export/backoff.ts';
import { SinkError } from '../export/sink.ts';
import type { NatsAddress } from './address.ts';
import { isPermanent, natsErrorText } from './errors.ts';
import { type NatsFiles, securityOf } from './security.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const RECONNECT_LONGEST_MS = 4_000;
/** A peer that vanished without a word is noticed after two unanswered pings. */
const PING_INTERVAL_MS = 5_000;
const END_MS = 2_000;

/**
 * Pauses between attempts to reconnect to a server. The client asks for the pause again while it waits, so that only an
 * attempt makes it longer.
 */
class ReconnectPause {
  private readonly backoff = new Backoff(RECONNECT_LONGEST_MS);
  /** From one attempt to the next. */
  ms = this.backoff.next();

  attempted(): void {
    this.ms = this.backoff.next();
  }

  /** Not none: a server may close each connection as soon as it has accepted it. */
  connected(): void {
    this.backoff.reset();
    this.ms = this.backoff.next();
  }
}

/** Resolves after a while even if `ending` does not: after a break of the network, the client may wait for ever. */
async function soon(ending: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const { signal } = timer;
  try {
    await Promise.race([ending, sleep(END_MS, undefined, { signal }).catch(() => {})]);
  } finally {
    timer.abort();
  }
}

/**
 * A connection that fails pending requests as soon as it breaks. The client itself lets them time out, because it does not
 * know that a request is safe to repeat.
 */
export class NatsLink {
  readonly connection: NatsConnection;
  /** Grows with each break: a server may have come back with another state. */
  session = 0;
  private isUp = true;
  private readonly pause: ReconnectPause;
  private readonly pending = new Set<(error: Error) => void>();

  constructor(connection: NatsConnection, pause: ReconnectPause) {
    this.connection = connection;
    this.pause = pause;
    void this.watch();
  }

  get isCluster(): boolean {
    return this.connection.info?.cluster !== undefined;
  }

  private async watch(): Promise<void> {
    for await (const { type } of this.connection.status()) {
      if (type === 'reconnecting') this.pause.attempted();
      else if (type === 'reconnect') this.connected();
      else if (type === 'disconnect') this.broke();
    }
  }

  private connected(): void {
    this.isUp = true;
    this.pause.connected();
  }

  private broke(): void {
    this.isUp = false;
    this.session++;
    for (const fail of this.pending) fail(new ConnectionError('the connection broke'));
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
    return soon(this.connection.close());
  }

  /** Sends what is buffered, then closes. */
  drain(): Promise<void> {
    return soon(this.connection.drain());
  }
}

/**
 * Connects once. Later the client reconnects by itself, for ever. By default it gives up after ten attempts, or after two
 * refused logins, which an operator may still correct.
 * @param name shown in the server's connection list
 * @throws SinkError with one line; MetricsStreamError CONFIG_INVALID for a file that cannot be read
 */
export async function openNats(address: NatsAddress, files: NatsFiles, name: string): Promise<NatsLink> {
  const security = securityOf(address, files);
  const pause = new ReconnectPause();
  try {
    const connection = await connect({
      servers: [...address.servers],
      name,
      timeout: CONNECT_TIMEOUT_MS,
      reconnectDelayHandler: () => pause.ms,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
      pingInterval: PING_INTERVAL_MS,
      ...security,
    });
    return new NatsLink(connection, pause);
  } catch (error) {
    throw new SinkError(isPermanent(error) ? 'fatal' : 'retry', natsErrorText(error, address), {
      cause: error,
    });
  }
}
