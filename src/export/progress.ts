/**
 * How far the sink is behind the log: for metrics, the cursor file, and the progress line.
 *
 * Once a second the end of the log is sampled with its time. When the sink holds everything up to a sample, the time
 * since is the queue latency of the bytes written then. Nothing in the sink is polled for it.
 */
import { MS_PER_SECOND } from '../base/units.ts';
import type { LogPlace } from '../storage/commit-reader.ts';
import { type CursorFile, readCursorFile, writeCursorFile } from '../storage/cursor-file.ts';
import { bytesBehind, logEnd } from '../storage/log-end.ts';
import type { ExportMetrics } from './metrics.ts';
import { type CommitRange, SinkError } from './sink.ts';

/** A running exporter writes its file once a second, but a disk may stand still for several. */
const LIVE_MS = 30 * MS_PER_SECOND;
const ENDED: readonly string[] = ['stopped', 'failed'];
/** An hour of samples; the oldest one stays, because its age is the lag. */
const SAMPLES_MAX = 3_600;

interface Sample extends LogPlace {
  /** Unix ms. */
  readonly atMs: number;
}

export interface ProgressParts {
  readonly dataDir: string;
  readonly sink: string;
  readonly log: string;
  /** Names this exporter, as in `SinkContext`. */
  readonly writer: string;
  readonly metrics: ExportMetrics;
}

const isBehind = (place: LogPlace, sample: LogPlace): boolean =>
  place.segment < sample.segment || (place.segment === sample.segment && place.offset < sample.offset);

export class Progress {
  /** `shipping`, `waiting`, `retrying`, `stopped` or `failed`. */
  state = 'shipping';
  error = '';
  place = '';
  private readonly parts: ProgressParts;
  private readonly samples: Sample[] = [];
  /** The cursor of the sink and where the log continues behind it. */
  private commit = 0;
  private end: LogPlace = { segment: 0, offset: 0 };
  private metricsTotal = 0;
  private quarantined = 0;
  private lagCommits = 0;
  private lagBytes = 0;
  private writtenMs = 0;
  /** Who had moved the cursor of the sink before; null until it was read. */
  private writerBefore: string | null = null;

  constructor(parts: ProgressParts) {
    this.parts = parts;
  }

  /** The sink holds the log up to a commit. */
  connected(commit: number, end: LogPlace): void {
    this.commit = commit;
    this.end = end;
    this.parts.metrics.set('up', 1);
    this.parts.metrics.set('cursor_commit', commit);
  }

  /** @param writer whoever moved the cursor of the sink last, or '' */
  cursorRead(writer: string): void {
    this.writerBefore = writer;
  }

  /** The sink holds one more range. */
  shipped(range: CommitRange, quarantined: number, tookMs: number): void {
    const { metrics } = this.parts;
    this.connected(range.last, range.end);
    this.metricsTotal += range.lineCount;
    metrics.add('ranges', 1);
    metrics.add('commits', range.commits.length);
    metrics.add('metrics', range.lineCount - quarantined);
    metrics.add('bytes', range.bytes);
    metrics.add('quarantined_metrics', quarantined);
    const damaged = range.damaged.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    metrics.add('damaged_commits', damaged);
    this.quarantined += quarantined + damaged;
    metrics.observe('ship_seconds', tookMs / MS_PER_SECOND);
    this.settleSamples();
  }

  /** Nothing is left to ship before this place. */
  reached(end: LogPlace): void {
    this.end = end;
    this.settleSamples();
  }

  private settleSamples(): void {
    const { samples, parts, end } = this;
    while (samples.length > 0 && !isBehind(end, samples[0]!)) {
      const { atMs } = samples.shift()!;
      parts.metrics.observe('queue_latency_seconds', Math.max(0, Date.now() - atMs) / MS_PER_SECOND);
    }
  }

  /** Samples the end of the log. */
  sample(): void {
    const { dataDir, metrics } = this.parts;
    const end = logEnd(dataDir);
    const place: LogPlace = { segment: end.segment, offset: end.bytes };
    this.lagBytes = bytesBehind(dataDir, this.end.segment, this.end.offset);
    this.lagCommits = this.lagBytes === 0 ? 0 : Math.max(0, end.commit - this.commit);
    if (isBehind(this.end, place) && isBehind(this.samples.at(-1) ?? this.end, place)) {
      // Bytes that were there before the first sample are as old as the last write.
      const atMs = this.samples.length === 0 ? Math.min(Date.now(), end.writtenMs) : Date.now();
      if (this.samples.length === SAMPLES_MAX) this.samples.splice(1, 1);
      this.samples.push({ ...place, atMs });
    }
    metrics.set('lag_commits', this.lagCommits);
    metrics.set('lag_bytes', this.lagBytes);
    metrics.set('lag_seconds', this.lagSeconds);
  }

  get lagSeconds(): number {
    const oldest = this.samples[0];
    return oldest === undefined ? 0 : Math.max(0, Date.now() - oldest.atMs) / MS_PER_SECOND;
  }

  /**
   * Retention would believe the cursor of whoever wrote last. One sink may have several addresses, and there the cursor
   * decides who ends: so this ends nobody who cannot reach the sink, or who took it over from the other one.
   * @throws SinkError if another exporter uses the file for another sink
   */
  checkFile(): void {
    const { dataDir, sink } = this.parts;
    if (this.writerBefore === null || this.state === 'retrying') return;
    const found = readCursorFile(dataDir, sink);
    if (found?.exporter === this.writerBefore) return;
    if (found === null || found.place === this.place || ENDED.includes(found.state)) return;
    if (found.updatedMs <= Math.max(this.writtenMs, Date.now() - LIVE_MS)) return;
    throw new SinkError(
      'fatal',
      `another exporter with the name ${sink} ships ${dataDir} to ${found.place}: give one of the two another --name`,
    );
  }

  /** @throws system errors */
  writeFile(durableCommit: number): void {
    const { dataDir, sink, log, writer: exporter, metrics } = this.parts;
    this.writtenMs = Date.now();
    metrics.set('durable_commit', durableCommit);
    writeCursorFile(dataDir, { sink, log, exporter, commit: durableCommit, ...this.fileFields() });
  }

  private fileFields(): Omit<CursorFile, 'sink' | 'log' | 'commit'> {
    const { place, state, error, lagCommits, lagBytes, lagSeconds, metricsTotal, quarantined } = this;
    const { segment } = this.end;
    return {
      place,
      segment,
      updatedMs: Date.now(),
      state,
      error,
      lagCommits,
      lagBytes,
      lagSeconds,
      metricsTotal,
      quarantined,
    };
  }

  get text(): string {
    const { commit, metricsTotal, lagBytes, lagCommits } = this;
    return `commit ${commit}, ${metricsTotal} metrics shipped, ${lagCommits} commits and ${lagBytes} bytes behind`;
  }
}
