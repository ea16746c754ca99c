/**
 * The interface that passes per-request samples from ingesting threads to main, which exposes them.
 *
 * Samples may be lost, and lost ones are counted. Exact counts are plain counters (counters.ts).
 */
import type { HistogramReading } from './histogram.ts';
import type { Sample } from './sample.ts';

/** Stages that ingesting threads time for each request. The writer times journal and sync, once per commit. */
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

/** The side of one ingesting thread. `record` waits at most 1 ms, then drops the sample and counts the loss. */
export interface Recorder extends SampleSink {
  /** Publishes the samples to main: once per batch, and before the thread ends. */
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
  /** Reads the published samples. Call it often enough that no buffer fills. */
  drain(): void;
  /** Samples lost so far, over all threads. */
  readonly dropped: number;
  /** The slowest request of the last 10 to 20 seconds. */
  readonly slowest: SlowRequest | null;
  /** Durations in nanoseconds of the requests that reached the stage. */
  stage(stage: SampledStage): HistogramReading;
  /** Durations in nanoseconds of whole requests, end of the headers to response, of one class of status. */
  requests(statusClass: StatusClass): HistogramReading;
}

/** The exports of a file in the telemetry slot. */
export interface TelemetryModule {
  /**
   * The memory of each of `recorders` threads, by index: one of its own, or one for all. Several threads may use a
   * memory one after another, but not at the same time.
   */
  readonly createSampleMemories: (recorders: number) => readonly SharedArrayBuffer[];
  readonly openRecorder: (memory: SharedArrayBuffer) => Recorder;
  /** Opened once, on main, over all memories that `createSampleMemories` returned. */
  readonly openSamples: (memories: readonly SharedArrayBuffer[]) => Samples;
}
