/**
 * The answers of one thread that owns connections: prepared during a turn of its event loop, sent at its end.
 *
 * Sending later than deciding is deliberate: a client that pipelines without reading is cut off by uWebSockets.js
 * instead of served, and the requests of a turn share one clock reading. Every request that was received ends here,
 * counted by its status, or is counted as aborted.
 */
import { monotonicMs } from '../base/clock.ts';
import { type Control, DISK_OK, DRAINING } from '../base/control.ts';
import { NS_PER_MS } from '../base/units.ts';
import { type Breaker, OPEN } from '../breaker/breaker.ts';
import { type UNAVAILABLE_REASONS, WORKER } from '../telemetry/counters.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import { Sample } from '../telemetry/sample.ts';
import type { Exchange, ExchangePool } from './exchange.ts';
import { type Problem, type QueueFacts, send, setProblem, unavailableProblem } from './response.ts';

export type UnavailableReason = (typeof UNAVAILABLE_REASONS)[number];

const STATUS_SLOTS: Readonly<Record<number, number>> = Object.fromEntries(
  Object.entries(WORKER)
    .filter(([name]) => name.startsWith('requests_') && /\d{3}$/.test(name))
    .map(([name, slot]) => [name.slice(-3), slot]),
);

const CLASS_REQUESTS = WORKER.class_0_requests;

export class Answers {
  readonly counters: Float64Array;
  private readonly exchanges: ExchangePool;
  private readonly control: Control;
  private readonly breaker: Breaker;
  private readonly recorder: Recorder;
  private readonly outbox: Exchange[] = [];
  /** While true, `turnMs` stands: reading a clock costs more than the turn's requests differ by. */
  private turnIsOpen = false;
  private turnStartMs = 0;
  private turnEnds: () => void = () => {};
  private turnEnded: () => void = () => {};
  private readonly endTurn = (): void => this.flush();

  constructor(
    exchanges: ExchangePool,
    control: Control,
    breaker: Breaker,
    counters: Float64Array,
    recorder: Recorder,
  ) {
    this.exchanges = exchanges;
    this.control = control;
    this.breaker = breaker;
    this.counters = counters;
    this.recorder = recorder;
  }

  /** @param before called at the end of a turn, before its answers go out  @param after called when they are out */
  aroundAnswers(before: () => void, after: () => void): void {
    this.turnEnds = before;
    this.turnEnded = after;
  }

  /** The process ends: new requests are refused and their connections closed. */
  get draining(): boolean {
    return this.control.lifecycle >= DRAINING;
  }

  /** Why nothing can be taken now whatever the dispatcher, or null. */
  get stateRefusal(): 'disk_failed' | 'breaker_open' | 'draining' | null {
    if (this.control.disk !== DISK_OK) return 'disk_failed';
    if (this.breaker.state === OPEN) return 'breaker_open';
    return this.draining ? 'draining' : null;
  }

  /**
   * Asked last, once for each request that is about to be served: while the breaker is half open few may try storage.
   * @param nowMs monotonic
   */
  trialRefusal(nowMs: number): 'breaker_open' | null {
    return this.breaker.acquirePermit(nowMs) ? null : 'breaker_open';
  }

  /** Answers prepared and not yet sent. */
  get pending(): number {
    return this.outbox.length;
  }

  /** True from the first thing to send at the end of this turn on. */
  get turnOpen(): boolean {
    return this.turnIsOpen;
  }

  /** Monotonic ms at which this turn saw its first request; when a request that comes now is said to start. */
  turnMs(): number {
    if (!this.turnIsOpen) this.turnStartMs = monotonicMs();
    return this.turnStartMs;
  }

  /** What `turnMs` said last, without reading a clock. */
  get lastTurnMs(): number {
    return this.turnStartMs;
  }

  answer(exchange: Exchange, problem: Problem): void {
    setProblem(exchange, problem);
    this.answerPrepared(exchange);
  }

  answerPrepared(exchange: Exchange): void {
    this.outbox.push(exchange);
    this.openTurn();
  }

  /** A 503, counted by its reason. */
  answerUnavailable(exchange: Exchange, reason: UnavailableReason, queue: QueueFacts): void {
    this.counters[WORKER[`unavailable_${reason}`]]! += 1;
    this.answer(exchange, unavailableProblem(reason, queue, this.draining));
  }

  /** Makes sure that the end of this turn is told. */
  openTurn(): void {
    if (this.turnIsOpen) return;
    this.turnIsOpen = true;
    setImmediate(this.endTurn);
  }

  private flush(): void {
    this.turnIsOpen = false;
    this.turnEnds();
    const { outbox } = this;
    if (outbox.length > 0) {
      const nowMs = monotonicMs();
      for (let i = 0; i < outbox.length; i++) this.conclude(outbox[i]!, nowMs);
      outbox.length = 0;
      this.recorder.publish();
    }
    this.turnEnded();
  }

  /** Finishes an exchange that nothing else holds any more, and frees it for the next request. */
  conclude(exchange: Exchange, nowMs: number): void {
    if (!exchange.open) return;
    this.finish(exchange, nowMs);
    this.exchanges.give(exchange);
  }

  /** Counts and sends a prepared answer. */
  finish(exchange: Exchange, nowMs: number): void {
    if (!exchange.open) return;
    this.counters[STATUS_SLOTS[exchange.status]!]! += 1;
    if (exchange.measured) {
      this.counters[CLASS_REQUESTS + exchange.clientClass]! += 1;
      if (!exchange.recorded) recordSample(this.recorder, exchange, nowMs);
    }
    // Its client then sends the next request elsewhere, instead of into a connection about to end.
    if (this.draining) exchange.close = true;
    send(exchange);
  }

  /** Shows main the samples of what was finished; once for a batch. */
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
