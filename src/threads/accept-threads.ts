/**
 * The threads that own connections: started together, ended together.
 *
 * Main accepts connections and hands them to the threads in turn. A thread must not end while main may still hand it
 * connections, and a thread that ends before it has closed its app aborts the process. So main closes the listening
 * socket first; then each thread closes its app and ends.
 */
import { Worker } from 'node:worker_threads';
import { tlsFilesOf } from '../auth/credentials.ts';
import type { TokenSet } from '../auth/token-set.ts';
import type { Config } from '../config/load.ts';
import type { MetricsForm } from '../exposition/negotiate.ts';
import { createAcceptor } from '../http/listener.ts';
import { portInUse, probePort } from '../http/port-probe.ts';
import type { Page } from '../http/response.ts';
import { type App, EXCLUSIVE_PORT, type ListenSocket, type Uws } from '../http/uws.ts';
import type { FromWorker, IngestWorkerData, ToWorker } from './messages.ts';

const ENTRY = new URL('./ingest-worker.js', import.meta.url);
/**
 * Under load V8 lets the space for new objects grow to 48 MB per thread. Few objects of a worker outlive their turn, so
 * collecting a small space costs no more, and the process stays within its memory.
 */
const YOUNG_GENERATION_MB = 12;
/** How much longer than its drain time a worker may need before main stops waiting for it. */
const DRAIN_GRACE_MS = 3_000;

/** The source of the messages of live streams; see src/live/feed.ts. */
interface LiveSource {
  opening(): string;
  watch(listener: (text: string) => void): () => void;
}

/** Free ports to try with `--port 0`: another process may bind the picked one first. */
const PORT_PICKS_MAX = 20;

type CertificateReply = Extract<FromWorker, { readonly kind: 'certificate' }>;

export interface AcceptThreadsEvents {
  /** Renders GET /metrics. */
  readonly scrape: (form: MetricsForm) => Promise<Page>;
  /** Feeds GET /live. */
  readonly live: LiveSource;
  /** A thread runs another parser than that of the phase, for this reason. */
  readonly parserFallback: (reason: string) => void;
  readonly secretFailed: (reason: string) => void;
  /** A thread ended unexpectedly: the process has to end too. */
  readonly died: (error: Error) => void;
}

export class AcceptThreads {
  private readonly module: Uws['module'];
  private readonly config: Config;
  private readonly workerData: readonly IngestWorkerData[];
  private readonly events: AcceptThreadsEvents;
  private readonly threads: Worker[] = [];
  /** Threads with live streams, and the function that ends each subscription. */
  private readonly watching = new Map<Worker, () => void>();
  private acceptor: App | null = null;
  /** The threads' apps that receive new connections. */
  private descriptors: readonly unknown[] = [];
  /** Threads that owe a reply about a certificate, and the callbacks that await the replies. */
  private readonly asked = new Map<Worker, (reply: CertificateReply) => void>();
  private listenSocket: ListenSocket = null;
  private ending = false;

  constructor(
    module: Uws['module'],
    config: Config,
    workerData: readonly IngestWorkerData[],
    events: AcceptThreadsEvents,
  ) {
    this.module = module;
    this.config = config;
    this.workerData = workerData;
    this.events = events;
  }

  /**
   * Starts the threads and accepts connections.
   * @returns the port, once clients can connect
   * @throws MetricsStreamError PORT_IN_USE or BIND_FAILED
   */
  async start(): Promise<number> {
    const descriptors = await Promise.all(this.workerData.map((data) => this.spawn(data)));
    this.acceptor = createAcceptor(this.module, tlsFilesOf(this.config));
    this.handOverTo(descriptors);
    const { host } = this.config;
    for (let pick = 1; ; pick++) {
      const port = await probePort(host, this.config.port);
      this.acceptor.listen(host, port, EXCLUSIVE_PORT, (socket) => {
        this.listenSocket = socket;
      });
      if (this.listenSocket) return port;
      if (this.config.port !== 0 || pick === PORT_PICKS_MAX) throw portInUse(host, port);
    }
  }

