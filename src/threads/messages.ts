/** Start data of the serving threads, and the messages between main and them: rare, so by MessagePort. */
import type { TokenSet } from '../auth/token-set.ts';
import type { Config } from '../config/load.ts';
import type { ServedRequest } from '../dispatch/served-request.ts';
import type { MetricsForm } from '../exposition/negotiate.ts';
import type { Page } from '../http/response.ts';
import type { WriterMemory } from '../writer/writer.ts';

/** The shared memory of a serving thread, allocated in shared-memory.ts. */
interface ServingMemory {
  readonly control: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly breaker: SharedArrayBuffer;
  readonly limiter: SharedArrayBuffer;
  readonly idempotency: SharedArrayBuffer;
  readonly writer: WriterMemory;
  readonly writerCounters: SharedArrayBuffer;
  readonly writerHistograms: SharedArrayBuffer;
  /** Only this thread, or the holder of its lane, writes these. */
  readonly counters: SharedArrayBuffer;
  readonly histograms: SharedArrayBuffer;
  readonly samples: SharedArrayBuffer;
}

export interface ServingData {
  readonly config: Config;
  /** Index of this thread's journal. */
  readonly lane: number;
  readonly memory: ServingMemory;
}

/** Start data of a thread that owns connections. */
export interface IngestWorkerData extends ServingData {
  readonly index: number;
  /** Number of threads that own connections. */
  readonly acceptThreads: number;
  /** Binary of uWebSockets.js that main has loaded. */
  readonly uwsPath: string;
  /** Back-end of the write-ahead log, or `off`. */
  readonly wal: string;
  readonly version: string;
  /** Monotonic ms at which the server started, for its uptime. */
  readonly startedMs: number;
  readonly queueCapacity: number;
  readonly stats: SharedArrayBuffer;
  /** Counter blocks of all serving threads, to sum for GET /health. */
  readonly allCounters: readonly SharedArrayBuffer[];
  /** By lane, for dispatchers that start a thread for each request. */
  readonly requestThreads: readonly ServingData[];
  /** Null: every client may post. */
  readonly tokens: TokenSet | null;
}

/** Start data of a thread that serves one request. */
export interface RequestThreadData extends ServingData {
  readonly request: ServedRequest;
}

export type ToWorker =
  | { readonly kind: 'drain'; readonly timeoutMs: number }
  | { readonly kind: 'abandon' }
  /** Replaces the tokens. */
  | { readonly kind: 'tokens'; readonly tokens: TokenSet }
  /** The certificate's files have changed: prepare an app with them. When all threads have one, adopt or discard it. */
  | { readonly kind: 'prepare_certificate' }
  | { readonly kind: 'adopt_certificate' }
  | { readonly kind: 'discard_certificate' }
  | { readonly kind: 'scraped'; readonly form: MetricsForm; readonly page: Page }
  /** The opening text of live stream `id`, and a message for all open streams. */
  | { readonly kind: 'live_opened'; readonly id: number; readonly text: string }
  | { readonly kind: 'live'; readonly text: string };

export type FromWorker =
  /** `descriptor` is a pointer in a double, to be passed on as it is. */
  | { readonly kind: 'ready'; readonly descriptor: unknown }
  /** Reply to `prepare_certificate`; `descriptor` of the new app, as in `ready`. */
  | { readonly kind: 'certificate'; readonly descriptor: unknown; readonly error: string | null }
  /** The phase's parser cannot run on this thread, for the reason given; another one replaces it. */
  | { readonly kind: 'parser_fallback'; readonly reason: string }
  /** The secret of idempotency keys can be neither read nor created, for the reason given. */
  | { readonly kind: 'secret_failed'; readonly reason: string }
  /** A bug: the thread has stopped where it was. */
  | { readonly kind: 'died'; readonly error: Error }
  | { readonly kind: 'scrape'; readonly form: MetricsForm }
  /** Asks for the opening text of a live stream, and for all messages until `live_close`. */
  | { readonly kind: 'live_open'; readonly id: number }
  | { readonly kind: 'live_close' };
