/**
 * The apps of one worker. One receives new connections; with HTTPS there may be earlier ones, whose certificate was
 * replaced and whose connections live on until their clients end them.
 *
 * The certificate is part of an app, so a new certificate needs a new app. Main accepts every connection and hands it
 * to an app by descriptor, so main decides when the new app replaces the old one.
 */
import { readdirSync } from 'node:fs';
import { type TlsFiles, USABLE_KEYS } from '../auth/tls-files.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { MS_PER_SECOND } from '../base/units.ts';
import type { App, Uws } from './uws.ts';

/** From opening a connection to the end of its first headers, and between parts of a body; uSockets rounds to 4 s. */
const RECEIVE_TIMEOUT_SECONDS = 10;
/** How much longer than announced a connection stays open: a request that was just sent needs time to arrive. */
const KEEP_ALIVE_MARGIN_SECONDS = 5;

export interface ListenerConfig {
  readonly tls: TlsFiles | null;
  /** Idle time that responses announce. */
  readonly keepAliveMs: number;
}

/**
 * For TLS 1.2: ephemeral keys and authenticated encryption only. TLS 1.3 has nothing else, and uWebSockets.js speaks no
 * version before 1.2.
 */
const CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:' +
  'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';

/** An app that keeps no connection: it accepts and hands over to the workers' apps. */
export function createAcceptor(module: Uws['module'], tls: TlsFiles | null): App {
  // An app hands connections only to its own kind; this one never reads, so it needs no certificate.
  return tls === null ? module.App() : module.SSLApp({});
}

/** @throws if uWebSockets.js rejects certificate or key */
function createApp(module: Uws['module'], tls: TlsFiles | null): App {
  if (tls === null) return module.App();
  return module.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile, ssl_ciphers: CIPHERS });
}

/**
 * uWebSockets.js uses BoringSSL, which rejects keys that OpenSSL accepts. Workers would fail with them.
 * @throws MetricsStreamError CONFIG_INVALID
 */
export function rejectUnusableCertificate(module: Uws['module'], tls: TlsFiles | null): void {
  if (tls === null) return;
  try {
    createApp(module, tls).close();
  } catch {
    throw new MetricsStreamError(
      'CONFIG_INVALID',
      `--tls-cert ${tls.certFile} and --tls-key ${tls.keyFile}: BoringSSL rejects them; use ${USABLE_KEYS}`,
    );
  }
}

/** `MAX_LOW_PRIO_SOCKETS_PER_LOOP_ITERATION` of uSockets. */
const HANDSHAKES_A_TURN = 5;
/** A usual limit of open files: 1,024 by default, more in services. */
const DESCRIPTORS_ASSUMED = 65_536;

function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    // Not even one more can be opened.
    return DESCRIPTORS_ASSUMED;
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Listener {
  private readonly module: Uws['module'];
  private readonly config: ListenerConfig;
  private readonly register: (app: App) => void;
  private readonly apps: App[] = [];
  private prepared: App | null = null;

  /** @param register adds the routes to an app */
  constructor(module: Uws['module'], config: ListenerConfig, register: (app: App) => void) {
    this.module = module;
    this.config = config;
    this.register = register;
  }

  /**
   * Creates an app with the certificate that its file holds now, beside the current app.
   * @returns the descriptor to which main hands connections
   * @throws if uWebSockets.js rejects certificate or key
   */
  prepare(): unknown {
    const { tls, keepAliveMs } = this.config;
    const app = createApp(this.module, tls);
    // uWebSockets.js calls the time to receive idle, and the idle time after a response its response timeout.
    app.setIdleTimeout(RECEIVE_TIMEOUT_SECONDS);
    app.setResponseTimeout(Math.ceil(keepAliveMs / MS_PER_SECOND) + KEEP_ALIVE_MARGIN_SECONDS);
    this.register(app);
    this.prepared = app;
    return app.getDescriptor();
  }

  /** Keeps the prepared app, to which main now hands connections. */
  adopt(): void {
    if (this.prepared !== null) this.apps.push(this.prepared);
    this.prepared = null;
  }

  /** Drops the prepared app, which has no connections. */
  discard(): void {
    this.prepared?.close();
    this.prepared = null;
  }

  /**
   * Ends all connections. Await it before the thread ends, or the process aborts.
   *
   * uSockets continues a few TLS handshakes per turn of the event loop. It queues the other connections where closing
   * their app does not reach them. So apps are closed again and again until that queue is empty, after as many turns as
   * all descriptors of this process need.
   */
  async close(): Promise<void> {
    this.adopt();
    const turns = this.config.tls === null ? 1 : Math.ceil(openDescriptors() / HANDSHAKES_A_TURN) + 1;
    for (let turn = 0; turn < turns; turn++) {
      for (const app of this.apps) app.close();
      await nextTurn();
    }
    this.apps.length = 0;
  }
}