  private spawn(data: IngestWorkerData): Promise<unknown> {
    const thread = new Worker(ENTRY, {
      workerData: data,
      name: `ingest-${data.index}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.threads.push(thread);
    return new Promise((resolve, reject) => {
      thread.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') resolve(message.descriptor);
        else if (message.kind === 'certificate') this.asked.get(thread)?.(message);
        else if (message.kind === 'parser_fallback') this.events.parserFallback(message.reason);
        else if (message.kind === 'secret_failed') this.events.secretFailed(message.reason);
        else if (message.kind === 'died') this.events.died(message.error);
        else if (message.kind === 'scrape') this.scrape(thread, message.form);
        else if (message.kind === 'live_open') this.openLive(thread, message.id);
        else if (message.kind === 'live_close') this.closeLive(thread);
      });
      thread.on('error', (error) => {
        reject(error);
        this.events.died(error);
      });
      thread.on('exit', (code) => {
        if (!this.ending) this.events.died(new Error(`ingest worker ${data.index} ended with code ${code}`));
      });
    });
  }

  /** Hands new connections to these apps, in turn, and no longer to the previous ones. */
  private handOverTo(descriptors: readonly unknown[]): void {
    const acceptor = this.acceptor!;
    for (const descriptor of descriptors) acceptor.addChildAppDescriptor(descriptor);
    for (const descriptor of this.descriptors) acceptor.removeChildAppDescriptor(descriptor);
    this.descriptors = descriptors;
  }

  setTokens(tokens: TokenSet): void {
    for (const thread of this.threads) thread.postMessage({ kind: 'tokens', tokens } satisfies ToWorker);
  }

  /**
   * Serves new connections with the certificate that its files hold now: in all threads or in none. Open connections
   * keep the certificate they began with.
   * @returns null, or the reason to keep the old certificate
   */
  async replaceCertificate(): Promise<string | null> {
    const prepared = await this.ask({ kind: 'prepare_certificate' });
    const failed = prepared.find(({ error }) => error !== null);
    if (failed !== undefined) {
      for (const thread of this.threads)
        thread.postMessage({ kind: 'discard_certificate' } satisfies ToWorker);
      return failed.error;
    }
    this.handOverTo(prepared.map(({ descriptor }) => descriptor));
    for (const thread of this.threads) thread.postMessage({ kind: 'adopt_certificate' } satisfies ToWorker);
    return null;
  }

  private ask(message: ToWorker): Promise<CertificateReply[]> {
    const replyOf = (thread: Worker): Promise<CertificateReply> =>
      new Promise((resolve) => {
        this.asked.set(thread, resolve);
        thread.postMessage(message);
      });
    return Promise.all(this.threads.map(replyOf));
  }

  private scrape(thread: Worker, form: MetricsForm): void {
    this.events.scrape(form).then((page) => {
      thread.postMessage({ kind: 'scraped', form, page } satisfies ToWorker);
    });
  }

  private openLive(thread: Worker, id: number): void {
    const { live } = this.events;
    const text = live.opening();
    thread.postMessage({ kind: 'live_opened', id, text } satisfies ToWorker);
    if (this.watching.has(thread)) return;
    const stop = live.watch((tick) => thread.postMessage({ kind: 'live', text: tick } satisfies ToWorker));
    this.watching.set(thread, stop);
  }

  private closeLive(thread: Worker): void {
    this.watching.get(thread)?.();
    this.watching.delete(thread);
  }

  /** Stops accepting, answers or refuses what is in flight, closes all connections, ends the threads. */
  drain(timeoutMs: number): Promise<void> {
    return this.end({ kind: 'drain', timeoutMs }, timeoutMs + DRAIN_GRACE_MS);
  }

  /** Answers 504 to every request that waits for storage, then drains: storage has failed. */
  abandon(timeoutMs: number): Promise<void> {
    return this.end({ kind: 'abandon' }, timeoutMs);
  }

  private async end(message: ToWorker, limitMs: number): Promise<void> {
    this.ending = true;
    if (this.listenSocket) this.module.us_listen_socket_close(this.listenSocket);
    this.listenSocket = null;
    const ended = this.threads.map(
      (thread) => new Promise<void>((resolve) => thread.once('exit', () => resolve())),
    );
    for (const thread of this.threads) thread.postMessage(message);
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    await Promise.race([Promise.all(ended), limit]);
    clearTimeout(timer);
    this.acceptor?.close();
  }
}
