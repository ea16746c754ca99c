/** Commits that are archived in one step. */
import zlib from 'node:zlib';
import type { GoodCommit } from '../storage/segment-reader.ts';
import { type CommitRange, sizeOf, unite } from './commit-ranges.ts';
import { MetricRows } from './metric-rows.ts';

export interface BatchSize {
  /** Rows of a batch. */
  readonly batchRows: number;
  /** A table of series larger than this ends a batch: with a new series in each line, rows are not what costs memory. */
  readonly seriesBytes: number;
}

export class Batch {
  readonly rows: MetricRows;
  private readonly rowsMax: number;
  private readonly seriesBytesMax: number;
  private commits: CommitRange[] = [];
  private sealsCrc = 0;
  private readonly word = Buffer.alloc(4);

  constructor({ batchRows, seriesBytes }: BatchSize) {
    this.rows = new MetricRows(batchRows);
    this.rowsMax = batchRows;
    this.seriesBytesMax = seriesBytes;
  }

  get isEmpty(): boolean {
    return this.commits.length === 0;
  }

  /** True when a commit of so many lines belongs into the next batch. */
  isFullFor(lines: number): boolean {
    const { count, table } = this.rows;
    return !this.isEmpty && (count + lines > this.rowsMax || table.bytes > this.seriesBytesMax);
  }

  /**
   * Adds a commit. They come in ascending order, except where segments were restored.
   * @returns why the commit was not added, or null
   */
  add({ commit, lines, crc32 }: GoodCommit, text: Buffer): string | null {
    const line = this.rows.add(commit, text, lines);
    if (line > 0) return `line ${line} of commit ${commit} is not in the form that the server writes`;
    const last = this.commits.at(-1);
    if (last?.[1] === commit - 1) this.commits[this.commits.length - 1] = [last[0], commit];
    else this.commits.push([commit, commit]);
    this.word.writeUInt32LE(crc32);
    this.sealsCrc = zlib.crc32(this.word, this.sealsCrc);
    return null;
  }

  /** True when the batch holds a commit: two segments may hold the same one after a restore. */
  includes(commit: number): boolean {
    return this.commits.some(([first, last]) => commit >= first && commit <= last);
  }

  get commitCount(): number {
    return sizeOf(this.ranges);
  }

  /** The commits added, ascending. */
  get ranges(): CommitRange[] {
    return unite(this.commits);
  }

  /** CRC-32 over the CRCs of the seals. */
  get seals(): number {
    return this.sealsCrc;
  }

  clear(): void {
    this.rows.clear();
    this.commits = [];
    this.sealsCrc = 0;
  }
}
