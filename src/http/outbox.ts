/**
 * The outbox of a thread that owns connections: responses that are prepared during a turn of its event loop wait
 * here, and the turn's end sends them.
 *
 * Sending later than deciding is deliberate. uWebSockets.js then cuts off a client that pipelines without reading,
 * and the requests of a turn share one clock reading. Every request that was received ends here, counted by its
 * status, or is counted as aborted.
 */
import type { Gate } from '../admission/gate.ts';
import { monotonicMs } from '../base/clock.ts';
import { NS_PER_MS } from '../base/units.ts';
import { WORKER } from '../telemetry/counters.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import { Sample } from '../telemetry/sample.ts';
import type { CountedReason } from '../telemetry/unavailable.ts';
import type { Exchange } from './exchange.ts';
import { isLarge, LargeAnswers } from './large-answers.ts';
import { type Problem, prepareProblem, prepareUnavailable, write } from './response.ts';
import type { Turn } from './turn.ts';

const STATUS_SLOTS: Readonly<Record<number, number>> = Object.fromEntries(
  Object.entries(WORKER)
    .filter(([name]) => name.startsWith('requests_') && /\d{3}$/.test(name))
    .map(([name, slot]) => [name.slice(-3), slot]),
);

const CLASS_REQUESTS = WORKER.class_0_requests;

export class Outbox {
  readonly turn: Turn;
  readonly counters: Float64Array;
  private readonly gate: Gate;
  private readonly recorder: Recorder;
  private readonly prepared: Exchange[] = [];
  private readonly large: LargeAnswers;

  /** @param turn its end has to call `flush` */
  constructor(turn: Turn, gate: Gate, counters: Float64Array, recorder: Recorder) {
    this.turn = turn;
    this.gate = gate;
    this.counters = counters;
    this.recorder = recorder;
    this.large = new LargeAnswers(counters);
  }

  /** Responses that wait for the end of the turn. */
  get pending(): number {
    return this.prepared.length;
  }

  /** Sends the prepared response at the end of this turn. */
  enqueue(exchange: Exchange): void {
    this.prepared.push(exchange);
    this.turn.open();
  }

  enqueueProblem(exchange: Exchange, problem: Problem): void {
    prepareProblem(exchange, problem);
    this.enqueue(exchange);
  }

  /** A 503, counted by its reason. */
  enqueueUnavailable(exchange: Exchange, reason: CountedReason): void {
    prepareUnavailable(exchange, this.counters, reason, this.gate.factsFor(reason), this.gate.draining);
    this.enqueue(exchange);
  }

  /** Sends everything that was enqueued. */
  flush(): void {
    const { prepared } = this;
    if (prepared.length === 0) return;
    const nowMs = monotonicMs();
    for (let i = 0; i < prepared.length; i++) {
      const exchange = prepared[i]!;
      if (this.send(exchange, nowMs)) exchange.release();
    }
    prepared.length = 0;
    this.publishSamples();
  }

  /**
   * Counts and sends a prepared response.
   * @returns false when it was answered before, its client is gone, or a part of it waits to be read
   */
  send(exchange: Exchange, nowMs: number): boolean {
    if (!exchange.open) return false;
    this.counters[STATUS_SLOTS[exchange.status]!]! += 1;
    if (exchange.measured) {
      this.counters[CLASS_REQUESTS + exchange.clientClass]! += 1;
      if (!exchange.recorded) recordSample(this.recorder, exchange, nowMs);
    }
    // The client then sends its next request elsewhere, instead of into a connection that is about to end.
    if (this.gate.draining) exchange.close = true;
    else if (isLarge(exchange)) return this.large.send(exchange);
    write(exchange);
    return true;
  }

  /** Shows main the samples of the responses sent; once for a batch. */
  publishSamples(): void {
    this.recorder.publish();
  }
}

/** Reused for every request of this thread. */
const sample = new Sample();

/** Records how long each stage of a served request took. */
export function recordSample(recorder: Recorder, exchange: Exchange, nowMs: number): void {
  const { receivedMs, startedMs, journaledMs } = exchange;
  sample.clientHash = exchange.clientHash;
  sample.status = exchange.status;
  sample.metrics = exchange.accepted;
  sample.receiveNs = ((receivedMs > 0 ? receivedMs : nowMs) - startedMs) * NS_PER_MS;
  sample.limitNs = exchange.limitNs;
  sample.parseNs = exchange.parseNs;
  sample.encodeNs = exchange.encodeNs;
  sample.queueNs = journaledMs > 0 ? (nowMs - journaledMs) * NS_PER_MS : 0;
  sample.totalNs = (nowMs - startedMs) * NS_PER_MS;
  recorder.record(sample);
}
