/**
 * Feeds the live page: main reads the counters once a second, keeps the last minutes as points, and sends a message to
 * every watcher.
 *
 * Points are recorded all the time, so that a page opened now shows the past. Messages are built only while somebody
 * watches, at most one per second for any number of watchers.
 */
import { monotonicMs } from '../base/clock.ts';
import { MS_PER_SECOND, US_PER_MS } from '../base/units.ts';
import { readBreaker } from '../breaker/breaker.ts';
import { answeredRequests } from '../exposition/rates.ts';
import type { Readings } from '../exposition/readings.ts';
import { STAGES, type Stage } from '../telemetry/recorder.ts';
import { COUNTED_REASONS } from '../telemetry/unavailable.ts';
import { History } from './history.ts';
import { LatencyWindow } from './latency-window.ts';
import { LimitedClients } from './limited-clients.ts';
import type { Latency, Opening, Point, Second, ServerFacts, Snapshot, Totals } from './messages.ts';
import { sinkStates } from './sinks.ts';

const TICK_MS = 1000;
/** Two readings in one instant must not divide by zero. */
const SECONDS_MIN = 1e-3;
/** How long an EventSource waits before it connects again; the page itself does not use one. */
const RETRY_MS = 1000;

/** One server-sent event; JSON has no raw line ends that could end it early. */
const eventOf = (message: Snapshot | Opening): string => `data: ${JSON.stringify(message)}\n\n`;

/** Enough digits for a plot. */
const brief = (value: number): number => Number(value.toPrecision(4));

export class LiveFeed {
  private readonly readings: Readings;
  private readonly breaker: SharedArrayBuffer;
  private readonly facts: ServerFacts;
  private readonly history = new History();
  private readonly request: LatencyWindow;
  private readonly stages: readonly (readonly [Stage, LatencyWindow])[];
  private readonly clients: LimitedClients;
  private readonly watchers = new Set<(text: string) => void>();
  private readAtMs: number;
  private totals: Totals;
  private reasons: readonly number[];
  private second: Second;
  /** Built from `second` at the first request. */
  private snapshot: Snapshot | null = null;
  private openingText: string | null = null;
  private timer: NodeJS.Timeout | undefined;

  /** @param breaker the storage breaker's memory */
  constructor(readings: Readings, breaker: SharedArrayBuffer, facts: ServerFacts) {
    this.readings = readings;
    this.breaker = breaker;
    this.facts = facts;
    this.request = new LatencyWindow(() => readings.samples.requests('2xx'));
    this.stages = STAGES.map((stage) => [stage, new LatencyWindow(() => readings.stage(stage))] as const);
    this.clients = new LimitedClients(readings.sources.limiter.memory, readings.sources.limiter.readCensus);
    this.readAtMs = monotonicMs();
    this.totals = this.readTotals();
    this.reasons = this.readReasons();
    this.second = this.nextSecond();
  }

  start(): void {
    this.timer = setInterval(() => this.tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** The first text of a stream: the retry time, the server's facts, and the last minutes. */
  opening(): string {
    this.openingText ??= `retry: ${RETRY_MS}\n${eventOf({
      ...this.currentSnapshot(),
      server: this.facts,
      columns: this.history.columns(),
    })}`;
    return this.openingText;
  }

  /** Calls `listener` with the text of each further message, until the returned function is called. */
  watch(listener: (text: string) => void): () => void {
    this.watchers.add(listener);
    return () => this.watchers.delete(listener);
  }

  private tick(): void {
    this.second = this.nextSecond();
    this.snapshot = null;
    this.openingText = null;
    this.history.add(this.second.point);
    if (this.watchers.size === 0) return;
    const text = eventOf(this.currentSnapshot());
    for (const listener of this.watchers) listener(text);
  }

  private currentSnapshot(): Snapshot {
    const { readings } = this;
    const { disk } = readings;
    this.snapshot ??= {
      ...this.second,
      queue: {
        depth: readings.workers('queue_tasks_now'),
        bytes: readings.workers('queue_bytes_now'),
        headAgeMs: Math.round(readings.highest('queue_head_age_ms_now')),
      },
      admission: {
        delayMs: brief(readings.highest('admission_delay_us_now') / US_PER_MS),
        targetDelayMs: brief(readings.highest('admission_target_us_now') / US_PER_MS),
        limitBytes: readings.workers('admission_limit_bytes_now'),
      },
      disk: {
        freeBytes: disk.freeBytes,
        reserveBytes: disk.reserveBytes,
        fullSeconds: Number.isFinite(disk.fullSeconds) ? Math.round(disk.fullSeconds) : null,
      },
      limitedClients: this.clients.read(this.readAtMs),
      sinks: sinkStates(readings.sinks, Date.now()),
      uptimeSeconds: Math.floor(process.uptime()),
    };
    return this.snapshot;
  }

  private readTotals(): Totals {
    const { readings } = this;
    const rejected = (['malformed', 'invalid_item', 'strict', 'too_large'] as const).reduce(
      (sum, reason) => sum + readings.workers(`rejected_${reason}`),
      0,
    );
    return {
      answered: answeredRequests(readings),
      accepted: readings.workers('metrics_accepted'),
      rejected,
      limited: readings.workers('requests_429'),
      unavailable: readings.workers('requests_503'),
      storedBytes: readings.writer('bytes_written'),
    };
  }

  private readReasons(): number[] {
    return COUNTED_REASONS.map((reason) => this.readings.workers(`unavailable_${reason}`));
  }

  private nextSecond(): Second {
    const before = { totals: this.totals, reasons: this.reasons, atMs: this.readAtMs };
    this.readAtMs = monotonicMs();
    this.totals = this.readTotals();
    this.reasons = this.readReasons();
    const { totals } = this;
    const seconds = Math.max((this.readAtMs - before.atMs) / MS_PER_SECOND, SECONDS_MIN);
    const rate = (name: keyof Totals): number => brief((totals[name] - before.totals[name]) / seconds);
    const reasons = COUNTED_REASONS.map(
      (reason, index) => [reason, brief((this.reasons[index]! - before.reasons[index]!) / seconds)] as const,
    ).filter(([, perSecond]) => perSecond > 0);
    const request = this.request.advance();
    const stages = this.stages.map(([stage, window]) => [stage, window.advance()] as const);
    const point = {
      time: Math.round(Date.now() / 100) / 10,
      answered: rate('answered'),
      accepted: rate('accepted'),
      rejected: rate('rejected'),
      limited: rate('limited'),
      unavailable: rate('unavailable'),
      storedBytes: Math.round(rate('storedBytes')),
      depth: this.readings.workers('queue_tasks_now'),
      breaker: readBreaker(this.breaker).state,
      requestP50: request.p50,
      requestP90: request.p90,
      requestP99: request.p99,
      ...Object.fromEntries(stages.map(([stage, { p99 }]) => [`${stage}P99`, p99])),
    } as Point;
    return {
      point,
      totals,
      reasons: Object.fromEntries(reasons),
      request,
      stages: Object.fromEntries(stages) as Record<Stage, Latency>,
    };
  }
}
