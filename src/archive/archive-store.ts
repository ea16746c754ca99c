/**
 * The steps that change an archive. Each makes its files durable and compares them with their source, then replaces the
 * manifest: the step counts from that rename on.
 */
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import { duckdbErrorText } from '../duckdb/duckdb.ts';
import { nodeFileOps as ops } from '../storage/file-ops.ts';
import type { ArchiveDatabase } from './archive-database.ts';
import { type ArchiveFiles, archivePath, checksumOf } from './archive-files.ts';
import type { Batch } from './batch.ts';
import { type CommitRange, unite } from './commit-ranges.ts';
import { orderByDay } from './day-rows.ts';
import { type BatchSource, type FileMetadata, parseMetadata } from './file-metadata.ts';
import { type ArchivedSegment, type ArchiveFile, hexOf, type Manifest, writeManifest } from './manifest.ts';
import { type RowSums, sumsDifference, sumsOf } from './row-sums.ts';

export class ArchiveStore {
  readonly files: ArchiveFiles;
  private readonly dataDir: string;
  private readonly database: ArchiveDatabase;
  private current: Manifest;

  constructor(dataDir: string, files: ArchiveFiles, database: ArchiveDatabase, manifest: Manifest) {
    this.dataDir = dataDir;
    this.files = files;
    this.database = database;
    this.current = manifest;
  }

  get manifest(): Manifest {
    return this.current;
  }

  /** Publishes the next version of the manifest. */
  publish(changes: Partial<Omit<Manifest, 'log' | 'generation'>>): void {
    const next = { ...this.current, ...changes, generation: this.current.generation + 1 };
    guarded(`cannot write the archive's manifest in ${this.files.directory}`, () =>
      writeManifest(ops, this.dataDir, next),
    );
    this.current = next;
  }

  /** Records segments that were read to their end and needed no batch. */
  addSegments(segments: readonly ArchivedSegment[]): void {
    this.publish({ segments: withSegments(this.current.segments, segments) });
  }

  /**
   * Archives a batch; its metrics count from the return on.
   * @param segments segments whose last commits are in the batch or before it
   * @returns the files written
   */
  async add(batch: Batch, segments: readonly ArchivedSegment[]): Promise<ArchiveFile[]> {
    const { rows, ranges } = batch;
    const days = orderByDay(rows);
    const source: BatchSource = {
      commits: ranges,
      seals: hexOf(batch.seals),
      dates: days.map(({ date }) => date),
    };
    await this.guardedSql(this.files.directory, () => this.database.loadSeries(rows));
    const written: ArchiveFile[] = [];
    let lines = 0;
    for (const { date, order } of days) {
      const sums = sumsOf(rows, order);
      written.push(
        await this.write(date, ranges, [source], sums, (path, metadata) =>
          this.database.write(path, { rows, order }, sums.doubles, metadata),
        ),
      );
      lines += sums.lines;
    }
    if (lines !== rows.count) throw failed(`${rows.count} lines became ${lines} rows`);
    this.publish({
      commits: unite(this.current.commits, ranges),
      files: [...this.current.files, ...written],
      archivedLines: this.current.archivedLines + lines,
      segments: withSegments(this.current.segments, segments),
    });
    return written;
  }

  /**
   * Replaces files of one day by one that holds their rows.
   * @param rowGroupRows rows that are in memory at once
   * @param sorted false: one after the other, in constant memory
   */
  async merge(
    date: string,
    sources: readonly ArchiveFile[],
    rowGroupRows: number,
    sorted: boolean,
  ): Promise<ArchiveFile> {
    const paths = sources.map(({ path }) => this.files.absolute(path));
    const batches: BatchSource[] = [];
    for (const path of paths) batches.push(...(await this.metadataOf(path)).sources);
    const sums = await this.guardedSql(this.files.directory, () => this.database.sums(paths));
    const ranges = unite(sources.map(({ first, last }): CommitRange => [first, last]));
    const merged = await this.write(date, ranges, batches, sums, (path, metadata) =>
      this.database.merge(paths, path, metadata, rowGroupRows, sorted),
    );
    this.replace(sources, [merged]);
    return merged;
  }

