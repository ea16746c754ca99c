/**
 * The server's own metrics as `GET /metrics` returns them: Prometheus text, OpenMetrics or a JSON summary.
 *
 * Main renders them, not the threads that own sockets; workers request them by message. Our metrics write their text
 * themselves (see text-format.ts): a scrape then costs main a fraction of a millisecond while other threads need the
 * CPU. A timer drains the samples between scrapes, so their buffers never hold more than DRAIN_INTERVAL_MS of them.
 */
import { statfs } from 'node:fs/promises';
import { setImmediate as turnEnd } from 'node:timers/promises';
import { monotonicMs } from '../base/clock.ts';
import { readCursorFiles } from '../storage/cursor-file.ts';
import { createThreadStats, startThreadStats } from '../telemetry/thread-stats.ts';
import { describeMetrics } from './metrics.ts';
import type { MetricsForm } from './negotiate.ts';
import { FAMILY_SEPARATOR, NodeMetrics } from './node-metrics.ts';
import { RATE_INTERVAL_MS, RecentRates } from './rates.ts';
import { Readings, type TelemetrySources } from './readings.ts';
import { summarize } from './summary.ts';
import { type FamilyText, familyText, type TextForm } from './text-format.ts';

const DRAIN_INTERVAL_MS = 50;

export interface Rendered {
  readonly contentType: string;
  readonly body: string;
}

export class Exposition {
  readonly readings: Readings;
  private readonly mainStats = createThreadStats();
  private readonly nodeMetrics = new NodeMetrics();
  private readonly families: readonly FamilyText[];
  private readonly rates: RecentRates;
  private readonly waiting = new Map<MetricsForm, Promise<Rendered>>();
  private isMeasuring = false;
  private stopTimers: (() => void) | null = null;

  constructor(sources: TelemetrySources) {
    this.readings = new Readings(sources, this.mainStats);
    this.families = describeMetrics(this.readings).map(familyText);
    this.rates = new RecentRates(this.readings);
  }

  start(): void {
    const stopStats = startThreadStats(this.mainStats);
    const drain = setInterval(() => this.readings.samples.drain(), DRAIN_INTERVAL_MS).unref();
    void this.measureDataDir();
    const measure = setInterval(() => {
      this.rates.record();
      this.nodeMetrics.collect();
      void this.measureDataDir();
    }, RATE_INTERVAL_MS).unref();
    this.stopTimers = () => {
      stopStats();
      clearInterval(drain);
      clearInterval(measure);
    };
  }

  stop(): void {
    this.stopTimers?.();
    this.stopTimers = null;
  }

  /**
   * Scrapes that arrive in one turn of the event loop share one rendering at its end, so any number of scrapes costs
   * main at most one rendering of each form per turn.
   */
  render(form: MetricsForm): Promise<Rendered> {
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
    if (form !== 'json')
      return { contentType: this.nodeMetrics.contentType(form), body: await this.text(form) };
    this.readings.refresh();
    return {
      contentType: 'application/json',
      body: `${JSON.stringify(summarize(this.readings, this.rates.read()), null, 2)}\n`,
    };
  }

  private async text(form: TextForm): Promise<string> {
    // Awaited first, so that our values are all of one moment, the last one before the response.
    const nodeText = await this.nodeMetrics.text(form);
    this.readings.refresh();
    let text = '';
    for (const family of this.families) text += family(form) + FAMILY_SEPARATOR[form];
    return `${text}${nodeText}\n${form === 'openmetrics' ? '# EOF\n' : ''}`;
  }

  /** Disk and cursor files, on the thread pool, so that a hanging file system delays no scrape. */
  private async measureDataDir(): Promise<void> {
    if (this.isMeasuring) return;
    this.isMeasuring = true;
    try {
      const { dataDir } = this.readings.sources.disk;
      this.readings.sinks = await readCursorFiles(dataDir);
      const { bavail, bsize } = await statfs(dataDir);
      this.readings.disk.record(bavail * bsize, monotonicMs());
    } catch {
      // Keep the last measurement; the next interval tries again.
    } finally {
      this.isMeasuring = false;
    }
  }
}
