/** One thread's load: its connections, its pace, and the clock that drives them. */
import { monotonicMs } from '../../src/base/clock.ts';
import { MetricsStreamError } from '../../src/base/errors.ts';
import { MS_PER_SECOND } from '../../src/base/units.ts';
import type { LoadPlan } from '../plan.ts';
import { SampleProducer } from '../storage/sample-ring.ts';
import { Connection, type ConnectionEvents, type Failure } from './connection.ts';
import {
  FAILURE_INDEX,
  FATE_ACCEPTED,
  FATE_REFUSED,
  FATE_UNKNOWN,
  type FromGenerator,
  type GeneratorData,
  numberOf,
} from './messages.ts';
import { BackToBackPace, IntervalPace, OpenPace, type Pace, type PaceTimes } from './pacing.ts';
import { Fates, Recorder } from './recorder.ts';
import { NUMBER_MAX, RequestTemplate } from './request-template.ts';
import type { ResponseReader } from './response-reader.ts';
import { isRepeatable, retryPauseMs } from './retries.ts';
import { Slices } from './slices.ts';
import { timesOf } from './times.ts';

const CONNECT_TIMEOUT_MS = 5_000;
const SWEEP_MS = 20;
/** A timer may come this much too late; from here on the loop turns until the time has come. */
const TIMER_SLACK_MS = 2;
/** A server that refuses connections is not asked again at once. */
const RECONNECT_MS = 100;
/** At most one request in this time is looked for in the files. */
const SAMPLE_INTERVAL_MS = 5;
const TIMER_MAX_MS = 60_000;
const STATUS_TOO_MANY = 429;
const STATUS_UNAVAILABLE = 503;
const STATUS_GATEWAY_TIMEOUT = 504;

function requestHeaders(plan: LoadPlan, client: number): Record<string, string> {
  const entries = Object.entries(plan.headers);
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value.replaceAll('{client}', `${client}`)]),
  );
}

export class Generator implements ConnectionEvents {
  private readonly data: GeneratorData;
  private readonly post: (message: FromGenerator) => void;
  private readonly connections: Connection[];
  private readonly measured = new Recorder();
  private readonly warmUp = new Recorder();
  private readonly slices: Slices;
  private readonly fates = new Fates();
  private readonly samples: SampleProducer | null;
  private pace: Pace | null = null;
  private times: PaceTimes = { startMs: 0, measureMs: 0, endMs: 0 };
  private finish: () => void = () => {};

  private isSending = true;
  private inFlight = 0;
  private nextSampleMs = 0;
  private lastEventMs = 0;
  private sendingEndedMs = 0;
  private interruptedMs = Number.POSITIVE_INFINITY;

  /** The pending wake-up: a timer, a turn of the loop, or neither. */
  private timer: NodeJS.Timeout | null = null;
  private immediate: NodeJS.Immediate | null = null;

  constructor(data: GeneratorData, post: (message: FromGenerator) => void) {
    const { plan, runId, firstClient, clients } = data;
    this.data = data;
    this.post = post;
    this.samples = data.samples === null ? null : new SampleProducer(data.samples);
    const { host, port, batch, seed, keepAlive } = plan;
    const isKeyed = plan.retries > 0;
    const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    this.connections = Array.from({ length: clients }, (_, index) => {
      const headers = requestHeaders(plan, firstClient + index);
      const template = new RequestTemplate({ authority, batch, seed, runId, keepAlive, headers, isKeyed });
      return new Connection(index, template, { host, port, keepAlive }, this);
    });
    this.slices = new Slices(data.thread, this.measured, post, () => ({
      inFlight: this.inFlight,
      waiting: this.isSending ? (this.pace?.waiting(monotonicMs()) ?? 0) : 0,
    }));
  }

  /** Opens the connections ahead of the load; with a connection for each request, none is. */
  async connect(): Promise<void> {
    const { keepAlive } = this.data.plan;
    const opened = keepAlive
      ? await Promise.all(this.connections.map((connection) => connection.open(CONNECT_TIMEOUT_MS)))
      : this.connections.map(() => true);
    this.post({ kind: 'connected', connections: opened.filter((isOpen) => isOpen).length });
  }