  /** Replaces files in the manifest, then deletes them. */
  replace(before: readonly ArchiveFile[], after: readonly ArchiveFile[], expiredLines = 0): void {
    const gone = new Set(before.map(({ path }) => path));
    this.publish({
      files: [...this.current.files.filter(({ path }) => !gone.has(path)), ...after],
      expiredLines: this.current.expiredLines + expiredLines,
    });
    // A kill before this leaves files that the next run deletes, because their commits count elsewhere.
    const kept = new Set(after.map(({ path }) => path));
    for (const { path } of before) if (!kept.has(path)) this.files.delete(path);
  }

  /** The metadata of a file. @throws MetricsStreamError ARCHIVE_DAMAGED */
  async metadataOf(path: string): Promise<FileMetadata> {
    const metadata = parseMetadata(await this.guardedSql(path, () => this.database.metadata(path)));
    if (metadata === null)
      throw new MetricsStreamError('ARCHIVE_DAMAGED', `${path} has no metadata of an archive`);
    return metadata;
  }

  /** How a file differs from what its metadata says, or null. */
  async difference(path: string, { sums }: FileMetadata): Promise<string | null> {
    return sumsDifference(sums, await this.guardedSql(path, () => this.database.sums([path])));
  }

  private async write(
    date: string,
    ranges: readonly CommitRange[],
    sources: readonly BatchSource[],
    sums: RowSums,
    fill: (path: string, metadata: FileMetadata) => Promise<void>,
  ): Promise<ArchiveFile> {
    const [first, last] = [ranges[0]![0], ranges.at(-1)![1]];
    const path = archivePath(date, first, last);
    const unfinished = this.files.unfinished(path);
    try {
      guarded(`cannot write ${this.files.absolute(path)}`, () => this.files.createPartition(path));
      const metadata: FileMetadata = { log: this.current.log, date, first, last, sources, sums };
      await this.guardedSql(unfinished, () => fill(unfinished, metadata));
      const difference = await this.difference(unfinished, metadata);
      if (difference !== null) throw failed(`${path} was read back differently: ${difference}`);
      const checksum = checksumOf(unfinished);
      guarded(`cannot write ${this.files.absolute(path)}`, () => this.files.publish(path));
      const { lines, minTimeMs, maxTimeMs } = sums;
      return { path, first, last, lines, ...checksum, minTimeMs, maxTimeMs };
    } catch (error) {
      this.files.deleteUnfinished(path);
      throw error;
    }
  }

  /** The manifest's entry for a finished file. */
  entryOf(path: string, { first, last, sums }: FileMetadata): ArchiveFile {
    const { lines, minTimeMs, maxTimeMs } = sums;
    return { path, first, last, lines, ...checksumOf(this.files.absolute(path)), minTimeMs, maxTimeMs };
  }

  private async guardedSql<Result>(path: string, run: () => Promise<Result>): Promise<Result> {
    try {
      return await run();
    } catch (error) {
      throw failed(`${path}: ${duckdbErrorText(error)}`, error);
    }
  }
}

/** Adds segments, or replaces what was known about them. Ascending, as `reportProgress` needs them. */
function withSegments(
  known: readonly ArchivedSegment[],
  read: readonly ArchivedSegment[],
): ArchivedSegment[] {
  const sequences = new Set(read.map(({ sequence }) => sequence));
  return [...known.filter(({ sequence }) => !sequences.has(sequence)), ...read].sort(
    (a, b) => a.sequence - b.sequence,
  );
}

function guarded<Result>(what: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    throw failed(`${what}: ${systemErrorText(error)}`, error);
  }
}

function failed(text: string, cause?: unknown): MetricsStreamError {
  return new MetricsStreamError(
    'ARCHIVE_FAILED',
    `${text}. Nothing is lost: the segments keep what is not archived, and the next run continues.`,
    { cause },
  );
}
