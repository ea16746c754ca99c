/**
 * One consistent view of all stored metrics while a server writes, rotates, archives and deletes.
 *
 * The order of the steps makes it complete, with each metric once:
 *
 * 1. Keep the lines of the write-ahead log that no synced segment is known to hold.
 * 2. Open all segments. One that is deleted before this was archived before, so step 3 finds its commits.
 * 3. Open all archive files, and note their commits.
 * 4. Read the segments, and leave out commits that step 3 found, or that came already.
 * 5. Add from step 1 the records behind the mark of the last commit read.
 *
 * From then on the query depends on open descriptors only. Step 4 turns lines into rows of numbers in a private file
 * (`live-rows.ts`). Commits whose lines it cannot take, such as those of a log with too many series, are copied as they
 * are, and DuckDB's JSON reader reads them.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { openArchive } from '../archive/archive-snapshot.ts';
import { MetricsStreamError, systemErrorText } from '../base/errors.ts';
import type { CommitRun } from '../duckdb/stored-lines.ts';
import { ownerOf, segmentsOf } from '../storage/data-dir.ts';
import { codeOf, nodeFileOps as ops } from '../storage/file-ops.ts';
import { readLogRecord } from '../storage/log-record.ts';
import { isRegularFile, segmentName } from '../storage/segment-name.ts';
import { type GoodCommit, type LinesReader, openLinesReader } from '../storage/segment-reader.ts';
import { parseMark } from '../wal/mark.ts';
import { CommitSet } from './commit-set.ts';
import { HeldFiles, pathOfFd } from './held-files.ts';
import { type LiveRowFiles, LiveRows } from './live-rows.ts';
import { LogMoved, WaitingLines } from './waiting-lines.ts';

const ATTEMPTS = 20;
const RETRY_MS = 100;
/** DuckDB reads files in parts of this size at least, and of twice the longest line. */
const LINE_BYTES_MIN = 1 << 20;
/** DuckDB needs some ten times the bytes of the series for a join with them. */
const SERIES_BYTES_MAX = 64 << 20;
const SERIES_MEMORY_SHARE = 16;

export interface SnapshotOptions {
  readonly dataDir: string;
  /** For private copies of the open segment. */
  readonly temporaryDirectory: string;
  /** Unix milliseconds: leave out archive files with no metric in `[fromMs, toMs)`. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Memory of the query, of which the table of series takes a part. */
  readonly maxMemoryBytes: number;
  /** Called before each segment that is read. */
  readonly onSegment?: (number: number, all: number) => void;
}

/** Parts of the log that a snapshot leaves out. */
export interface LeftOut {
  /** Places in segments that no seal proves, and their bytes. */
  damagedPlaces: number;
  damagedBytes: number;
  /** Records of the write-ahead log that are missing or damaged. */
  damagedRecords: number;
  /** Commits that no file holds, between the first and the last. */
  missing: readonly { readonly first: number; readonly last: number }[];
}

export interface Snapshot {
  /** Names of archive files. */
  readonly archive: readonly string[];
  /** Metrics of the segments as rows of numbers, or null if there are none. */
  readonly rows: LiveRowFiles | null;
  /** Names of NDJSON files with the other metrics of the segments in order, and the numbers of their commits. */
  readonly live: readonly string[];
  readonly runs: readonly CommitRun[];
  /** Name of a file with lines that are in no commit yet, or null. */
  readonly waiting: string | null;
  /** No line is longer. */
  readonly lineBytesMax: number;
  readonly leftOut: LeftOut;
  /** Every name that DuckDB may open. */
  readonly paths: readonly string[];
  close(): void;
}

/**
 * @throws MetricsStreamError DATA_DIR_UNUSABLE when a file cannot be read, OUTPUT_FAILED when a copy cannot be written
 */
export async function takeSnapshot(options: SnapshotOptions): Promise<Snapshot> {
  for (let attempt = 1; ; attempt++) {
    const files = new HeldFiles(options.temporaryDirectory);
    try {
      return await tryTake(options, files, attempt === ATTEMPTS);
    } catch (error) {
      files.close();
      if (!(error instanceof LogMoved)) throw error;
      if (attempt === ATTEMPTS)
        throw new MetricsStreamError(
          'DATA_DIR_UNUSABLE',
          `the log in ${options.dataDir} changed during each of ${ATTEMPTS} attempts to read it: ${error.message}. Run the query again.`,
        );
    }
    await sleep(RETRY_MS);
  }
}

