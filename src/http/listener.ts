/**
 * The apps of one worker: one takes new connections; with HTTPS there may be earlier ones, whose certificate has been
 * replaced and whose connections live on until their clients end them.
 *
 * A certificate is part of an app, so that a new one takes a new app. Where the worker listens for itself the new app
 * listens on the same port before the old one stops; where main hands connections over it is main that turns from one to
 * the other.
 */
import { readdirSync } from 'node:fs';
import type { TlsFiles } from '../auth/tls-files.ts';
import type { App, ListenSocket, Uws } from './uws.ts';

const IDLE_TIMEOUT_SECONDS = 10;

/**
 * For TLS 1.2: ephemeral keys and authenticated encryption only. TLS 1.3 has nothing else, and 1.2 is the least that
 * uWebSockets.js speaks.
 */
const CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:' +
  'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';

/** An app that takes no connections of its own, to hand them to those of the workers. */
export function createAcceptor({ module }: Uws, tls: TlsFiles | null): App {
  // An app hands connections only to its own kind; this one never reads, so it needs no certificate.
  return tls === null ? module.App() : module.SSLApp({});
}

/** `MAX_LOW_PRIO_SOCKETS_PER_LOOP_ITERATION` of uSockets. */
const HANDSHAKES_A_TURN = 5;

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Listener {
  private readonly uws: Uws;
  private readonly host: string;
  private readonly port: number;
  private readonly tls: TlsFiles | null;
  private readonly register: (app: App) => void;
  private readonly apps: App[] = [];
  private listenSocket: ListenSocket = null;
  /** Of the app before this one: closed a moment after the new one listens. */
  private retiring: ListenSocket = null;
  private prepared: App | null = null;

  /** @param register adds the routes to an app */
  constructor(uws: Uws, host: string, port: number, tls: TlsFiles | null, register: (app: App) => void) {
    this.uws = uws;
    this.host = host;
    this.port = port;
    this.tls = tls;
    this.register = register;
  }

  /**
   * Makes an app with the certificate as it is now in its file, beside the current one.
   * @returns with descriptor hand-over what main hands connections to, otherwise null
   * @throws when uWebSockets.js does not take certificate and key
   */
  prepare(): unknown {
    const { module, handover } = this.uws;
    const { tls } = this;
    const app =
      tls === null
        ? module.App()
        : module.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile, ssl_ciphers: CIPHERS });
    // The newer build would give clients that dribble their headers, or say nothing, 30 s.
    app.setIdleTimeout?.(IDLE_TIMEOUT_SECONDS);
    app.setResponseTimeout?.(IDLE_TIMEOUT_SECONDS);
    this.register(app);
    this.prepared = app;
    return handover === 'descriptor' ? app.getDescriptor!() : null;
  }

  /** New connections go to the prepared app from now on. @returns false when it cannot listen: nothing has changed */
  adopt(): boolean {
    const app = this.prepared;
    if (app === null) return false;
    this.prepared = null;
    if (this.uws.handover === 'reuseport' && !this.listen(app)) return false;
    this.apps.push(app);
    return true;
  }

  private listen(app: App): boolean {
    let listening: ListenSocket = null;
    app.listen(this.host, this.port, (socket) => {
      listening = socket;
    });
    if (!listening) return false;
    this.retire();
    this.retiring = this.listenSocket;
    this.listenSocket = listening;
    // Right behind the sockets' part of the next turn of the event loop, which accepts what waits in the old queue: the
    // kernel resets what comes in between, so nothing else should.
    setImmediate(() => setImmediate(() => this.retire()));
    return true;
  }

  private retire(): void {
    if (this.retiring) this.uws.module.us_listen_socket_close(this.retiring);
    this.retiring = null;
  }

  /** Drops the prepared app, which has no connections. */
  discard(): void {
    this.prepared?.close();
    this.prepared = null;
  }

  stopListening(): void {
    this.retire();
    if (this.listenSocket) this.uws.module.us_listen_socket_close(this.listenSocket);
    this.listenSocket = null;
  }

  /**
   * Ends all connections; to be awaited before the thread ends, or the process aborts.
   *
   * uSockets lets a few TLS handshakes go on in each turn of the event loop. The connections of the others stand in a
   * queue where closing their app does not reach them, so apps are closed again and again until that queue is empty, which
   * it is after as many turns as all descriptors of this process would take.
   */
  async close(): Promise<void> {
    this.stopListening();
    this.discard();
    const turns = this.tls === null ? 1 : Math.ceil(openDescriptors() / HANDSHAKES_A_TURN) + 1;
    for (let turn = 0; turn < turns; turn++) {
      for (const app of this.apps) app.close();
      await nextTurn();
    }
    this.apps.length = 0;
  }
}
