/** The telemetry benchmark's implementations, settings of a round, recorded samples and figures. */
import { LINE_I32 } from '../../src/base/shared-memory.ts';
import { createHistogramBlock } from '../../src/telemetry/histogram.ts';
import type { TelemetryModule } from '../../src/telemetry/recorder.ts';
import { SAMPLE_HISTOGRAM_NAMES, SampleHistograms } from '../../src/telemetry/sample-histograms.ts';
import { seededRandom } from '../workloads.ts';

export const IMPLEMENTATIONS = ['nothing', 'locked', 'ring-buffer'] as const;
export type ImplementationName = (typeof IMPLEMENTATIONS)[number];

export interface Implementation extends TelemetryModule {
  /** Recording side: throws away what waits, at no cost, as a main that keeps up would; returns how much it was. */
  discard(memory: SharedArrayBuffer): number;
}

/** Records nothing: what the loop around it, and the clock, cost. */
const nothing: Implementation = {
  createSampleMemories: (recorders) =>
    Array.from({ length: recorders }, () => createHistogramBlock(SAMPLE_HISTOGRAM_NAMES)),
  openRecorder: () => ({ record: () => {}, publish: () => {} }),
  openSamples: ([memory]) => {
    const histograms = new SampleHistograms(memory);
    return {
      drain: () => {},
      dropped: 0,
      slowest: null,
      stage: (stage) => histograms.stage(stage),
      requests: (statusClass) => histograms.requests(statusClass),
    };
  },
  discard: () => 0,
};

/** Loads one implementation and no other, so that no call site has seen two. */
export async function loadImplementation(name: ImplementationName): Promise<Implementation> {
  switch (name) {
    case 'nothing':
      return nothing;
    case 'locked':
      return { ...(await import('../../src/telemetry/locked.ts')), discard: () => 0 };
    case 'ring-buffer':
      return { ...(await import('../../src/telemetry/ring-buffer.ts')), discard: discardRing };
  }
}

/** Moves the ring's read cursor, the first word of its second line, to the write cursor, the first of its first. */
function discardRing(memory: SharedArrayBuffer): number {
  const words = new Int32Array(memory);
  const waiting = (Atomics.load(words, 0) - Atomics.load(words, LINE_I32)) | 0;
  Atomics.add(words, LINE_I32, waiting);
  return waiting;
}

/** Recorders to make memory for, and threads to start. */
export const THREADS_MAX = 4;

/** One round of one implementation. */
export interface Setting {
  readonly threads: number;
  /**
   * Between a thread's records, filled by looking at the clock, as a request's other work would; each record is timed
   * by itself and main drains as the product does. 0: one record after the other, timed as a whole, main asleep.
   */
  readonly gapNs: number;
}

export const DRAIN_INTERVAL_MS = 50;
/** Records that are published together: requests that a loaded worker answers in one turn. */
export const PUBLISH_EVERY = 16;

export const SEED = 20_260_105;
/** Receive to queue and the whole request, as multiples of a sample's unit, so that sums can be checked. */
export const RATIOS = [1, 2, 3, 5, 7, 11] as const;
export const UNIT_MASK = 4095;
/** Log-uniform over 1 to 2^20, so that samples fall into all buckets as real ones do. */
export function makeUnits(): Int32Array {
  const random = seededRandom(SEED);
  return Int32Array.from({ length: UNIT_MASK + 1 }, () => Math.floor(2 ** (20 * random())));
}
/** The class of the status changes from request to request. */
export const STATUSES = [200, 200, 429, 200, 200, 503, 200, 200] as const;

/** The result of one thread in a round. */
export interface ThreadFigures {
  readonly records: number;
  readonly elapsedNs: number;
  readonly discarded: number;
  /** Acquisitions of a lock that did not find it free, and sleeps among them. */
  readonly contended: number;
  readonly slept: number;
  /** Nanoseconds that each record took, clock included; empty without a gap. */
  readonly callsNs: Float64Array;
}