async function tryTake(options: SnapshotOptions, files: HeldFiles, isLastTry: boolean): Promise<Snapshot> {
  const { dataDir, fromMs, toMs } = options;
  const waitingLines = new WaitingLines(dataDir, files);
  const segments = openSegments(dataDir, files);
  // Read after the listing: a server that starts later begins a new segment.
  const isStopped = readLogRecord(ops, dataDir).record?.clean === true;
  const isRunning = !isStopped && (await ownerOf(dataDir)) !== null;
  const archive = openArchive(dataDir, (file) => file.maxTimeMs >= fromMs && file.minTimeMs < toMs);
  files.onClose(() => archive.close());
  const rows = new LiveRows(files, {
    fromMs,
    toMs,
    seriesBytesMax: Math.min(SERIES_BYTES_MAX, options.maxMemoryBytes / SERIES_MEMORY_SHARE),
  });
  const live = new LiveLines(files, new CommitSet(archive.commits), rows);
  for (const [index, fd] of segments.entries()) {
    options.onSegment?.(index + 1, segments.length);
    const isLast = index === segments.length - 1;
    live.add(fd, { mayGrow: isLast && !isStopped, isOpen: isLast && isRunning });
    // The memory guard and the requests of the explore page come between two segments.
    await nextTurn();
  }
  const waiting = waitingLines.select(parseMark(live.mark));
  // A record that is written during the scan may look damaged.
  if (waiting.damaged > 0 && !isLastTry) throw new LogMoved('records are damaged');
  const leftOut = { ...live.leftOut, damagedRecords: waiting.damaged, missing: live.commits.gaps() };
  const waitingPath = waiting.fd === null ? null : pathOfFd(waiting.fd);
  const archivePaths = archive.files.map(({ openPath }) => openPath);
  const rowFiles = rows.end();
  const rowPaths = rowFiles === null ? [] : [rowFiles.rows, rowFiles.series];
  return {
    archive: archivePaths,
    rows: rowFiles,
    live: live.paths,
    runs: live.runs,
    waiting: waitingPath,
    lineBytesMax: Math.max(LINE_BYTES_MIN, live.commitBytesMax),
    leftOut,
    paths: [...archivePaths, ...rowPaths, ...live.paths, ...(waitingPath === null ? [] : [waitingPath])],
    close: () => files.close(),
  };
}

function openSegments(dataDir: string, files: HeldFiles): number[] {
  return segmentsOf(dataDir).flatMap((sequence) => {
    const path = `${dataDir}/${segmentName(sequence)}`;
    try {
      if (!isRegularFile(ops, path)) return [];
      return [files.open(path)];
    } catch (error) {
      // Deleted since the listing.
      if (codeOf(error) === 'ENOENT') return [];
      throw new MetricsStreamError(
        'DATA_DIR_UNUSABLE',
        `cannot read ${path}: ${systemErrorText(error)}. Run the command as the user of the server.`,
        { cause: error },
      );
    }
  });
}

interface SegmentState {
  /** A server may append to it: use a copy. */
  readonly mayGrow: boolean;
  /** A running server writes to it: an end without a seal is a write in progress. */
  readonly isOpen: boolean;
}

interface ByteRange {
  readonly from: number;
  to: number;
}

/** The proved lines of the segments, and the numbers of their commits. */
class LiveLines {
  readonly paths: string[] = [];
  readonly runs: { seals: number; commit: number }[] = [];
  readonly commits: CommitSet;
  readonly leftOut = { damagedPlaces: 0, damagedBytes: 0 };
  /** The mark in the seal of the last good commit, whoever holds that commit. */
  mark = '';
  commitBytesMax = 0;
  private seals = 0;
  private readonly files: HeldFiles;
  private readonly rows: LiveRows;

  /** @param commits the commits that come from elsewhere */
  constructor(files: HeldFiles, commits: CommitSet, rows: LiveRows) {
    this.files = files;
    this.commits = commits;
    this.rows = rows;
  }

  add(fd: number, { mayGrow, isOpen }: SegmentState): void {
    const ranges: ByteRange[] = [];
    let end = 0;
    const reader = openLinesReader(ops, fd);
    for (const item of reader.items()) {
      end = item.offset + item.bytes;
      if (item.kind === 'good') {
        this.mark = item.mark;
        if (this.commits.add(item.commit)) this.take(reader, item, ranges);
      } else if (item.kind === 'damaged' && !isOpen) this.leaveOut(item.bytes);
    }
    if (ranges.length === 0) return;
    const isWhole = ranges.length === 1 && ranges[0]!.from === 0 && ranges[0]!.to === end;
    this.paths.push(pathOfFd(isWhole && !mayGrow ? fd : this.copy(fd, ranges)));
  }

  private take(reader: LinesReader, item: GoodCommit, ranges: ByteRange[]): void {
    const lines = reader.lines(item);
    // The file was changed since the seal proved it.
    if (lines === null) this.leaveOut(item.bytes);
    else if (!this.rows.add(item.commit, lines, item.lines)) this.include(item, ranges);
  }

  private leaveOut(bytes: number): void {
    this.leftOut.damagedPlaces++;
    this.leftOut.damagedBytes += bytes;
  }

  private include({ offset, bytes, commit }: GoodCommit, ranges: ByteRange[]): void {
    const range = ranges.at(-1);
    if (range !== undefined && range.to === offset) range.to = offset + bytes;
    else ranges.push({ from: offset, to: offset + bytes });
    const run = this.runs.at(-1);
    if (run === undefined || commit - run.commit !== this.seals - run.seals)
      this.runs.push({ seals: this.seals, commit });
    this.seals++;
    this.commitBytesMax = Math.max(this.commitBytesMax, bytes);
  }

  private copy(fd: number, ranges: readonly ByteRange[]): number {
    const target = this.files.create();
    for (const { from, to } of ranges) target.appendFrom(fd, from, to);
    return target.fd;
  }
}
