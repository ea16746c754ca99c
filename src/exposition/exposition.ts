/**
 * The self-metrics as main answers them: Prometheus text, OpenMetrics or a JSON summary.
 *
 * Lives on main, away from the threads that own sockets; workers ask for it by message. Between scrapes a timer
 * takes the samples, so that what holds them fills with those of no more than DRAIN_INTERVAL_MS.
 */

import { statfs } from 'node:fs/promises';
import { setImmediate as turnEnd } from 'node:timers/promises';
import type { OpenMetricsContentType, Registry } from 'prom-client';
import { monotonicMs } from '../base/clock.ts';
import { createThreadStats, startThreadStats } from '../telemetry/thread-stats.ts';
import { describeMetrics } from './metric-table.ts';
import { type MetricsForm, negotiate } from './negotiate.ts';
import { RATE_INTERVAL_MS, RecentRates } from './rates.ts';
import { Readings, type TelemetrySources } from './readings.ts';
import { createRegistry, type OwnRegistry, openMetricsRegistry } from './registry.ts';
import { summarize } from './summary.ts';

const DRAIN_INTERVAL_MS = 50;

export interface Rendered {
  readonly contentType: string;
  readonly body: string;
}

export class Exposition {
  readonly readings: Readings;
  private readonly mainStats = createThreadStats();
  private readonly registry: OwnRegistry;
  private readonly openRegistry: Registry<OpenMetricsContentType>;
  private readonly rates: RecentRates;
  private readonly waiting = new Map<MetricsForm, Promise<Rendered>>();
  private diskIsAsked = false;
  private stopTimers: (() => void) | null = null;

  constructor(sources: TelemetrySources) {
    this.readings = new Readings(sources, this.mainStats);
    this.registry = createRegistry(describeMetrics(this.readings));
    this.openRegistry = openMetricsRegistry(this.registry);
    this.rates = new RecentRates(this.readings);
  }

  start(): void {
    const stopStats = startThreadStats(this.mainStats);
    const drain = setInterval(() => this.readings.samples.drain(), DRAIN_INTERVAL_MS).unref();
    void this.noteDisk();
    const note = setInterval(() => {
      this.rates.note();
      this.registry.collectDefaults();
      void this.noteDisk();
    }, RATE_INTERVAL_MS).unref();
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

  /**
   * Scrapes that come in one turn of the event loop share one rendering of its end: however many there are, they cost
   * main no more than one a turn.
   * @param accept the request's Accept header
   */
  render(accept: string | undefined): Promise<Rendered> {
    const form = negotiate(accept);
    const shared = this.waiting.get(form);
    if (shared !== undefined) return shared;
    const rendered = turnEnd().then(() => {
      this.waiting.delete(form);
      return this.renderNow(form);
    });
    this.waiting.set(form, rendered);
    return rendered;
  }

  private async renderNow(form: MetricsForm): Promise<Rendered> {
    this.readings.refresh();
    switch (form) {
      case 'json':
        return {
          contentType: 'application/json',
          body: `${JSON.stringify(summarize(this.readings, this.rates.read()), null, 2)}\n`,
        };
      case 'openmetrics':
        return { contentType: this.openRegistry.contentType, body: await this.openRegistry.metrics() };
      default:
        return { contentType: this.registry.contentType, body: await this.registry.metrics() };
    }
  }

  /** On the thread pool, so that a file system that hangs holds no scrape up. */
  private async noteDisk(): Promise<void> {
    if (this.diskIsAsked) return;
    this.diskIsAsked = true;
    try {
      const { bavail, bsize } = await statfs(this.readings.sources.disk.dataDir);
      this.readings.disk.note(bavail * bsize, monotonicMs());
    } catch {
      // What is not known now is asked again.
    } finally {
      this.diskIsAsked = false;
    }
  }
}
