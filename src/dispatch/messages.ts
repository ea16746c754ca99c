/** Messages between main and an ingest worker: rare, so they go by MessagePort. */
import type { Config } from '../config.ts';
import type { Page } from '../transport/routes.ts';
import type { HandoverKind } from '../transport/uws.ts';

/** What an ingest worker is started with; the memories are carved in server.ts. */
export interface IngestWorkerData {
  readonly index: number;
  readonly config: Config;
  readonly port: number;
  readonly handover: HandoverKind;
  readonly version: string;
  /** Monotonic ms at which the server started, for its uptime. */
  readonly startedMs: number;
  readonly memory: {
    readonly control: SharedArrayBuffer;
    readonly bell: SharedArrayBuffer;
    readonly limiter: SharedArrayBuffer;
    readonly journal: SharedArrayBuffer;
    readonly events: SharedArrayBuffer;
    readonly histograms: SharedArrayBuffer;
    readonly stats: SharedArrayBuffer;
    /** Counter blocks of all workers: a worker writes its own and sums them for GET /health. */
    readonly counters: readonly SharedArrayBuffer[];
  };
}

export type ToWorker =
  | { readonly kind: 'drain'; readonly timeoutMs: number }
  | { readonly kind: 'abandon' }
  | { readonly kind: 'scraped'; readonly id: number; readonly page: Page };

export type FromWorker =
  /** `descriptor` is a pointer in a double, to be passed on as it is. */
  | { readonly kind: 'ready'; readonly descriptor: unknown }
  | { readonly kind: 'listen_failed' }
  /** A bug: the thread has stopped where it was. */
  | { readonly kind: 'died'; readonly error: Error }
  | { readonly kind: 'scrape'; readonly id: number; readonly accept: string }
  | { readonly kind: 'drained' };
