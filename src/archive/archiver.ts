/**
 * One pass of `metricsstream archive`: archives the commits of closed segments that the archive lacks, batch by batch,
 * then merges small files. Options add the deletion of archived segments and of old files.
 *
 * A kill at any point leaves an archive in which each commit counts once: see `manifest.ts`. Every pass begins by removing
 * what a killed one left behind.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { readArchivedSegments, writeArchivedSegments } from '../storage/archived-segments.ts';
import { codeOf, isFileError, nodeFileOps as ops } from '../storage/file-ops.ts';
import { segmentName } from '../storage/segment-name.ts';
import type { GoodCommit } from '../storage/segment-reader.ts';
import { ArchiveDatabase, ROW_GROUP_ROWS_MAX } from './archive-database.ts';
import { ArchiveFiles } from './archive-files.ts';
import { ArchiveStore } from './archive-store.ts';
import { Batch } from './batch.ts';
import { type CommitRange, covers, includes, unite } from './commit-ranges.ts';
import { expiredFiles } from './expiry.ts';
import { loadManifest } from './load-manifest.ts';
import type { ArchivedSegment, ArchiveFile, Manifest } from './manifest.ts';
import type { MemoryPlan } from './memory-plan.ts';
import { type MergePlan, nextMerge } from './merge-plan.ts';
import { type Reconciled, reconcile } from './reconcile.ts';
import { closedSegments, isUnchanged, scanSegment } from './segment-scan.ts';
import { deletableCommit } from './sinks.ts';
import { fileProblem } from './verify-archive.ts';

/** Sorts are planned to fit into memory; this is room for an estimate that was too low. */
const SPILL_BYTES = 1 << 30;
/** Rows of 16 KiB then need 128 MiB. */
const SMALL_ROW_GROUP_ROWS = 8_192;

export interface ArchiverOptions {
  readonly dataDir: string;
  /** UUID of the log. */
  readonly log: string;
  readonly memory: MemoryPlan;
  readonly threads: number;
  readonly deleteSegments: boolean;
  /** Sinks that must have a commit before its segment is deleted. Sinks that ever exported from here always must. */
  readonly requiredSinks: readonly string[];
  /** Delete files whose metrics are all older; 0 keeps them. */
  readonly retentionAgeMs: number;
  /** Delete the oldest files while the archive is larger; 0 keeps them. */
  readonly retentionBytes: number;
}

/** The work of all passes so far. */
export interface ArchiveTotals {
  commits: number;
  lines: number;
  /** Bytes of the segments' commits, and of the files made of them. */
  sourceBytes: number;
  writtenBytes: number;
  segmentsDeleted: number;
  merges: number;
  expiredFiles: number;
  expiredLines: number;
}

/** For the log of the process. */
export interface ArchiverEvents {
  warn(text: string): void;
}

export class Archiver {
  readonly totals: ArchiveTotals = {
    ...{ commits: 0, lines: 0, sourceBytes: 0, writtenBytes: 0 },
    ...{ segmentsDeleted: 0, merges: 0, expiredFiles: 0, expiredLines: 0 },
  };
  private readonly options: ArchiverOptions;
  private readonly events: ArchiverEvents;
  private readonly files: ArchiveFiles;
  private readonly batch: Batch;
  /** Segments that were read to their end and whose last commits are in the batch. */
  private finished: ArchivedSegment[] = [];
  /** Paths of files that are not merged: damaged ones, and those that need too much memory. */
  private readonly unmerged = new Set<string>();
  /** Warnings given, so that each is given once. */
  private readonly warned = new Set<string>();

  constructor(options: ArchiverOptions, events: ArchiverEvents) {
    this.options = options;
    this.events = events;
    this.files = new ArchiveFiles(options.dataDir);
    this.batch = new Batch(options.memory);
  }

