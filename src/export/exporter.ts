/**
 * Ships the log to a sink: reads ranges, prepares one while the one before is on its way, and after any failure asks
 * the sink for its cursor and continues behind it.
 */
import { MetricsStreamError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { MS_PER_SECOND } from '../base/units.ts';
import { type LogPlace, placeAfter } from '../storage/commit-reader.ts';
import { nodeFileOps } from '../storage/file-ops.ts';
import { readLogRecord } from '../storage/log-record.ts';
import { gapText } from '../storage/segment-reader.ts';
import { Backoff } from './backoff.ts';
import { logIdOf } from './log-id.ts';
import type { ExportMetrics } from './metrics.ts';
import { findCursor, type HeldCommit, heldBy, isInPlace, LogEndsEarly } from './older-log.ts';
import { Progress } from './progress.ts';
import { type RangeOptions, RangeSource } from './range-source.ts';
import { SentRanges } from './sent-ranges.ts';
import {
  type CommitRange,
  type Cursor,
  lastCommit,
  type Maintenance,
  type PreparedRange,
  type Sink,
  SinkError,
  type SinkFactory,
} from './sink.ts';

const TICK_MS = MS_PER_SECOND;
const PROGRESS_MS = 10 * MS_PER_SECOND;
const WATCH_MS = 10 * MS_PER_SECOND;
/** A server follows a data directory that was replaced in half of this time. */
const SECOND_LOOK_MS = 3 * MS_PER_SECOND;
/** With `once`, a person or a script waits for the end: give up on a sink that stays away. */
const ONCE_RETRIES = 8;

export interface ExporterOptions extends RangeOptions {
  /** The name of the sink. */
  readonly name: string;
  /** Identifies this process to the sink. */
  readonly writer: string;
  /** Begin behind this commit; null: behind the last one that the sink holds. */
  readonly start: number | null;
  /** How often the cursor is read while nothing is shipped, second looks included; another time for tests. */
  readonly watchMs?: number;
}

export class Exporter {
  private readonly options: ExporterOptions;
  private readonly sink: Sink;
  private readonly logger: Logger;
  private readonly metrics: ExportMetrics;
  private readonly log: string;
  private readonly progress: Progress;
  private readonly sent = new SentRanges();
  /** The last cursor that the sink was known to have; null before the first connection. */
  private known: number | null = null;
  /** The commit `known` in the log; null if the log does not hold it. */
  private held: HeldCommit | null = null;
  /** False while the sink's last commit may be another log's: retention must keep what the sink seems to hold. */
  private isLogOfSink = true;
  /** The writer of the first cursor found, or '': a range of it may be on its way. Null once that came, or one shipped. */
  private predecessor: string | null = null;
  private isFileWritable = true;
  private nextProgressMs = performance.now() + PROGRESS_MS;
  private isMaintaining = false;
  private maintenance: Promise<void> = Promise.resolve();
  /** Why retention or partitions ahead fail, or ''. */
  private maintenanceError = '';
  private nextWatchMs = 0;
  private isEnding = false;
  /** Ends what `stream` waits for, and makes it fail. */
  private interrupt: (error: unknown) => void = () => {};
  /** Aborts when the data directory is gone, or holds another log, whose commit numbers mean other commits. */
  private readonly broken = new AbortController();

  constructor(options: ExporterOptions, factory: SinkFactory, logger: Logger, metrics: ExportMetrics) {
    const { dataDir, name, writer } = options;
    this.options = options;
    this.logger = logger;
    this.metrics = metrics;
    this.log = logIdOf(dataDir);
    this.sink = factory({ log: this.log, writer, logger, registry: metrics.registry });
    this.progress = new Progress({ dataDir, sink: name, log: this.log, writer, metrics });
    this.progress.place = this.sink.place;
  }

  /** Why nothing reaches the sink now, or null. */
  get problem(): string | null {
    return this.progress.error === '' ? null : this.progress.error;
  }

  /**
   * Ships until `signal` aborts, or to the end of the log with `once`.
   * @throws SinkError or MetricsStreamError when a person must act
   */
  async run(signal: AbortSignal): Promise<void> {
    const timer = setInterval(() => this.tickOrEnd(), TICK_MS);
    try {
      await this.shipAll(AbortSignal.any([signal, this.broken.signal]));
      this.broken.signal.throwIfAborted();
      this.progress.state = 'stopped';
      if (this.options.once && !signal.aborted) {
        await this.maintenance;
        await this.maintain('last');
      }
    } catch (error) {
      this.progress.state = 'failed';
      this.progress.error = (error as Error).message;
      throw error;
    } finally {
      clearInterval(timer);
      this.isEnding = true;
      this.tickOrEnd();
      await this.sink.close();
    }
  }

  private async shipAll(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    const recorded = readLogRecord(nodeFileOps, this.options.dataDir).record?.commit ?? 0;
    while (!signal.aborted) {
      try {
        const after = await this.connect();
        await this.stream(after, backoff, signal);
        if (this.options.once && !signal.aborted) this.requireUpTo(recorded);
        return;
      } catch (error) {
        if (!(error instanceof SinkError) || error.verdict !== 'retry') throw error;
        // A sink that was never reached may have a wrong address, which a person should learn at once.
        const isWorthIt = backoff.failures < ONCE_RETRIES && (this.known !== null || error.isUnanswered);
        if (this.options.once && !isWorthIt) throw error;
        await this.pause(error, backoff, signal);
      }
    }
  }

  /** No segment behind tells that the last ones are missing; `log.json` does. */
  private requireUpTo(commit: number): void {
    const { known, options } = this;
    const deleted = readLogRecord(nodeFileOps, options.dataDir).record?.deletedCommit ?? 0;
    const shipped = Math.max(known ?? 0, deleted);
    if (shipped >= commit || options.acceptMissing) return;
    throw new MetricsStreamError(
      'LOG_INCOMPLETE',
      `log.json: ${gapText(shipped + 1, commit)} at the end of the log, or damaged. Put their segments back, or give ` +
        '--accept-missing to go on without them.',
    );
  }

  private async pause(error: SinkError, backoff: Backoff, signal: AbortSignal): Promise<void> {
    const { progress, metrics, logger } = this;
    const delayMs = backoff.next();
    metrics.add('retries', 1);
    metrics.set('up', 0);
    if (progress.error !== error.message)
      logger.warn({ sink: this.sink.place }, `${error.message}; trying again`);
    progress.error = error.message;
    progress.state = 'retrying';
    await backoff.wait(delayMs, signal);
  }

  /** A connection alone proves nothing: a full disk or a missing permission refuses only what is shipped. */
  private recovered(): void {
    const { progress, logger } = this;
    if (progress.error !== '') logger.info({ sink: this.sink.place }, 'ships again');
    progress.error = '';
  }

  /** Connects and returns the commit that the sink holds. */
  private async connect(): Promise<number> {
    const { sink, known, options } = this;
    const cursor = await sink.connect();
    let held = cursor === null ? null : await this.checkCursor(cursor);
    this.progress.cursorRead(cursor?.writer ?? '');
    let commit = cursor?.commit ?? options.start ?? 0;
    if (known === null) {
      this.predecessor = cursor?.writer ?? '';
      this.logger.info(
        { sink: sink.place, log: this.log, commit },
        'connected; the sink holds the log up to this commit',
      );
      if (cursor !== null && options.start !== null) {
        commit = await this.rewind(commit, options.start);
        held = null;
      }
    } else if (commit < known) {
      this.metrics.add('resent_commits', known - commit);
      this.logger.warn({ had: known, has: commit }, 'the sink has lost commits: sending them again');
    }
    this.known = commit;
    this.held = held;
    this.nextWatchMs = performance.now() + (this.options.watchMs ?? WATCH_MS);
    this.progress.state = 'waiting';
    this.progress.connected(commit, held ?? placeAfter(options.dataDir, commit));
    return commit;
  }

  /** Makes the sink forget the commits behind `start`; returns the last one that it still holds. */
  private async rewind(held: number, start: number): Promise<number> {
    if (!this.options.once || start > held)
      throw new MetricsStreamError(
        'CONFIG_INVALID',
        `--from: the sink holds the log up to commit ${held}. ` +
          (start > held
            ? 'A later start would leave a gap.'
            : 'Give --once to ship again what it holds from there on.'),
      );
    const commit = await this.sink.rewind(start);
    this.logger.warn(
      { from: commit + 1, to: held },
      'the sink has forgotten these commits: sending them again',
    );
    return commit;
  }

  /** The cursor's commit in the log; null if the log does not hold it. */
  private async checkCursor(cursor: Cursor): Promise<HeldCommit | null> {
    const { known, options, log, sink } = this;
    const { commit, writer } = cursor;
    this.isLogOfSink = false;
    const held = await findCursor(options.dataDir, cursor, sink.place);
    this.isLogOfSink = true;
    if (known === null || commit <= known || writer === options.writer) return held;
    // A range that was on its way when this exporter started.
    const isLate = this.predecessor === '' || this.predecessor === writer;
    this.predecessor = null;
    if (isLate) return held;
    throw new SinkError(
      'fenced',
      `fenced: exporter ${writer} has moved the cursor of log ${log} from commit ${known} to ${commit}. ` +
        'One exporter ships a log to a sink: stop the other one, or leave this one stopped.',
    );
  }

  /** Ships ranges one after the other; prepares the next one meanwhile. */
  private async stream(after: number, backoff: Backoff, signal: AbortSignal): Promise<void> {
    const failure = new AbortController();
    // Once for all ranges: in Node 20 a signal keeps an entry for each signal that was derived from it.
    const ended = AbortSignal.any([signal, failure.signal]);
    this.interrupt = (error) => failure.abort(error);
    const source = new RangeSource(this.options, after, this.held, this.sent);
    let shipping: Promise<void> = Promise.resolve();
    // Skipped commits and damage lie between the cursor and the end of the log.
    const atEnd = (place: LogPlace): void => {
      if (this.progress.state === 'shipping') return;
      this.recovered();
      this.progress.reached(place);
    };
    try {
      for (;;) {
        const range = await source.next(ended, atEnd);
        if (range === null) break;
        const prepared = await this.sink.prepare(range);
        await shipping;
        shipping = this.ship(range, prepared, backoff);
        // Also wakes a source that waits for more of the log.
        shipping.catch(this.interrupt);
      }
      await shipping;
      failure.signal.throwIfAborted();
    } finally {
      this.interrupt = () => {};
      // A range on its way ends before the next connection reads the cursor.
      await shipping.catch(() => {});
      await source.close();
    }
  }

  private async ship(range: CommitRange, prepared: PreparedRange, backoff: Backoff): Promise<void> {
    const startMs = performance.now();
    this.progress.state = 'shipping';
    this.sent.add(range.last);
    await prepared.ship();
    this.known = range.last;
    this.predecessor = null;
    this.isLogOfSink = true;
    const last = lastCommit(range);
    this.held = last === null ? null : heldBy(last);
    this.recovered();
    backoff.reset();
    this.progress.state = 'waiting';
    this.progress.shipped(range, prepared.quarantinedCount, performance.now() - startMs);
    for (const { first, last, reason } of range.damaged)
      this.logger.error(
        { first, last, reason },
        'commits of the log are damaged or missing: recorded in the quarantine',
      );
  }

  /** A data directory that went away ends the exporter, as does another one with its name. */
  private tickOrEnd(): void {
    try {
      this.tick();
    } catch (error) {
      this.broken.abort(error);
    }
  }

  private tick(): void {
    const { progress, logger, sink } = this;
    this.sent.settle(sink.durableCommit);
    progress.sample();
    progress.checkFile();
    this.writeFile();
    if (performance.now() > this.nextProgressMs && progress.state !== 'waiting') {
      this.nextProgressMs = performance.now() + PROGRESS_MS;
      logger.info({ sink: sink.place }, progress.text);
    }
    this.checkLog();
    if (!this.isMaintaining) this.maintenance = this.maintain('beside');
  }

  private writeFile(): void {
    // The first connection has one try. A disk that stands still in this thread would make it late.
    if (this.options.once && this.known === null && !this.isEnding) return;
    const { progress, logger, sink } = this;
    try {
      progress.writeFile(this.isLogOfSink ? sink.durableCommit : 0);
      this.isFileWritable = true;
    } catch (error) {
      if (this.isFileWritable)
        logger.warn(
          { error: (error as Error).message },
          'cannot write the cursor file: retention keeps what is shipped from now on, and --status shows an old state',
        );
      this.isFileWritable = false;
    }
  }

  private checkLog(): void {
    const { dataDir } = this.options;
    const id = readLogRecord(nodeFileOps, dataDir).record?.id ?? this.log;
    if (id === this.log) return;
    this.broken.abort(
      new MetricsStreamError(
        'LOG_INCOMPLETE',
        `${dataDir} now holds the log ${id} in place of ${this.log}: start export again to ship it.`,
      ),
    );
  }

  private maintenanceFailed(text: string): void {
    this.metrics.set('maintenance_failing', 1);
    // A sink that is away has its own line.
    if (text !== this.maintenanceError && text !== this.progress.error)
      this.logger.warn(`maintenance of the sink fails, so retention and partitions ahead wait: ${text}`);
    this.maintenanceError = text;
  }

  private async maintain(when: Maintenance): Promise<void> {
    if (this.isEnding || this.known === null) return;
    this.isMaintaining = true;
    await this.watchCursor();
    try {
      await this.sink.maintain(when);
      this.metrics.set('maintenance_failing', 0);
      this.maintenanceError = '';
    } catch (error) {
      // Shipping goes on: retention and partitions ahead do not decide about it. The end closes the sink under it.
      if (!this.isEnding) this.maintenanceFailed((error as Error).message);
    }
    this.isMaintaining = false;
  }

  /**
   * While nothing is shipped, only this notices that the sink has lost commits: a standby without the last ones took over, or
   * somebody restored a backup. Or they restored the log: the reader does not return to segments that it has read.
   * A log that ends early must do so at a second look.
   */
  private async watchCursor(): Promise<void> {
    const { known, sink, options, progress } = this;
    if (options.once || progress.state !== 'waiting' || performance.now() < this.nextWatchMs) return;
    this.nextWatchMs = performance.now() + (options.watchMs ?? WATCH_MS);
    const isSecondLook = !this.isLogOfSink;
    let failure: unknown = null;
    let { held } = this;
    try {
      const cursor = await sink.cursor();
      if ((cursor?.commit ?? options.start ?? 0) !== known)
        failure = new SinkError('retry', `${sink.place}: the cursor is not at commit ${known} any more`);
      else if (cursor !== null && held !== null && !isInPlace(options.dataDir, held))
        held = await this.checkCursor(cursor);
      else this.isLogOfSink = true;
    } catch (error) {
      failure = error;
    }
    // If something was shipped meanwhile, that has told as much.
    if (this.known !== known || progress.state !== 'waiting') return;
    if (failure instanceof LogEndsEarly && !isSecondLook) {
      this.nextWatchMs = performance.now() + (options.watchMs ?? SECOND_LOOK_MS);
      return;
    }
    this.held = held;
    if (failure !== null) this.interrupt(failure);
  }
}
