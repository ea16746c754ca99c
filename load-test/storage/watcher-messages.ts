/** Messages between the main thread and the thread that watches the files. */
import type { FilePlace } from './segment-follower.ts';

export interface WatcherData {
  readonly dataDir: string;
  readonly runId: string;
  readonly from: FilePlace;
  /** One ring for each generator thread. */
  readonly samples: readonly SharedArrayBuffer[];
}

export interface WatcherStop {
  readonly kind: 'stop';
  /** Longest wait for samples that were not found yet. */
  readonly withinMs: number;
}

/** The first message: it watches from now on. */
export const WATCHING = 'watching';

/** The last message. Latencies are encoded histograms. */
export interface WatcherReport {
  readonly latency: Uint8Array;
  readonly polls: Uint8Array;
  readonly found: number;
  readonly skipped: number;
  /** Numbers of the samples that were not found: refused ones among them. */
  readonly pending: readonly number[];
}
