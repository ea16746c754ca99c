/**
 * `metricsstream tail`: prints stored metrics, each a line as the client's batch made it.
 *
 * Prints only lines of commits that their seal proves, without the seal: the pipe gets metrics and nothing else. Skips
 * ends without a seal, and reports damage on the error stream.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { MetricsStreamError } from '../base/errors.ts';
import { segmentsOf } from '../storage/data-dir.ts';
import { codeOf, isFileError, nodeFileOps as ops } from '../storage/file-ops.ts';
import { segmentName } from '../storage/segment-name.ts';
import {
  CommitSequence,
  type GoodCommit,
  readLines,
  readSegment,
  type SegmentItem,
} from '../storage/segment-reader.ts';

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
  const printer = new Printer(dataDir, new Output(out), err);
  let place = startPlace(dataDir, lines);
  place = await printer.print(place);
  while (follow && !printer.closed && signal?.aborted !== true) {
    await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {});
    place = await printer.print(place);
  }
  if (!follow) printer.reportPending();
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
  for (const item of itemsOf(dataDir, sequence, 0)) {
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

function* itemsOf(dataDir: string, sequence: number, from: number): Generator<SegmentItem & { fd: number }> {
  const fd = ops.open(join(dataDir, segmentName(sequence)), constants.O_RDONLY);
  try {
    for (const item of readSegment(ops, fd, from)) yield { ...item, fd };
  } finally {
    ops.close(fd);
  }
}

class Printer {
  private readonly dataDir: string;
  private readonly output: Output;
  private readonly err: Writable;
  private readonly sequence = new CommitSequence();
  /** Damage after the last good commit: in the open segment it may be a write in progress. */
  private pending: string | null = null;
  private readonly failed = new Set<number>();

  constructor(dataDir: string, output: Output, err: Writable) {
    this.dataDir = dataDir;
    this.output = output;
    this.err = err;
  }

  /** The reader has closed the pipe, as `head` does. */
  get closed(): boolean {
    return this.output.closed;
  }

  /** Prints from `place` to the end of the last segment; returns where to go on. */
  async print(place: Place): Promise<Place> {
    let at = place;
    for (;;) {
      // Listed before reading: a segment with a successor no longer grows.
      const next = segmentsOf(this.dataDir).find((sequence) => sequence > at.sequence);
      at = await this.printSegment(at);
      if (next === undefined || this.closed) return at;
      this.reportPending();
      at = { sequence: next, offset: 0, skipLines: 0 };
    }
  }

  private async printSegment(place: Place): Promise<Place> {
    let { offset, skipLines } = place;
    this.pending = null;
    try {
      if (ops.stat(join(this.dataDir, segmentName(place.sequence))).size === offset) return place;
      for (const item of itemsOf(this.dataDir, place.sequence, offset)) {
        if (item.kind !== 'good') {
          if (item.kind === 'damaged') this.pending = placeText(place.sequence, item.offset, item.reason);
          continue;
        }
        const wasDamaged = this.pending !== null;
        this.reportPending();
        const gap = this.sequence.follow(item.commit);
        if (gap !== null && !wasDamaged) this.warn(placeText(place.sequence, item.offset, gap));
        const lines = readLines(ops, item.fd, item);
        if (lines === null) this.warn(placeText(place.sequence, item.offset, 'it changed while being read'));
        else await this.output.write(skipLines > 0 ? withoutFirst(lines, skipLines) : lines);
        offset = item.offset + item.bytes;
        skipLines = 0;
        if (this.closed) break;
      }
    } catch (error) {
      const code = codeOf(error);
      if (!isFileError(error)) throw error;
      // Deleted by retention, or no file yet.
      if (code !== 'ENOENT') this.unreadable(place.sequence, code);
    }
    return { sequence: place.sequence, offset, skipLines };
  }

  /** Warns once for each segment. */
  private unreadable(sequence: number, code: string): void {
    if (this.failed.has(sequence)) return;
    this.failed.add(sequence);
    this.warn(placeText(sequence, 0, `it cannot be read: ${code}`));
  }

  /** Segments that could not be read. */
  get hasFailed(): boolean {
    return this.failed.size > 0;
  }

  reportPending(): void {
    if (this.pending !== null) this.warn(this.pending);
    this.pending = null;
  }

  private warn(text: string): void {
    this.err.write(`metricsstream: left out: ${text}\n`);
  }
}

function placeText(sequence: number, offset: number, what: string): string {
  return `${segmentName(sequence)} at byte ${offset}: ${what}`;
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
