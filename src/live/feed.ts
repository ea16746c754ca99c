/**
 * What the live page is fed: main reads the counters once a second, keeps the last minutes as points, and tells
 * whoever watches.
 *
 * The points are taken whether or not anyone watches, so that a page opened now shows what was; everything else, the
 * texts included, is made only while someone does, and at most once a second however many they are.
 */
import { monotonicMs } from '../base/clock.ts';
import { readBreaker } from '../breaker/breaker.ts';
import { answeredRequests } from '../exposition/rates.ts';
import { type Readings, STAGES, type Stage } from '../exposition/readings.ts';
import { UNAVAILABLE_REASONS } from '../telemetry/counters.ts';
import { type Columns, History, type Point, stageColumn } from './history.ts';
import { type Latency, LatencyWindow } from './latency-window.ts';
import { type LimitedClient, LimitedClients } from './limited-clients.ts';

const TICK_MS = 1000;
/** How long after a broken connection the browser asks again. */
const RETRY_MS = 1000;

/** What does not change while the server runs. */
export interface ServerFacts {
  readonly version: string;
  readonly phase: number;
  readonly phaseName: string;
  readonly workers: number;
  readonly ack: string;
  readonly queueCapacity: number;
}

/** Since the start: answers, metrics, 429 and 503 answers, bytes. */
interface Totals {
  readonly answered: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly limited: number;
  readonly unavailable: number;
  readonly storedBytes: number;
}

/** What is read every second. */
interface Second {
  readonly point: Point;
  readonly totals: Totals;
  /** 503 answers a second, by the reasons that occurred. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Of requests answered with 2xx, and of each stage. */
  readonly request: Latency;
  readonly stages: Readonly<Record<Stage, Latency>>;
}

/** A message of the stream. */
export interface Snapshot extends Second {
  readonly queue: { readonly depth: number; readonly bytes: number; readonly headAgeMs: number };
  /** Delay from handing over to stored that admission sees, aims at, and the bytes in flight that it allows; 0: off. */
  readonly admission: {
    readonly delayMs: number;
    readonly targetDelayMs: number;
    readonly limitBytes: number;
  };
  /** Free on the disk, below which requests are refused, and seconds until then at the rate of the last minutes. */
  readonly disk: {
    readonly freeBytes: number;
    readonly reserveBytes: number;
    readonly fullSeconds: number | null;
  };
  readonly limitedClients: readonly LimitedClient[];
  readonly uptimeSeconds: number;
}

/** The first message of a stream. */
interface Opening extends Snapshot {
  readonly server: ServerFacts;
  readonly columns: Columns;
}

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
  /** Made of `second` when first asked for. */
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
    this.clients = new LimitedClients(readings.sources.limiter.memory);
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

  /** The text that opens a stream: how soon to come back when it breaks, what the server is, and the last minutes. */
  opening(): string {
    this.openingText ??= `retry: ${RETRY_MS}\n${eventOf({
      ...this.present(),
      server: this.facts,
      columns: this.history.columns(),
    })}`;
    return this.openingText;
  }

  /** Calls `listener` with the text of each message to come; what is returned ends that. */
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
    const text = eventOf(this.present());
    for (const listener of this.watchers) listener(text);
  }

  private present(): Snapshot {
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
        delayMs: brief(readings.highest('admission_delay_us_now') / 1e3),
        targetDelayMs: brief(readings.highest('admission_target_us_now') / 1e3),
        limitBytes: readings.workers('admission_limit_bytes_now'),
      },
      disk: {
        freeBytes: disk.freeBytes,
        reserveBytes: disk.reserveBytes,
        fullSeconds: Number.isFinite(disk.fullSeconds) ? Math.round(disk.fullSeconds) : null,
      },
      limitedClients: this.clients.look(this.readAtMs),
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
    return UNAVAILABLE_REASONS.map((reason) => this.readings.workers(`unavailable_${reason}`));
  }

  private nextSecond(): Second {
    const before = { totals: this.totals, reasons: this.reasons, atMs: this.readAtMs };
    this.readAtMs = monotonicMs();
    this.totals = this.readTotals();
    this.reasons = this.readReasons();
    const { totals } = this;
    const seconds = Math.max((this.readAtMs - before.atMs) / 1e3, 1e-3);
    const rate = (name: keyof Totals): number => brief((totals[name] - before.totals[name]) / seconds);
    const reasons = UNAVAILABLE_REASONS.map(
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
      ...Object.fromEntries(stages.map(([stage, { p99 }]) => [stageColumn(stage), p99])),
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