  /**
   * Runs a pass. After `signal` it ends with the batch at hand.
   * @returns the manifest at the end
   * @throws MetricsStreamError
   */
  async pass(signal: AbortSignal): Promise<Manifest> {
    const { dataDir, log, memory, threads } = this.options;
    this.createDirectory();
    const manifest = loadManifest(dataDir, log, (text) => this.warn(text));
    // DuckDB gives its memory back only with the instance, and a pass may come once an hour.
    const database = await ArchiveDatabase.open({
      maxMemoryBytes: memory.duckdbBytes,
      threads,
      spillDirectory: this.files.spillDirectory,
      spillBytes: SPILL_BYTES,
    });
    try {
      const store = new ArchiveStore(dataDir, this.files, database, manifest);
      // Files without a manifest look like a lost one, so readers would refuse them.
      if (manifest.generation === 0) store.publish({});
      this.reportReconciled(await reconcile(store, dataDir));
      await this.archive(store, signal);
      if (this.options.deleteSegments) await this.deleteSegments(store);
      await this.merge(store, signal);
      this.expire(store);
      return store.manifest;
    } catch (error) {
      throw this.failure(error);
    } finally {
      this.clear();
      database.close();
      fs.rmSync(this.files.spillDirectory, { recursive: true, force: true });
    }
  }

  private failure(error: unknown): unknown {
    if (error instanceof MetricsStreamError || !isFileError(error)) return error;
    return new MetricsStreamError(
      'ARCHIVE_FAILED',
      `cannot archive in ${this.files.directory}: ${systemErrorText(error)}. Nothing is lost: the segments keep what is not archived.`,
      { cause: error },
    );
  }

  /** Creates the archive's directory, which is locked before the first pass. @throws MetricsStreamError */
  createDirectory(): void {
    try {
      this.files.create();
    } catch (error) {
      throw this.failure(error);
    }
  }

  private clear(): void {
    this.batch.clear();
    this.finished = [];
  }

  private async archive(store: ArchiveStore, signal: AbortSignal): Promise<void> {
    const { dataDir } = this.options;
    const known = store.manifest.segments.filter((segment) => isUnchanged(dataDir, segment));
    if (known.length < store.manifest.segments.length) store.publish({ segments: known });
    const read = new Set(known.map(({ sequence }) => sequence));
    for (const sequence of closedSegments(dataDir)) {
      if (signal.aborted) break;
      if (read.has(sequence)) continue;
      await this.readSegment(store, sequence);
      // A segment whose commits are all archived flushes no batch.
      await nextTurn();
    }
    if (!this.batch.isEmpty) await this.flush(store);
    else if (this.finished.length > 0) store.addSegments(this.finished);
    this.finished = [];
  }

  private async readSegment(store: ArchiveStore, sequence: number): Promise<void> {
    const wanted = (commit: number): boolean =>
      !includes(store.manifest.commits, commit) && !this.batch.includes(commit);
    try {
      const segment = await scanSegment(this.options.dataDir, sequence, wanted, (item, lines) =>
        this.addCommit(store, item, lines),
      );
      if (segment === null) return;
      this.finished.push(segment);
      if (segment.damagedBytes > 0) {
        const name = segmentName(sequence);
        this.warn(
          `${name}: ${segment.damagedBytes} bytes are damaged and not archived; the segment is kept. Run metricsstream verify for the place.`,
        );
      }
    } catch (error) {
      if (error instanceof MetricsStreamError || !isFileError(error)) throw error;
      this.warn(
        `${segmentName(sequence)} cannot be read: ${systemErrorText(error)}; it is kept and tried again`,
      );
    }
  }

  /** False when the commit cannot be archived. */
  private async addCommit(store: ArchiveStore, item: GoodCommit, lines: Buffer): Promise<boolean> {
    if (this.batch.isFullFor(item.lines)) {
      await this.flush(store);
      // Signals are handled between turns of the event loop.
      await nextTurn();
    }
    const reason = this.batch.add(item, lines);
    if (reason === null) this.totals.sourceBytes += item.bytes;
    else this.warn(`${reason}, although its seal is good: it is not archived`);
    return reason === null;
  }

  private async flush(store: ArchiveStore): Promise<void> {
    const written = await store.add(this.batch, this.finished);
    const { totals, batch } = this;
    totals.commits += batch.commitCount;
    totals.lines += batch.rows.count;
    totals.writtenBytes += written.reduce((sum, { bytes }) => sum + bytes, 0);
    this.clear();
  }

