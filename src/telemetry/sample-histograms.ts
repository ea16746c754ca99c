/** Histograms of the samples, in one block: one for each stage, and one of whole requests for each class of status. */
import { createHistogramBlock, type HistogramReading, Histograms, readHistogram } from './histogram.ts';
import {
  SAMPLED_STAGES,
  type SampledStage,
  type SampleSink,
  STATUS_CLASSES,
  type StatusClass,
} from './recorder.ts';
import type { Sample } from './sample.ts';

/** The histograms of a block, in their order. */
export const SAMPLE_HISTOGRAM_NAMES = [...SAMPLED_STAGES, ...STATUS_CLASSES] as const;

const RECEIVE = 0;
const LIMIT = 1;
const PARSE = 2;
const ENCODE = 3;
const QUEUE = 4;
/** Index of the histogram of class `Nxx`, from the status' first digit: 2 → 5, 4 → 6, 5 → 7. */
const CLASS_2XX = SAMPLED_STAGES.length;

export class SampleHistograms implements SampleSink {
  private readonly memory: SharedArrayBuffer;
  private readonly histograms: Histograms;

  /** @param memory starts with the block; one thread at a time writes to it */
  constructor(memory: SharedArrayBuffer = createHistogramBlock(SAMPLE_HISTOGRAM_NAMES)) {
    this.memory = memory;
    this.histograms = new Histograms(memory, SAMPLE_HISTOGRAM_NAMES);
  }

  record({ status, receiveNs, limitNs, parseNs, encodeNs, queueNs, totalNs }: Sample): void {
    this.histograms.record(RECEIVE, nanoseconds(receiveNs));
    // A duration of 0 means that the request did not reach the stage.
    if (limitNs > 0) this.histograms.record(LIMIT, nanoseconds(limitNs));
    if (parseNs > 0) this.histograms.record(PARSE, nanoseconds(parseNs));
    if (encodeNs > 0) this.histograms.record(ENCODE, nanoseconds(encodeNs));
    if (queueNs > 0) this.histograms.record(QUEUE, nanoseconds(queueNs));
    this.histograms.record(classIndex(status), nanoseconds(totalNs));
  }

  stage(stage: SampledStage): HistogramReading {
    return readHistogram(this.memory, SAMPLE_HISTOGRAM_NAMES, SAMPLED_STAGES.indexOf(stage));
  }

  requests(statusClass: StatusClass): HistogramReading {
    return readHistogram(
      this.memory,
      SAMPLE_HISTOGRAM_NAMES,
      CLASS_2XX + STATUS_CLASSES.indexOf(statusClass),
    );
  }
}

/** Rounded, because histograms need integers; at least 0, because the clocks of two threads differ slightly. */
function nanoseconds(ns: number): number {
  return ns > 0 ? Math.round(ns) : 0;
}

function classIndex(status: number): number {
  return status < 400 ? CLASS_2XX : status < 500 ? CLASS_2XX + 1 : CLASS_2XX + 2;
}
