/**
 * Main's side of the event rings: samples of all workers, drained and summed into histograms before prom-client,
 * whose own calls would cost a tenth of a microsecond each.
 */
import { monotonicMs } from '../base/clock.ts';
import { createHistogramBlock, type HistogramReading, Histograms, readHistogram } from './histogram.ts';
import type { Recorder } from './recorder.ts';
import { EventRingConsumer } from './ring-buffer.ts';

/** Stages that workers time for each request; the writer times the others (journal, sync) for each commit. */
export const SAMPLED_STAGES = ['receive', 'limit', 'parse', 'encode', 'queue'] as const;
export const STATUS_CLASSES = ['2xx', '4xx', '5xx'] as const;
const AGGREGATE_NAMES = [...SAMPLED_STAGES, ...STATUS_CLASSES] as const;

const RECEIVE = 0;
const LIMIT = 1;
const PARSE = 2;
const ENCODE = 3;
const QUEUE = 4;
/** Index of the histogram of class `Nxx`, from the status' first digit: 2 → 5, 4 → 6, 5 → 7. */
const CLASS_2XX = SAMPLED_STAGES.length;

/** The slowest request is that of this window and the one before. */
const SLOWEST_WINDOW_MS = 10_000;

export interface SlowRequest {
  /** 8 hexadecimal digits: the first half of the client's keyed hash. */
  readonly client: string;
  readonly status: number;
  readonly metrics: number;
  readonly totalNs: number;
}

export class Aggregator implements Recorder {
  private readonly rings: readonly EventRingConsumer[];
  private readonly memory = createHistogramBlock(AGGREGATE_NAMES);
  private readonly histograms = new Histograms(this.memory, AGGREGATE_NAMES);
  private windowEndsMs = monotonicMs() + SLOWEST_WINDOW_MS;
  private slowestNow: SlowRequest | null = null;
  private slowestBefore: SlowRequest | null = null;

  constructor(rings: readonly SharedArrayBuffer[]) {
    this.rings = rings.map((memory) => new EventRingConsumer(memory));
  }

  /** Samples that found their ring full, over all workers. */
  get dropped(): number {
    return this.rings.reduce((sum, ring) => sum + ring.dropped, 0);
  }

  /** The slowest request of the last 10 to 20 seconds. */
  get slowest(): SlowRequest | null {
    const { slowestNow, slowestBefore } = this;
    if (slowestNow === null || slowestBefore === null) return slowestNow ?? slowestBefore;
    return slowestNow.totalNs > slowestBefore.totalNs ? slowestNow : slowestBefore;
  }

  /** Takes what the rings hold now. Call often enough that they do not fill. */
  drain(): void {
    const nowMs = monotonicMs();
    if (nowMs >= this.windowEndsMs) {
      this.slowestBefore = this.slowestNow;
      this.slowestNow = null;
      this.windowEndsMs = nowMs + SLOWEST_WINDOW_MS;
    }
    for (const ring of this.rings) ring.drain(this);
  }

  record(
    clientHash: number,
    status: number,
    metrics: number,
    receiveNs: number,
    limitNs: number,
    parseNs: number,
    encodeNs: number,
    queueNs: number,
    totalNs: number,
  ): void {
    this.histograms.record(RECEIVE, nanoseconds(receiveNs));
    // A stage that took no time at all was not reached.
    if (limitNs > 0) this.histograms.record(LIMIT, nanoseconds(limitNs));
    if (parseNs > 0) this.histograms.record(PARSE, nanoseconds(parseNs));
    if (encodeNs > 0) this.histograms.record(ENCODE, nanoseconds(encodeNs));
    if (queueNs > 0) this.histograms.record(QUEUE, nanoseconds(queueNs));
    this.histograms.record(classIndex(status), nanoseconds(totalNs));
    if (totalNs > (this.slowestNow?.totalNs ?? 0)) {
      const client = (clientHash >>> 0).toString(16).padStart(8, '0');
      this.slowestNow = { client, status, metrics, totalNs };
    }
  }

  stage(stage: (typeof SAMPLED_STAGES)[number]): HistogramReading {
    return readHistogram(this.memory, AGGREGATE_NAMES, SAMPLED_STAGES.indexOf(stage));
  }

  /** Durations of whole requests, first byte to answer, of one class of status. */
  requests(statusClass: (typeof STATUS_CLASSES)[number]): HistogramReading {
    return readHistogram(this.memory, AGGREGATE_NAMES, CLASS_2XX + STATUS_CLASSES.indexOf(statusClass));
  }
}

/** Histograms take integers; clocks of threads may differ by a hair, so that a short time comes out negative. */
function nanoseconds(ns: number): number {
  return ns > 0 ? Math.round(ns) : 0;
}

function classIndex(status: number): number {
  return status < 400 ? CLASS_2XX : status < 500 ? CLASS_2XX + 1 : CLASS_2XX + 2;
}