  /** Runs the load; resolves when every request sent has its outcome. */
  async run(startMs: number): Promise<void> {
    const { plan, thread } = this.data;
    this.times = timesOf(plan, startMs);
    const pace = this.createPace();
    this.pace = pace;
    this.lastEventMs = this.times.measureMs;
    this.slices.begin(this.times.measureMs);
    const sweep = setInterval(() => this.sweep(), SWEEP_MS);
    const finished = new Promise<void>((resolve) => {
      this.finish = resolve;
    });
    this.turn();
    await finished;
    clearInterval(sweep);
    for (const connection of this.connections) connection.close();
    this.slices.end(this.warmUp);
    const untilMs = Math.min(this.times.endMs, this.interruptedMs);
    const firstUnsentMs = pace.firstUnsentMs();
    this.post({
      kind: 'done',
      thread,
      due: pace.measuredDue(untilMs),
      unsentOldestWaitMs: firstUnsentMs < untilMs ? this.sendingEndedMs - firstUnsentMs : 0,
      endedMs: Number.isFinite(untilMs) ? Math.max(untilMs, this.lastEventMs) : this.lastEventMs,
      fates: this.fates.all(),
    });
  }

  /** Sends nothing more; requests under way are waited for. */
  stop(): void {
    if (!this.isSending) return;
    this.interruptedMs = monotonicMs();
    this.endSending();
  }

  private createPace(): Pace {
    const { plan, thread, threads, firstClient } = this.data;
    const { load } = plan;
    const { times, connections } = this;
    const send = this.send.bind(this);
    if (load.kind === 'open') {
      const stepMs = 1e3 / load.ratePerSecond;
      return new OpenPace(send, times, times.startMs + thread * stepMs, threads * stepMs, connections);
    }
    const { intervalMs, requestsPerClient = Number.POSITIVE_INFINITY } = load;
    if (intervalMs === 0) return new BackToBackPace(send, times, requestsPerClient, connections);
    const stepMs = intervalMs / plan.clients;
    const rounds = Math.round((times.measureMs - times.startMs) / intervalMs) + requestsPerClient;
    const firstMs = times.startMs + firstClient * stepMs;
    return new IntervalPace(send, times, firstMs, stepMs, intervalMs, rounds, connections);
  }

  private send(connection: Connection, intendedMs: number, waited: boolean): void {
    const { thread, threads, plan } = this.data;
    const nowMs = monotonicMs();
    const local = this.fates.begin();
    const number = numberOf(local, thread, threads);
    if (number > NUMBER_MAX) throw new MetricsStreamError('INVARIANT', 'more requests than numbers');
    let isSampled = false;
    if (this.samples !== null && nowMs >= this.nextSampleMs && intendedMs >= this.times.measureMs) {
      isSampled = this.samples.push(number, intendedMs);
      this.nextSampleMs = nowMs + SAMPLE_INTERVAL_MS;
    }
    connection.template.patch(number, isSampled);
    connection.isFree = false;
    connection.number = local;
    connection.retries = connection.doubt = 0;
    connection.intendedMs = intendedMs;
    connection.sentMs = nowMs;
    connection.deadlineMs = nowMs + plan.timeoutMs;
    this.inFlight++;
    this.slices.activity++;
    this.recorderOf(intendedMs).recordSend(nowMs - intendedMs, waited);
    connection.send();
  }

  private recorderOf(intendedMs: number): Recorder {
    return intendedMs >= this.times.measureMs ? this.measured : this.warmUp;
  }

  answered(connection: Connection, reader: ResponseReader): void {
    const { status } = reader;
    const nowMs = monotonicMs();
    const recorder = this.recorderOf(connection.intendedMs);
    if (reader.isReplay) recorder.recordReplay();
    if (status >= 200 && status < 300) this.succeeded(connection, reader, nowMs);
    else {
      const isUnknown = status === STATUS_GATEWAY_TIMEOUT;
      if (this.repeats(connection, isUnknown ? status : 0, isRepeatable(status), reader.retryAfterSeconds))
        return;
      const wantsRetryAfter = status === STATUS_TOO_MANY || status === STATUS_UNAVAILABLE;
      this.fates.settle(connection.number, connection.doubt > 0 || isUnknown ? FATE_UNKNOWN : FATE_REFUSED);
      if (connection.doubt > 0) recorder.recordFailure(connection.doubt);
      else
        recorder.recordRefusal(
          status,
          nowMs - connection.intendedMs,
          wantsRetryAfter && !reader.hasRetryAfter,
        );
    }
    this.inFlight--;
    this.lastEventMs = nowMs;
    this.freed(connection, nowMs);
  }

