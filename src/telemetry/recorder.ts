/**
 * The interface of what takes per-request samples from the threads that ingest to main, where they are shown.
 *
 * Samples may go missing, and those that do are counted; exact counts are plain counters (counters.ts).
 */
import type { HistogramReading } from './histogram.ts';
import type { Sample } from './sample.ts';

/** Stages that ingesting threads time for each request; the writer times the others (journal, sync) for each commit. */
export const SAMPLED_STAGES = ['receive', 'limit', 'parse', 'encode', 'queue'] as const;
export type SampledStage = (typeof SAMPLED_STAGES)[number];

/** All stages of a request, in order. */
export const STAGES = [...SAMPLED_STAGES, 'journal', 'sync'] as const;
export type Stage = (typeof STAGES)[number];

export const STATUS_CLASSES = ['2xx', '4xx', '5xx'] as const;
export type StatusClass = (typeof STATUS_CLASSES)[number];

export interface SampleSink {
  /** Records one answered request. The caller reuses `sample` afterwards. */
  record(sample: Sample): void;
}

/** The side of one ingesting thread. `record` may drop the sample, which is counted; it waits 1 ms at most. */
export interface Recorder extends SampleSink {
  /** Main may now see what was recorded; once for a batch. A thread calls it before it ends. */
  publish(): void;
}

export interface SlowRequest {
  /** 8 hexadecimal digits: the first half of the client's keyed hash. */
  readonly client: string;
  readonly status: number;
  readonly metrics: number;
  readonly totalNs: number;
}

/** Main's side: all threads' samples, as of the last `drain`. */
export interface Samples {
  /** Takes what was published. Call often enough that nothing fills up. */
  drain(): void;
  /** Samples lost so far, over all threads. */
  readonly dropped: number;
  /** The slowest request of the last 10 to 20 seconds. */
  readonly slowest: SlowRequest | null;
  /** Durations in nanoseconds of the requests that reached the stage. */
  stage(stage: SampledStage): HistogramReading;
  /** Durations in nanoseconds of whole requests, first byte to answer, of one class of status. */
  requests(statusClass: StatusClass): HistogramReading;
}

/** What a file in the telemetry slot exports. */
export interface TelemetryModule {
  /**
   * What each of `recorders` threads records into, at its index: a memory of its own, or the same one for all.
   * A memory may be lent to one thread after another, to one at a time.
   */
  readonly createSampleMemories: (recorders: number) => readonly SharedArrayBuffer[];
  readonly openRecorder: (memory: SharedArrayBuffer) => Recorder;
  /** Opened once, on main, over all that `createSampleMemories` returned. */
  readonly openSamples: (memories: readonly SharedArrayBuffer[]) => Samples;
}
