/** What threads that serve requests are started with, and the messages between them: rare, so by MessagePort. */
import type { TokenSet } from '../auth/token-set.ts';
import type { Config } from '../config/load.ts';
import type { Page } from '../http/response.ts';
import type { BodyFormat } from '../parser/parser.ts';
import type { Status } from '../telemetry/counters.ts';
import type { WriterMemory } from '../writer/writer.ts';

/** The shared memory that a serving thread works on; carved in server.ts. */
interface ServingMemory {
  readonly control: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly breaker: SharedArrayBuffer;
  readonly limiter: SharedArrayBuffer;
  readonly writer: WriterMemory;
  readonly writerCounters: SharedArrayBuffer;
  readonly writerHistograms: SharedArrayBuffer;
  /** Of this thread, or of whoever holds its lane. */
  readonly counters: SharedArrayBuffer;
  readonly histograms: SharedArrayBuffer;
  readonly samples: SharedArrayBuffer;
}

export interface ServingData {
  readonly config: Config;
  /** Which of the writer's journals is this thread's. */
  readonly lane: number;
  readonly memory: ServingMemory;
}

/** What a thread that owns connections is started with. */
export interface IngestWorkerData extends ServingData {
  readonly index: number;
  /** Binary of uWebSockets.js that main has loaded. */
  readonly uwsPath: string;
  readonly version: string;
  /** Monotonic ms at which the server started, for its uptime. */
  readonly startedMs: number;
  readonly queueCapacity: number;
  readonly stats: SharedArrayBuffer;
  /** Counter blocks of all serving threads, to sum for GET /health. */
  readonly allCounters: readonly SharedArrayBuffer[];
  readonly requestThreads: readonly RequestThreadData[];
  /** Null: everybody may post. */
  readonly tokens: TokenSet | null;
}

/** What a thread that serves one request is started with, beside the request. */
export type RequestThreadData = ServingData;

/** A request whose body is complete, as its own thread gets it. */
export interface ServedRequest {
  readonly body: Uint8Array;
  readonly format: BodyFormat;
  readonly strict: boolean;
  readonly clientKey: Uint8Array;
  readonly clientClass: number;
  readonly startedMs: number;
  readonly receivedMs: number;
}

/** A prepared answer (see exchange.ts), from the request's own thread. */
export interface RequestAnswer {
  readonly status: Status;
  readonly head: string;
  readonly body: string;
  readonly close: boolean;
}

export type ToWorker =
  | { readonly kind: 'drain'; readonly timeoutMs: number }
  | { readonly kind: 'abandon' }
  /** The tokens in force from now on. */
  | { readonly kind: 'tokens'; readonly tokens: TokenSet }
  /** The certificate's files have changed: make an app with them, and when all threads have one, use it or drop it. */
  | { readonly kind: 'prepare_certificate' }
  | { readonly kind: 'adopt_certificate' }
  | { readonly kind: 'discard_certificate' }
  | { readonly kind: 'scraped'; readonly id: number; readonly page: Page }
  /** What opens live stream `id`, and a message for all streams that are open. */
  | { readonly kind: 'live_opened'; readonly id: number; readonly text: string }
  | { readonly kind: 'live'; readonly text: string };

export type FromWorker =
  /** `descriptor` is a pointer in a double, to be passed on as it is. */
  | { readonly kind: 'ready'; readonly descriptor: unknown }
  | { readonly kind: 'listen_failed' }
  /** To each of the messages about a certificate but the last; `descriptor` of the new app, as in `ready`. */
  | { readonly kind: 'certificate'; readonly descriptor: unknown; readonly error: string | null }
  /** A bug: the thread has stopped where it was. */
  | { readonly kind: 'died'; readonly error: Error }
  | { readonly kind: 'scrape'; readonly id: number; readonly accept: string }
  /** A live stream is to be opened: from now on this thread wants its messages, until it has no stream. */
  | { readonly kind: 'live_open'; readonly id: number }
  | { readonly kind: 'live_close' };