  private succeeded({ intendedMs, sentMs, number }: Connection, reader: ResponseReader, nowMs: number): void {
    const accepted = reader.accepted();
    const metrics = accepted < 0 ? this.data.plan.batch : accepted;
    this.fates.settle(number, FATE_ACCEPTED);
    this.recorderOf(intendedMs).recordSuccess(reader.status, nowMs - intendedMs, nowMs - sentMs, metrics);
  }

  failed(connection: Connection, failure: Failure): void {
    const index = FAILURE_INDEX[failure];
    // Without a connection nothing was sent.
    const isUnknown = failure !== 'connect';
    if (this.repeats(connection, isUnknown ? index : 0, true, 0)) return;
    const { doubt, number } = connection;
    this.fates.settle(number, isUnknown || doubt > 0 ? FATE_UNKNOWN : FATE_REFUSED);
    this.recorderOf(connection.intendedMs).recordFailure(doubt > 0 ? doubt : index);
    this.inFlight--;
    if (failure === 'connect') setTimeout(() => this.freed(connection, monotonicMs()), RECONNECT_MS).unref();
    else this.freed(connection, monotonicMs());
    this.finishWhenDone();
  }

  /**
   * Sends the request again after a pause, if the plan and the answer allow it.
   * @param doubt the outcome, if the request may be stored after it; else 0
   */
  private repeats(
    connection: Connection,
    doubt: number,
    isAllowed: boolean,
    retryAfterSeconds: number,
  ): boolean {
    const { plan } = this.data;
    connection.doubt ||= plan.retries > 0 ? doubt : 0;
    if (!isAllowed || connection.retries >= plan.retries) return false;
    const pauseMs = retryPauseMs(connection.retries, retryAfterSeconds * MS_PER_SECOND);
    connection.retries++;
    setTimeout(() => {
      this.recorderOf(connection.intendedMs).recordRetry();
      connection.deadlineMs = monotonicMs() + plan.timeoutMs;
      connection.send();
    }, pauseMs);
    return true;
  }

  private freed(connection: Connection, nowMs: number): void {
    this.slices.activity++;
    connection.isFree = true;
    if (this.isSending) this.arm(this.pace!.freed(connection, nowMs), nowMs);
    else this.finishWhenDone();
  }

  private readonly turn = (): void => {
    this.slices.turn(this.immediate !== null);
    this.timer = this.immediate = null;
    if (!this.isSending) return;
    const nowMs = monotonicMs();
    this.arm(this.pace!.pump(nowMs), nowMs);
  };

  /** Sees to it that `turn` comes at `nextMs`: by a timer first, which is no more exact than a millisecond or two. */
  private arm(nextMs: number, nowMs: number): void {
    if (this.timer !== null || this.immediate !== null || nextMs === Number.POSITIVE_INFINITY) return;
    const restMs = Math.floor(nextMs - nowMs - TIMER_SLACK_MS);
    if (restMs >= 1) this.timer = setTimeout(this.turn, Math.min(restMs, TIMER_MAX_MS));
    else this.immediate = setImmediate(this.turn);
  }

  /** Ends sending when nothing is left to send, and requests whose time is up. */
  private sweep(): void {
    const nowMs = monotonicMs();
    // Sending first: a request given up frees its connection, which would send another one after the end.
    if (this.isSending && (this.pace!.isDone(nowMs) || nowMs >= this.times.endMs + this.data.plan.graceMs))
      this.endSending();
    for (const connection of this.connections) {
      if (connection.isBusy && nowMs >= connection.deadlineMs) connection.giveUp();
    }
  }

  private endSending(): void {
    this.isSending = false;
    this.sendingEndedMs = monotonicMs();
    this.finishWhenDone();
  }

  private finishWhenDone(): void {
    if (!this.isSending && this.inFlight === 0) this.finish();
  }
}
