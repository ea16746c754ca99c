/**
 * The event ring: per-request samples from one ingest worker to main, single producer, single consumer, lock-free.
 *
 * ```
 *  line 0      PUBLISHED  Int32    records written, modulo 2^32             written by the producer
 *  line 1      CONSUMED   Int32    records read, modulo 2^32                written by the consumer
 *  line 2      DROPPED    Float64  records that found the ring full         written by the producer
 *  line 3..    8,192 records of one line each:
 *                CLIENT   Int32    keyed hash of the client
 *                STATUS   Int32    HTTP status
 *                METRICS  Int32    accepted metrics
 *                -        Int32    unused
 *                RECEIVE, LIMIT, PARSE, ENCODE, QUEUE, TOTAL   Float64 each, nanoseconds
 * ```
 * If the ring is full, the new record is dropped and counted: samples may be lost, but a request never waits for them.
 * Records are never overwritten before they are read, so none can be read torn. Main drains every 50 ms; 8,192 records
 * suffice for 160,000 requests per second and worker. Main sums the records into its own histograms, because a call of
 * prom-client costs a tenth of a microsecond.
 *
 * A ring outlives its producer: the next thread that opens it, after the previous one has ended, continues at PUBLISHED.
 */
import { monotonicMs } from '../base/clock.ts';
import { LINE_BYTES, LINE_I32 } from '../base/shared-memory.ts';
import { difference } from '../base/wrapped.ts';
import type { HistogramReading } from './histogram.ts';
import type {
  Recorder,
  SampledStage,
  SampleSink,
  Samples,
  SlowRequest,
  StatusClass,
  TelemetryModule,
} from './recorder.ts';
import { Sample } from './sample.ts';
import { SampleHistograms } from './sample-histograms.ts';
import { SlowestRequest } from './slowest.ts';

const PUBLISHED_I32 = 0;
//> 5.1 each cursor has a cache line of its own
//: const CONSUMED_I32 = 1;
const CONSUMED_I32 = LINE_I32;
//<
const LINE_F64 = LINE_BYTES / Float64Array.BYTES_PER_ELEMENT;
const DROPPED_F64 = 2 * LINE_F64;
const HEADER_LINES = 3;

export const EVENT_RING_RECORDS = 8192;
const RECORD_MASK = EVENT_RING_RECORDS - 1;

/** Most records that one drain reads from all rings together: 2 ms of work that a scrape may have to wait for. */
const DRAIN_RECORDS_MAX = 2 * EVENT_RING_RECORDS;

/** Positions in a record, from its start: first Int32 words, then Float64 words. */
const CLIENT_I32 = 0;
const STATUS_I32 = 1;
const METRICS_I32 = 2;
const RECEIVE_F64 = 2;
const LIMIT_F64 = 3;
const PARSE_F64 = 4;
const ENCODE_F64 = 5;
const QUEUE_F64 = 6;
const TOTAL_F64 = 7;

export function createEventRing(): SharedArrayBuffer {
  //> 5.1 the memory holds three header lines and all records
  //: return new SharedArrayBuffer(HEADER_LINES * LINE_BYTES);
  return new SharedArrayBuffer((HEADER_LINES + EVENT_RING_RECORDS) * LINE_BYTES);
  //<
}

export class EventRingProducer implements Recorder {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private written: number;
  private published: number;
  /** The consumer's cursor at the last load; loaded again only if the ring seems full. */
  private consumed: number;

  /** @param memory has one producer at a time: an earlier one has published and records nothing more */
  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    //> 5.8 continue where the producer before this one ended
    //: this.published = 0;
    //: this.consumed = 0;
    // Pairs with the store in `publish` by the producer before this one.
    this.published = Atomics.load(this.i32, PUBLISHED_I32);
    // Pairs with the store in `drain`, as in `record`.
    this.consumed = Atomics.load(this.i32, CONSUMED_I32);
    //<
    this.written = this.published;
  }

  record(sample: Sample): void {
    const { i32, f64, written } = this;
    //> 5.4 a full ring keeps its records and drops the new one
    if (difference(written, this.consumed) === EVENT_RING_RECORDS) {
      // The consumer can only make room for published records.
      this.publish();
      //> 5.6 load the cursor before the room is used
      //: this.consumed = i32[CONSUMED_I32]!;
      // Pairs with the store in `drain`: the consumer no longer reads the records before this cursor.
      this.consumed = Atomics.load(i32, CONSUMED_I32);
      //<
      if (difference(written, this.consumed) === EVENT_RING_RECORDS) {
        //> 5.5 count the drop
        f64[DROPPED_F64]! += 1;
        //<
        return;
      }
    }
    //<
    //> 5.3 the ring has an end
    //: const line = HEADER_LINES + written;
    const line = HEADER_LINES + (written & RECORD_MASK);
    //<
    const words = line * LINE_I32;
    i32[words + CLIENT_I32] = sample.clientHash;
    i32[words + STATUS_I32] = sample.status;
    i32[words + METRICS_I32] = sample.metrics;
    //> 5.2 write the six times
    const times = line * LINE_F64;
    f64[times + RECEIVE_F64] = sample.receiveNs;
    f64[times + LIMIT_F64] = sample.limitNs;
    f64[times + PARSE_F64] = sample.parseNs;
    f64[times + ENCODE_F64] = sample.encodeNs;
    f64[times + QUEUE_F64] = sample.queueNs;
    f64[times + TOTAL_F64] = sample.totalNs;
    //<
    //> 5.7 publish once for a batch, not for each record
    //: this.written = (written + 1) | 0;
    //: this.publish();
    this.written = (written + 1) | 0;
    //<
  }

  /** Publishes the records to the consumer. Once per batch, because this store costs as much as a whole record. */
  publish(): void {
    if (this.published === this.written) return;
    this.published = this.written;
    //> 5.6 publish behind the records
    //: this.i32[PUBLISHED_I32] = this.published;
    // Publishes the records; pairs with the load in `drain`, and with that of the next producer's constructor.
    Atomics.store(this.i32, PUBLISHED_I32, this.published);
    //<
  }
}

