/**
 * The threads that own connections: started together, ended together.
 *
 * With descriptor hand-over main accepts and gives connections to the threads in turn; otherwise each of them
 * listens on the port itself and the kernel spreads connections (SO_REUSEPORT). A thread must not end while main
 * may still hand it connections, and one that ends without having closed its app aborts the process: so the
 * listener goes first, then each thread closes its app and ends.
 */
import { Worker } from 'node:worker_threads';
import { tlsFilesOf } from '../auth/credentials.ts';
import type { TokenSet } from '../auth/token-set.ts';
import { MetricsStreamError } from '../base/errors.ts';
import { createAcceptor } from '../http/listener.ts';
import type { Page } from '../http/response.ts';
import type { App, HandoverKind, ListenSocket, Uws } from '../http/uws.ts';
import type { FromWorker, IngestWorkerData, ToWorker } from './messages.ts';

const ENTRY = new URL('./ingest-worker.js', import.meta.url);
/**
 * Under load V8 lets the space for new objects grow to 48 MB a thread. Hardly anything a worker makes outlives its turn,
 * so a small space is collected as cheaply, and keeps the process within its memory.
 */
const YOUNG_GENERATION_MB = 12;
/** How long a worker may take beyond its drain time before it is given up. */
const DRAIN_GRACE_MS = 500;

export interface Listening {
  readonly uws: string;
  readonly handover: HandoverKind;
}

/** Where the messages of live streams come from; see src/live/feed.ts. */
interface LiveSource {
  opening(): string;
  watch(listener: (text: string) => void): () => void;
}

type CertificateReply = Extract<FromWorker, { readonly kind: 'certificate' }>;

export interface AcceptThreadsEvents {
  /** Renders GET /metrics for an Accept header. */
  readonly scrape: (accept: string) => Promise<Page>;
  /** Feeds GET /live. */
  readonly live: LiveSource;
  /** A thread ended that should not have: the process has to end too. */
  readonly died: (error: Error) => void;
}

export class AcceptThreads {
  private readonly uws: Uws;
  private readonly workerData: readonly IngestWorkerData[];
  private readonly events: AcceptThreadsEvents;
  private readonly threads: Worker[] = [];
  /** Threads with live streams, each with what ends its watching. */
  private readonly watching = new Map<Worker, () => void>();
  private acceptor: App | null = null;
  /** With descriptor hand-over the threads' apps that take new connections. */
  private descriptors: readonly unknown[] = [];
  /** Threads that have not answered a message about a certificate yet, and where their answers go. */
  private readonly asked = new Map<Worker, (reply: CertificateReply) => void>();
  private listenSocket: ListenSocket = null;
  private ending = false;

  constructor(uws: Uws, workerData: readonly IngestWorkerData[], events: AcceptThreadsEvents) {
    this.uws = uws;
    this.workerData = workerData;
    this.events = events;
  }

  /** Starts the threads and accepts connections; resolves when clients can connect. */
  async start(): Promise<Listening> {
    const descriptors = await Promise.all(this.workerData.map((data) => this.spawn(data)));
    if (this.uws.handover === 'descriptor') this.accept(descriptors);
    return { uws: this.uws.version, handover: this.uws.handover };
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
        else if (message.kind === 'listen_failed') reject(this.bindFailed());
        else if (message.kind === 'certificate') this.asked.get(thread)?.(message);
        else if (message.kind === 'died') this.events.died(message.error);
        else if (message.kind === 'scrape') this.scrape(thread, message.id, message.accept);
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

  private bindFailed(): MetricsStreamError {
    const { config, port } = this.workerData[0]!;
    return new MetricsStreamError(
      'BIND_FAILED',
      `cannot listen on ${config.host}:${port}; is the address right?`,
    );
  }

  private accept(descriptors: readonly unknown[]): void {
    const { config, port } = this.workerData[0]!;
    this.acceptor = createAcceptor(this.uws, tlsFilesOf(config));
    this.handOverTo(descriptors);
    this.acceptor.listen(config.host, port, (socket) => {
      this.listenSocket = socket;
    });
    if (!this.listenSocket) throw this.bindFailed();
  }

  /** New connections go to these apps from now on, and no longer to those before. */
  private handOverTo(descriptors: readonly unknown[]): void {
    const acceptor = this.acceptor!;
    for (const descriptor of descriptors) acceptor.addChildAppDescriptor!(descriptor);
    for (const descriptor of this.descriptors) acceptor.removeChildAppDescriptor!(descriptor);
    this.descriptors = descriptors;
  }

  setTokens(tokens: TokenSet): void {
    for (const thread of this.threads) thread.postMessage({ kind: 'tokens', tokens } satisfies ToWorker);
  }

  /**
   * Serves new connections with the certificate as it is now in its files: all threads or none. Connections that are
   * open go on with the one they began with.
   * @returns null, or why the old one stays
   */
  async replaceCertificate(): Promise<string | null> {
    const prepared = await this.ask({ kind: 'prepare_certificate' });
    const failed = prepared.find(({ error }) => error !== null);
    if (failed !== undefined) {
      for (const thread of this.threads)
        thread.postMessage({ kind: 'discard_certificate' } satisfies ToWorker);
      return failed.error;
    }
    if (this.uws.handover === 'descriptor') this.handOverTo(prepared.map(({ descriptor }) => descriptor));
    const adopted = await this.ask({ kind: 'adopt_certificate' });
    return adopted.find(({ error }) => error !== null)?.error ?? null;
  }

  private ask(message: ToWorker): Promise<CertificateReply[]> {
    const replyOf = (thread: Worker): Promise<CertificateReply> =>
      new Promise((resolve) => {
        this.asked.set(thread, resolve);
        thread.postMessage(message);
      });
    return Promise.all(this.threads.map(replyOf));
  }

  private scrape(thread: Worker, id: number, accept: string): void {
    this.events.scrape(accept).then((page) => {
      thread.postMessage({ kind: 'scraped', id, page } satisfies ToWorker);
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

  /** Answers 504 to all that waits for storage, then as `drain`: storage has failed. */
  abandon(timeoutMs: number): Promise<void> {
    return this.end({ kind: 'abandon' }, timeoutMs);
  }

  private async end(message: ToWorker, limitMs: number): Promise<void> {
    this.ending = true;
    if (this.listenSocket) this.uws.module.us_listen_socket_close(this.listenSocket);
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
