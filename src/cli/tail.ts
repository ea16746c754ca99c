/**
 * `metricsstream tail`: prints stored metrics, each a line as the client's batch made it.
 *
 * Prints only lines of commits that their seal proves, without the seal: the pipe gets metrics and nothing else. Skips
 * ends without a seal, and reports damage on the error stream.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { MetricsStreamError } from '../base/errors.ts';
import { CommitReader, type LogCommit, type LogItem, placeText } from '../storage/commit-reader.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { isFileError, nodeFileOps as ops } from '../storage/file-ops.ts';
import { segmentName } from '../storage/segment-name.ts';
import { type GoodCommit, readSegment, type SegmentItem } from '../storage/segment-reader.ts';

const POLL_MS = 100;
const NEWLINE = 0x0a;
const FORGET_COMMITS = 1_024;

export interface TailOptions {
  readonly dataDir: string;
  /** How many of the last lines to begin with: a number, or `all`. */
  readonly lines: string;
  /** Go on as metrics are stored, across rotation and restarts of the server. */
  readonly follow: boolean;
  readonly out?: Writable;
  readonly err?: Writable;
  /** Ends following. */
  readonly signal?: AbortSignal;
}

/** @returns the exit code */
export async function tail(options: TailOptions): Promise<number> {
  const { dataDir, follow, out = process.stdout, err = process.stderr, signal } = options;
  const lines = parseLines(options.lines);
  const printer = new Printer(dataDir, startPlace(dataDir, lines), new Output(out), err);
  await printer.print();
  while (follow && !printer.closed && signal?.aborted !== true) {
    await printer.changed(signal);
    await printer.print();
  }
  if (!follow) printer.reportUnsettled();
  return printer.hasFailed ? 1 : 0;
}

function parseLines(text: string): number {
  if (text === 'all') return Number.POSITIVE_INFINITY;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new MetricsStreamError('CONFIG_INVALID', `--lines ${text}: give a number of lines, or all`);
}

/** Where to print from: the segment, the offset of a commit in it, and how many of its first lines to skip. */
interface Place {
  readonly sequence: number;
  readonly offset: number;
  readonly skipLines: number;
}

/** Goes back from the last segment until enough lines follow the place. */
function startPlace(dataDir: string, lines: number): Place {
  const sequences = segmentsOf(dataDir);
  const first: Place = { sequence: sequences[0] ?? 0, offset: 0, skipLines: 0 };
  if (lines === Number.POSITIVE_INFINITY) return first;
  let missing = lines;
  for (const sequence of sequences.toReversed()) {
    const place = tryPlaceInSegment(dataDir, sequence, missing);
    if (typeof place !== 'number') return place;
    missing -= place;
  }
  return first;
}

/** As `placeInSegment`; a segment that cannot be read has no lines. Printing warns about it. */
function tryPlaceInSegment(dataDir: string, sequence: number, lines: number): Place | number {
  try {
    return placeInSegment(dataDir, sequence, lines);
  } catch (error) {
    if (!isFileError(error)) throw error;
    return 0;
  }
}

/** The place of the last `lines` lines of a segment, or how many lines it has if these are fewer. */
function placeInSegment(dataDir: string, sequence: number, lines: number): Place | number {
  // The commits in reach, from index `first` on; earlier ones are dropped now and then.
  let commits: GoodCommit[] = [];
  let first = 0;
  let kept = 0;
  let end = 0;
  for (const item of itemsOf(dataDir, sequence)) {
    if (item.kind !== 'good') continue;
    commits.push(item);
    kept += item.lines;
    end = item.offset + item.bytes;
    for (; first < commits.length && kept - commits[first]!.lines >= lines; first++)
      kept -= commits[first]!.lines;
    if (first > FORGET_COMMITS) {
      commits = commits.slice(first);
      first = 0;
    }
  }
  if (lines === 0) return { sequence, offset: end, skipLines: 0 };
  if (kept < lines) return kept;
  return { sequence, offset: commits[first]!.offset, skipLines: kept - lines };
}

function* itemsOf(dataDir: string, sequence: number): Generator<SegmentItem> {
  const fd = ops.open(join(dataDir, segmentName(sequence)), constants.O_RDONLY);
  try {
    yield* readSegment(ops, fd);
  } finally {
    ops.close(fd);
  }
}

class Printer {
  private readonly reader: CommitReader;
  private readonly output: Output;
  private readonly err: Writable;
  private skipLines: number;
  /** Segments that could not be read. */
  hasFailed = false;

  constructor(dataDir: string, place: Place, output: Output, err: Writable) {
    this.reader = new CommitReader(dataDir, { place: { segment: place.sequence, offset: place.offset } });
    this.skipLines = place.skipLines;
    this.output = output;
    this.err = err;
  }

  /** The reader has closed the pipe, as `head` does. */
  get closed(): boolean {
    return this.output.closed;
  }

  /** Prints to the end of the log. */
  async print(): Promise<void> {
    for await (const item of this.reader.pass()) {
      this.hasFailed ||= item.kind === 'unreadable';
      if (item.kind === 'commit') await this.printLines(item.lines);
      else this.warn(placeText(item.segment, item.offset), problemOf(item));
      if (this.closed) return;
    }
  }

  private async printLines(lines: Buffer): Promise<void> {
    await this.output.write(this.skipLines > 0 ? withoutFirst(lines, this.skipLines) : lines);
    this.skipLines = 0;
  }

  changed(signal: AbortSignal | undefined): Promise<void> {
    return this.reader.changed(POLL_MS, signal);
  }

  /** At the end: nobody will repair it. */
  reportUnsettled(): void {
    const damage = this.reader.unsettled;
    if (damage !== null) this.warn(placeText(damage.segment, damage.offset), damage.reason);
  }

  private warn(place: string, problem: string): void {
    this.err.write(`metricsstream: left out: ${place}: ${problem}\n`);
  }
}

function problemOf(item: Exclude<LogItem, LogCommit>): string {
  if (item.kind === 'damaged') return item.reason;
  return item.kind === 'gap' ? item.text : `it cannot be read: ${item.code}`;
}

function withoutFirst(lines: Buffer, count: number): Buffer {
  let start = 0;
  for (let k = 0; k < count; k++) start = lines.indexOf(NEWLINE, start) + 1;
  return lines.subarray(start);
}

/** Writes no faster than the reader reads, and notes when it closes the pipe. */
class Output {
  closed = false;
  private readonly stream: Writable;

  constructor(stream: Writable) {
    this.stream = stream;
    stream.once('error', () => {
      this.closed = true;
    });
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.closed || this.stream.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.stream.off('drain', done).off('error', done).off('close', done);
        resolve();
      };
      this.stream.once('drain', done).once('error', done).once('close', done);
    });
  }
}