  /** Deletes segments of which the archive and every sink have all commits. */
  private async deleteSegments(store: ArchiveStore): Promise<void> {
    const { dataDir, log, requiredSinks } = this.options;
    const { commits, segments } = store.manifest;
    const upTo = await deletableCommit(dataDir, log, requiredSinks);
    const closed = new Set(closedSegments(dataDir));
    const due = segments.filter(
      (segment) =>
        closed.has(segment.sequence) &&
        segment.damagedBytes === 0 &&
        segment.last <= upTo &&
        (segment.first === 0 || covers(commits, [segment.first, segment.last])) &&
        isUnchanged(dataDir, segment),
    );
    if (due.length === 0) return;
    // The server must know that these are not lost before they are gone.
    const before = readArchivedSegments(ops, dataDir);
    const deleting = due.map(({ sequence }): CommitRange => [sequence, sequence]);
    writeArchivedSegments(ops, dataDir, {
      deleted: unite(before.deleted, deleting),
      commit: Math.max(before.commit, ...due.map(({ last }) => last)),
    });
    for (const { sequence } of due) {
      if (this.deleteSegment(sequence)) this.totals.segmentsDeleted += 1;
    }
    const gone = new Set(due.map(({ sequence }) => sequence));
    store.publish({ segments: store.manifest.segments.filter(({ sequence }) => !gone.has(sequence)) });
  }

  private deleteSegment(sequence: number): boolean {
    try {
      fs.unlinkSync(join(this.options.dataDir, segmentName(sequence)));
      return true;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') {
        this.warn(
          `${segmentName(sequence)} cannot be deleted: ${systemErrorText(error)}; trying again later`,
        );
      }
      return false;
    }
  }

  private async merge(store: ArchiveStore, signal: AbortSignal): Promise<void> {
    for (;;) {
      const plan = nextMerge(store.manifest.files.filter(({ path }) => !this.unmerged.has(path)));
      if (plan === null || signal.aborted) return;
      if (this.excludeDamaged(plan.files)) continue;
      if (await this.mergeInMemory(store, plan)) this.totals.merges += 1;
      else this.excludeLarge(plan.files);
      await nextTurn();
    }
  }

  /** Rows with many tags may need more memory than their number tells. @returns false if there is too little */
  private async mergeInMemory(store: ArchiveStore, { date, files, lines }: MergePlan): Promise<boolean> {
    const attempts = [
      { sorted: lines <= this.options.memory.sortRows, rowGroupRows: ROW_GROUP_ROWS_MAX },
      { sorted: false, rowGroupRows: SMALL_ROW_GROUP_ROWS },
    ];
    for (const { sorted, rowGroupRows } of attempts) {
      try {
        await store.merge(date, files, rowGroupRows, sorted);
        return true;
      } catch (error) {
        if (!isOutOfMemory(error)) throw error;
      }
    }
    return false;
  }

  private excludeLarge(files: readonly ArchiveFile[]): void {
    for (const { path } of files) this.unmerged.add(path);
    this.warn(`${files[0]!.path} and its neighbours are not merged: that needs more than --max-memory`);
  }

  /**
   * Excludes damaged files from merges: a merged file gets a checksum of its own, so `verify` would not find what a merge
   * copied. True if it excluded one.
   */
  private excludeDamaged(files: readonly ArchiveFile[]): boolean {
    let isDamaged = false;
    for (const file of files) {
      const problem = fileProblem(this.options.dataDir, file);
      if (problem === null) continue;
      isDamaged = true;
      this.unmerged.add(file.path);
      this.warn(`${file.path}: ${problem}; it is left in place and not merged. Restore it from a backup.`);
    }
    return isDamaged;
  }

  private expire(store: ArchiveStore): void {
    const { retentionAgeMs, retentionBytes } = this.options;
    const expired = expiredFiles(store.manifest.files, { retentionAgeMs, retentionBytes }, Date.now());
    if (expired.length === 0) return;
    const lines = expired.reduce((sum, file) => sum + file.lines, 0);
    store.replace(expired, [], lines);
    this.totals.expiredFiles += expired.length;
    this.totals.expiredLines += lines;
  }

  private reportReconciled({ added, unreadable }: Reconciled): void {
    if (added > 0) this.events.warn(`the manifest did not list ${added} complete files: added`);
    for (const text of unreadable) this.warn(`${text}; it does not count and is left in place`);
  }

  private warn(text: string): void {
    if (this.warned.has(text)) return;
    this.warned.add(text);
    this.events.warn(text);
  }
}

/** DuckDB's text for a statement that needs more than its limit. */
const isOutOfMemory = (error: unknown): boolean =>
  error instanceof MetricsStreamError && error.message.includes('Out of Memory Error');
