/**
 * The self-metrics as main answers them: Prometheus text, OpenMetrics or a JSON summary.
 *
 * Lives on main, away from the threads that own sockets; workers ask for it by message. Between scrapes a timer
 * takes the samples, so that what holds them fills with those of no more than DRAIN_INTERVAL_MS.
 */
import type { OpenMetricsContentType, Registry } from 'prom-client';
import { monotonicMs } from '../base/clock.ts';
import { describeMetrics } from './metric-table.ts';
import { negotiate } from './negotiate.ts';
import { Readings, type TelemetrySources } from './readings.ts';
import { createRegistry, openMetricsRegistry } from './registry.ts';
import { answeredRequests, type Rates, summarize } from './summary.ts';
import { createThreadStats, startThreadStats } from './thread-stats.ts';

const DRAIN_INTERVAL_MS = 50;
const RATE_INTERVAL_MS = 1000;
/** Rates are those of this many intervals. */
const RATE_WINDOW = 10;

export interface Rendered {
  readonly contentType: string;
  readonly body: string;
}

interface Totals {
  readonly atMs: number;
  readonly requests: number;
  readonly accepted: number;
}

export class Exposition {
  private readonly readings: Readings;
  private readonly mainStats = createThreadStats();
  private readonly registry: Registry;
  private readonly openRegistry: Registry<OpenMetricsContentType>;
  /** Totals at the end of each of the last intervals, oldest first. */
  private readonly history: Totals[] = [];
  private stopTimers: (() => void) | null = null;

  constructor(sources: TelemetrySources) {
    this.readings = new Readings(sources, this.mainStats);
    this.registry = createRegistry(describeMetrics(this.readings));
    this.openRegistry = openMetricsRegistry(this.registry);
    this.history.push(this.totals());
  }

  start(): void {
    const stopStats = startThreadStats(this.mainStats);
    const drain = setInterval(() => this.readings.samples.drain(), DRAIN_INTERVAL_MS).unref();
    const note = setInterval(() => this.noteTotals(), RATE_INTERVAL_MS).unref();
    this.stopTimers = () => {
      stopStats();
      clearInterval(drain);
      clearInterval(note);
    };
  }

  stop(): void {
    this.stopTimers?.();
    this.stopTimers = null;
  }

  /** @param accept the request's Accept header */
  async render(accept: string | undefined): Promise<Rendered> {
    this.readings.refresh();
    switch (negotiate(accept)) {
      case 'json':
        return {
          contentType: 'application/json',
          body: `${JSON.stringify(summarize(this.readings, this.rates()), null, 2)}\n`,
        };
      case 'openmetrics':
        return { contentType: this.openRegistry.contentType, body: await this.openRegistry.metrics() };
      default:
        return { contentType: this.registry.contentType, body: await this.registry.metrics() };
    }
  }

  private totals(): Totals {
    return {
      atMs: monotonicMs(),
      requests: answeredRequests(this.readings),
      accepted: this.readings.workers('metrics_accepted'),
    };
  }

  private noteTotals(): void {
    this.history.push(this.totals());
    if (this.history.length > RATE_WINDOW) this.history.shift();
  }

  private rates(): Rates {
    const from = this.history[0]!;
    const to = this.totals();
    const seconds = Math.max((to.atMs - from.atMs) / 1e3, Number.EPSILON);
    return {
      requestsPerSecond: (to.requests - from.requests) / seconds,
      acceptedPerSecond: (to.accepted - from.accepted) / seconds,
    };
  }
}