export class EventRingConsumer {
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;
  private readonly sample = new Sample();
  private consumed: number;

  constructor(memory: SharedArrayBuffer) {
    this.i32 = new Int32Array(memory);
    this.f64 = new Float64Array(memory);
    this.consumed = this.i32[CONSUMED_I32]!;
  }

  /** Records dropped so far; exact while the producer is idle. */
  get dropped(): number {
    return this.f64[DROPPED_F64]!;
  }

  /** Passes at most `max` records to `sink`, oldest first; returns their number. */
  drain(sink: SampleSink, max: number = EVENT_RING_RECORDS): number {
    const { i32, f64, sample } = this;
    //> 5.6 load the cursor before the records
    //: const ready = difference(i32[PUBLISHED_I32]!, this.consumed);
    // Pairs with the store in `publish`: all records before this cursor are complete.
    const ready = difference(Atomics.load(i32, PUBLISHED_I32), this.consumed);
    //<
    const count = Math.min(ready, max);
    for (let taken = 0; taken < count; taken++) {
      //> 5.3 the ring has an end
      //: const line = HEADER_LINES + this.consumed + taken;
      const line = HEADER_LINES + ((this.consumed + taken) & RECORD_MASK);
      //<
      const words = line * LINE_I32;
      sample.clientHash = i32[words + CLIENT_I32]!;
      sample.status = i32[words + STATUS_I32]!;
      sample.metrics = i32[words + METRICS_I32]!;
      //> 5.2 read the six times
      const times = line * LINE_F64;
      sample.receiveNs = f64[times + RECEIVE_F64]!;
      sample.limitNs = f64[times + LIMIT_F64]!;
      sample.parseNs = f64[times + PARSE_F64]!;
      sample.encodeNs = f64[times + ENCODE_F64]!;
      sample.queueNs = f64[times + QUEUE_F64]!;
      sample.totalNs = f64[times + TOTAL_F64]!;
      //<
      sink.record(sample);
    }
    if (count > 0) {
      this.consumed = (this.consumed + count) | 0;
      //> 5.6 free the room behind the reads
      //: i32[CONSUMED_I32] = this.consumed;
      // Frees the records' room for the producer. Pairs with the loads in `record` and in a producer's constructor.
      Atomics.store(i32, CONSUMED_I32, this.consumed);
      //<
    }
    return count;
  }
}

/** Main's side of the rings of all threads. */
class RingSamples implements Samples, SampleSink {
  private readonly rings: readonly EventRingConsumer[];
  private readonly histograms = new SampleHistograms();
  private readonly window = new SlowestRequest(monotonicMs());
  /** The first ring of the last drain. Each drain starts at the next ring, so that none starves. */
  private first = 0;

  constructor(memories: readonly SharedArrayBuffer[]) {
    this.rings = memories.map((memory) => new EventRingConsumer(memory));
  }

  get dropped(): number {
    return this.rings.reduce((sum, ring) => sum + ring.dropped, 0);
  }

  get slowest(): SlowRequest | null {
    return this.window.slowest;
  }

  drain(): void {
    this.window.turn(monotonicMs());
    const { rings } = this;
    this.first = (this.first + 1) % rings.length;
    let room = DRAIN_RECORDS_MAX;
    for (let k = 0; k < rings.length && room > 0; k++) {
      room -= rings[(this.first + k) % rings.length]!.drain(this, room);
    }
  }

  record(sample: Sample): void {
    this.histograms.record(sample);
    this.window.note(sample);
  }

  stage(stage: SampledStage): HistogramReading {
    return this.histograms.stage(stage);
  }

  requests(statusClass: StatusClass): HistogramReading {
    return this.histograms.requests(statusClass);
  }
}

export const createSampleMemories = ((recorders) =>
  Array.from({ length: recorders }, createEventRing)) satisfies TelemetryModule['createSampleMemories'];

export const openRecorder = ((memory) =>
  new EventRingProducer(memory)) satisfies TelemetryModule['openRecorder'];

export const openSamples = ((memories) => new RingSamples(memories)) satisfies TelemetryModule['openSamples'];
