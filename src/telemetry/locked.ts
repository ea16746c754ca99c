/**
 * Locked metrics: all threads record into the same histograms, in place, under one mutex; main reads under it too.
 *
 * One memory for all threads:
 *
 * ```
 *  lines 0..79  8 histograms (see histogram.ts): receive, limit, parse, encode, queue, 2xx, 4xx, 5xx   under LOCK
 *  line 80      SLOWEST: the slowest request since main's last drain                                    under LOCK
 *                 CLIENT   Int32    keyed hash of the client
 *                 STATUS   Int32    HTTP status
 *                 METRICS  Int32    accepted metrics
 *                 -        Int32    unused
 *                 TOTAL    Float64  nanoseconds; 0: no request yet
 *  line 81      LOCK     Int32  futex word, see base/futex-lock.ts                         written by all threads
 *  line 82      DROPPED  Int32  samples that did not get the lock in time, modulo 2^32     added to by all threads
 * ```
 * A sample waits at most 1 ms for the lock and is then dropped and counted. So a thread that is preempted or dies in the
 * critical section delays no request for longer. Main copies everything in one short critical section and computes
 * outside; if it does not get the lock, it keeps its last copy.
 */
import { monotonicMs } from '../base/clock.ts';
import { assert } from '../base/errors.ts';
import { lock, unlock } from '../base/futex-lock.ts';
import { LINE_BYTES, LINE_I32 } from '../base/shared-memory.ts';
import { createHistogramBlock, type HistogramReading } from './histogram.ts';
import type {
  Recorder,
  SampledStage,
  Samples,
  SlowRequest,
  StatusClass,
  TelemetryModule,
} from './recorder.ts';
import { Sample } from './sample.ts';
import { SAMPLE_HISTOGRAM_NAMES, SampleHistograms } from './sample-histograms.ts';
import { SlowestRequest } from './slowest.ts';

const LINE_F64 = LINE_BYTES / Float64Array.BYTES_PER_ELEMENT;
const HISTOGRAMS_BYTES = createHistogramBlock(SAMPLE_HISTOGRAM_NAMES).byteLength;
const HISTOGRAMS_F64 = HISTOGRAMS_BYTES / Float64Array.BYTES_PER_ELEMENT;

const SLOWEST_LINE = HISTOGRAMS_BYTES / LINE_BYTES;
const CLIENT_I32 = SLOWEST_LINE * LINE_I32;
const STATUS_I32 = CLIENT_I32 + 1;
const METRICS_I32 = CLIENT_I32 + 2;
const TOTAL_F64 = SLOWEST_LINE * LINE_F64 + 2;
/** Index of the lock in a memory, as Int32 words. */
export const SAMPLES_LOCK_I32 = (SLOWEST_LINE + 1) * LINE_I32;
const DROPPED_I32 = (SLOWEST_LINE + 2) * LINE_I32;
const MEMORY_BYTES = HISTOGRAMS_BYTES + 3 * LINE_BYTES;

/** Longest wait for the lock, of a sample and of main. */
const LOCK_BOUND_MS = 1;

class LockedRecorder implements Recorder {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly histograms: SampleHistograms;

  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.histograms = new SampleHistograms(memory);
  }

  record(sample: Sample): void {
    const { i32, f64 } = this;
    if (!lock(i32, SAMPLES_LOCK_I32, LOCK_BOUND_MS)) {
      // Counted without the lock. Pairs with the load in `dropped`.
      Atomics.add(i32, DROPPED_I32, 1);
      return;
    }
    this.histograms.record(sample);
    if (sample.totalNs > f64[TOTAL_F64]!) {
      i32[CLIENT_I32] = sample.clientHash;
      i32[STATUS_I32] = sample.status;
      i32[METRICS_I32] = sample.metrics;
      f64[TOTAL_F64] = sample.totalNs;
    }
    unlock(i32, SAMPLES_LOCK_I32);
  }

  /** Nothing to do: `record` has published the sample by unlocking. */
  publish(): void {}
}

class LockedSamples implements Samples {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  /** The histograms as of the last drain. */
  private readonly copy = createHistogramBlock(SAMPLE_HISTOGRAM_NAMES);
  private readonly copyF64 = new Float64Array(this.copy);
  private readonly histograms = new SampleHistograms(this.copy);
  private readonly sharedF64: Float64Array;
  private readonly window = new SlowestRequest(monotonicMs());
  /** The slowest request since the last drain. */
  private readonly sample = new Sample();

  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.sharedF64 = this.f64.subarray(0, HISTOGRAMS_F64);
  }

  get dropped(): number {
    // Pairs with the add in `record`.
    return Atomics.load(this.i32, DROPPED_I32) >>> 0;
  }

  get slowest(): SlowRequest | null {
    return this.window.slowest;
  }

  drain(): void {
    const { i32, f64, window, sample } = this;
    window.turn(monotonicMs());
    if (!lock(i32, SAMPLES_LOCK_I32, LOCK_BOUND_MS)) return;
    this.copyF64.set(this.sharedF64);
    sample.clientHash = i32[CLIENT_I32]!;
    sample.status = i32[STATUS_I32]!;
    sample.metrics = i32[METRICS_I32]!;
    sample.totalNs = f64[TOTAL_F64]!;
    f64[TOTAL_F64] = 0;
    unlock(i32, SAMPLES_LOCK_I32);
    window.note(sample);
  }

  stage(stage: SampledStage): HistogramReading {
    return this.histograms.stage(stage);
  }

  requests(statusClass: StatusClass): HistogramReading {
    return this.histograms.requests(statusClass);
  }
}

export const createSampleMemories = ((recorders) => {
  const memory = new SharedArrayBuffer(MEMORY_BYTES);
  return Array.from({ length: recorders }, () => memory);
}) satisfies TelemetryModule['createSampleMemories'];

export const openRecorder = ((memory) =>
  new LockedRecorder(memory)) satisfies TelemetryModule['openRecorder'];

export const openSamples = ((memories) => {
  const [memory] = memories;
  assert(memory !== undefined, 'samples come from at least one thread');
  return new LockedSamples(memory);
}) satisfies TelemetryModule['openSamples'];
