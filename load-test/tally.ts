/** Adds up what the generator threads hand over: totals, one line a second, and the figures of a result. */
import { type DoneMessage, FAILURE_INDEX, type SliceMessage } from './generator/messages.ts';
import { LatencyHistogram } from './latency.ts';
import type { Generator, LateSends, Outcome, Slice } from './plan.ts';

/** A thread that is busier than this has no time to be punctual. */
const BUSY_SHARE_MAX = 0.9;
/** Late sends beyond this number cause a warning. */
export const LATE_SHARE_MAX = 0.01;
/** Seconds at the start and the end of the load need not be whole; shorter ones say nothing of how busy a thread was. */
const BUSY_SECONDS_MIN = 0.5;

const FAILURE_NAMES = new Map<number, Outcome>(
  Object.entries(FAILURE_INDEX).map(([name, index]) => [index, name as Outcome]),
);

type Counts = Partial<Record<Outcome, number>>;

function addOutcomes(counts: Counts, outcomes: SliceMessage['outcomes']): void {
  for (const [index, count] of outcomes) {
    const name = FAILURE_NAMES.get(index) ?? (`${index}` as Outcome);
    counts[name] = (counts[name] ?? 0) + count;
  }
}

/** One second, of all threads. */
class SliceSum {
  seconds = 0;
  sent = 0;
  acceptedMetrics = 0;
  lateSends = 0;
  inFlight = 0;
  waiting = 0;
  readonly outcomes: Counts = {};
  readonly latency = new LatencyHistogram();

  add(message: SliceMessage): void {
    this.seconds = Math.max(this.seconds, message.seconds);
    this.sent += message.sent;
    this.acceptedMetrics += message.acceptedMetrics;
    this.lateSends += message.lateByGenerator + message.lateWaited;
    this.inFlight += message.inFlight;
    this.waiting += message.waiting;
    addOutcomes(this.outcomes, message.outcomes);
    this.latency.add(message.api);
  }

  report(slice: number): Slice {
    const { seconds, sent, outcomes, acceptedMetrics, lateSends, inFlight, waiting } = this;
    return {
      atSeconds: slice - 1 + seconds,
      seconds,
      sent,
      outcomes,
      acceptedMetrics,
      latency: this.latency.summary(),
      lateSends,
      inFlight,
      waiting,
    };
  }
}

export class Tally {
  sent = 0;
  acceptedMetrics = 0;
  withoutRetryAfter = 0;
  retries = 0;
  replays = 0;
  /** Accepted by answers in the warm-up. */
  warmUpMetrics = 0;
  readonly warmUpOutcomes: Counts = {};
  readonly outcomes: Counts = {};
  readonly api = new LatencyHistogram();
  readonly service = new LatencyHistogram();
  readonly refusal = new LatencyHistogram();
  due = 0;
  unsentOldestWaitMs = 0;
  endedMs = 0;

  private readonly delay = new LatencyHistogram();
  private readonly slices = new Map<number, SliceSum>();
  private readonly busyMs: number[];
  private readonly wallMs: number[];
  private lateWaited = 0;
  private lateByGenerator = 0;
  private worstLateMs = 0;

  constructor(threads: number) {
    this.busyMs = new Array<number>(threads).fill(0);
    this.wallMs = new Array<number>(threads).fill(0);
  }

  addSlice(message: SliceMessage): void {
    if (message.slice === 0) {
      this.warmUpMetrics += message.acceptedMetrics;
      addOutcomes(this.warmUpOutcomes, message.outcomes);
      return;
    }
    this.sent += message.sent;
    this.acceptedMetrics += message.acceptedMetrics;
    this.withoutRetryAfter += message.withoutRetryAfter;
    this.retries += message.retries;
    this.replays += message.replays;
    this.lateWaited += message.lateWaited;
    this.lateByGenerator += message.lateByGenerator;
    this.worstLateMs = Math.max(this.worstLateMs, message.worstLateMs);
    addOutcomes(this.outcomes, message.outcomes);
    this.api.add(message.api);
    this.service.add(message.service);
    this.refusal.add(message.refusal);
    this.delay.add(message.delay);
    if (message.seconds >= BUSY_SECONDS_MIN && message.sent > 0) {
      this.busyMs[message.thread]! += message.busyMs;
      this.wallMs[message.thread]! += message.seconds * 1e3;
    }
    const sum = this.slices.get(message.slice) ?? new SliceSum();
    this.slices.set(message.slice, sum);
    sum.add(message);
  }

  addDone(message: DoneMessage): void {
    this.due += message.due;
    this.unsentOldestWaitMs = Math.max(this.unsentOldestWaitMs, message.unsentOldestWaitMs);
    this.endedMs = Math.max(this.endedMs, message.endedMs);
  }

  /** The last second that every thread has reported. */
  lastSlice(): Slice | undefined {
    const last = Math.max(...this.slices.keys());
    return this.slices.get(last)?.report(last);
  }

  timeline(): Slice[] {
    return [...this.slices]
      .sort(([a], [b]) => a - b)
      .map(([slice, sum]) => sum.report(slice))
      .filter(({ sent, outcomes }) => sent > 0 || Object.keys(outcomes).length > 0);
  }

  lateSends(): LateSends {
    const { lateWaited, lateByGenerator, worstLateMs } = this;
    const count = lateWaited + lateByGenerator;
    return {
      share: this.sent === 0 ? 0 : count / this.sent,
      count,
      waitedForConnection: lateWaited,
      byGenerator: lateByGenerator,
      worstMs: worstLateMs,
    };
  }

  generator(threads: number): Generator {
    const busyShare = Math.max(
      ...this.busyMs.map((busy, thread) => (this.wallMs[thread]! > 0 ? busy / this.wallMs[thread]! : 0)),
    );
    const lateShare = this.sent === 0 ? 0 : this.lateByGenerator / this.sent;
    return {
      threads,
      busyShare,
      delayP99Ms: this.delay.percentileMs(99),
      delayMaxMs: this.delay.percentileMs(100),
      isBottleneck: busyShare > BUSY_SHARE_MAX || lateShare > LATE_SHARE_MAX,
    };
  }

  /** Gives the histograms' memory back. */
  destroy(): void {
    for (const histogram of [this.api, this.service, this.refusal, this.delay]) histogram.destroy();
    for (const { latency } of this.slices.values()) latency.destroy();
  }
}
