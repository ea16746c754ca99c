/**
 * Reads the log commit by commit, across segments, and follows it while a server writes: for `tail`, `export` and
 * `verify --sink`.
 *
 * Only commits that their seal proves come out. A reader that hands commits to another system asks for `sync`: any
 * process may sync a file, and without it a power loss could take back, and number again, a commit that the other system
 * already holds. Each pass opens the files by name, so rotation, recovery and a restart of the server need no special
 * case.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { segmentsOf } from './data-dir.ts';
import { codeOf, isFileError, nodeFileOps as ops } from './file-ops.ts';
import { segmentName } from './segment-name.ts';
import { CommitSequence, type GoodCommit, readLines, readSegment } from './segment-reader.ts';
import { isSetAsideName } from './set-aside.ts';

/** Looked up at each call: a test counts them. */
const fdatasync = promisify((fd: number, done: fs.NoParamCallback) => fs.fdatasync(fd, done));
/** A pass costs more than a commit: one pass reads all commits of this time. */
const GATHER_MS = 10;

/** Where an item is, for people: `metrics-00000001.ndjson at byte 4096`. */
export function placeText(segment: number, offset: number): string {
  return `${segmentName(segment)} at byte ${offset}`;
}

interface Placed {
  /** Sequence of the segment, and the offset in it. */
  readonly segment: number;
  readonly offset: number;
}

export interface LogCommit extends Placed {
  readonly kind: 'commit';
  readonly commit: number;
  /** Of its seal. */
  readonly crc32: number;
  /** Bytes in the file, with the seal. */
  readonly bytes: number;
  readonly lineCount: number;
  /** The lines as the writer got them, without the seal. The memory belongs to the receiver. */
  readonly lines: Buffer;
}

/** Bytes that no seal proves. Readers skip them. */
export interface LogDamage extends Placed {
  readonly kind: 'damaged';
  readonly bytes: number;
  readonly reason: string;
  /** The commits that were there; `last` is below `first` when no number is missing. */
  readonly first: number;
  readonly last: number;
}

/** Commits that no file holds, or that come in the wrong order. */
export interface LogGap extends Placed {
  readonly kind: 'gap';
  /** The last commit before, and the one that comes instead of the next. */
  readonly after: number;
  readonly commit: number;
  readonly text: string;
}

/** A segment that this process cannot read; reported once. */
export interface LogUnreadable extends Placed {
  readonly kind: 'unreadable';
  readonly code: string;
}

export type LogItem = LogCommit | LogDamage | LogGap | LogUnreadable;

/** The start of a commit. */
export interface LogPlace {
  readonly segment: number;
  readonly offset: number;
}

export interface CommitReaderOptions {
  /** Where to begin: the first segment by default. */
  readonly place?: LogPlace;
  /** Skip commits up to this number, and report a gap unless the next one follows. 0: the first may be any. */
  readonly after?: number;
  /** The commit that ends at `place`: skip none, and report a gap unless the one after it comes next. */
  readonly follows?: number;
  /** Make commits durable before they come out. */
  readonly sync?: boolean;
}

export class CommitReader {
  private readonly dataDir: string;
  private readonly sync: boolean;
  private readonly after: number;
  private readonly sequence = new CommitSequence();
  private readonly unreadable = new Set<number>();
  /** The segment that is being read, and the end of its last good commit. */
  private segment: number;
  private offset: number;
  /** Bytes of the segment that are durable, and those that the last pass saw. */
  private syncedBytes = 0;
  private seenBytes = 0;
  /** Damage behind the last good commit: in the open segment it may be a write in progress. */
  private pending: Omit<LogDamage, 'first' | 'last'> | null = null;

  constructor(
    dataDir: string,
    { place, after = 0, follows = after, sync = false }: CommitReaderOptions = {},
  ) {
    this.dataDir = dataDir;
    this.sync = sync;
    this.after = after;
    this.sequence.last = follows;
    this.segment = place?.segment ?? segmentsOf(dataDir)[0] ?? 0;
    this.offset = place?.offset ?? 0;
    this.seenBytes = this.offset;
  }

  /** The end of what was read. */
  get place(): LogPlace {
    return { segment: this.segment, offset: this.offset };
  }

  /** Damage at the end of the log that a running server may still repair, or null. */
  get unsettled(): LogDamage | null {
    return this.pending === null ? null : this.damageBefore(this.sequence.last + 1);
  }

  /** Reads from the last place to the end of the log as it is now. The next pass continues there. */
  async *pass(): AsyncGenerator<LogItem, void> {
    for (;;) {
      // Listed before reading: a segment with a successor no longer grows.
      const next = segmentsOf(this.dataDir).find((sequence) => sequence > this.segment);
      yield* this.readSegment();
      if (next === undefined) return;
      this.segment = next;
      this.offset = this.syncedBytes = this.seenBytes = 0;
    }
  }

  private async *readSegment(): AsyncGenerator<LogItem, void> {
    const path = join(this.dataDir, segmentName(this.segment));
    let fd: number;
    try {
      if (ops.stat(path).size === this.offset) return;
      fd = ops.open(path, fs.constants.O_RDONLY);
    } catch (error) {
      yield* this.fileError(error);
      return;
    }
    try {
      yield* this.readFile(fd);
    } catch (error) {
      yield* this.fileError(error);
    } finally {
      ops.close(fd);
    }
  }

  private *fileError(error: unknown): Generator<LogUnreadable, void> {
    if (!isFileError(error)) throw error;
    const code = codeOf(error);
    // Deleted by retention, or no file yet: a gap in the numbers tells if commits are missing.
    if (code === 'ENOENT' || this.unreadable.has(this.segment)) return;
    this.unreadable.add(this.segment);
    yield { kind: 'unreadable', ...this.place, code };
  }

  private async *readFile(fd: number): AsyncGenerator<LogItem, void> {
    const { segment } = this;
    // A failed write may have been cut back since the sync: only commits stay.
    this.syncedBytes = Math.min(this.syncedBytes, this.offset);
    // Damage seen in the last pass is found again if it is still there.
    if (this.pending?.segment === segment) this.pending = null;
    for (const item of readSegment(ops, fd, this.offset)) {
      this.seenBytes = item.offset + item.bytes;
      if (item.kind === 'torn') return;
      if (item.kind === 'damaged') {
        const { offset, bytes, reason } = item;
        yield* this.settle(this.sequence.last + 1);
        this.pending = { kind: 'damaged', segment, offset, bytes, reason };
        continue;
      }
      const end = this.seenBytes;
      if (item.commit > this.after) yield* this.follow(fd, item, end);
      else this.pending = null;
      this.offset = end;
    }
  }

  /** The commit, after whatever is wrong before it. */
  private async *follow(fd: number, item: GoodCommit, end: number): AsyncGenerator<LogItem, void> {
    const { segment } = this;
    const { commit, crc32, offset, bytes, lines: lineCount } = item;
    const before = this.sequence.last;
    if (offset === 0 && before > 0 && commit > before + 1) this.pending ??= this.setAside();
    const wasDamaged = this.pending !== null;
    yield* this.settle(commit);
    const text = this.sequence.follow(commit);
    if (text !== null && !(wasDamaged && commit > before))
      yield { kind: 'gap', segment, offset, after: before, commit, text };
    if (this.sync && end > this.syncedBytes) {
      const { size } = ops.fstat(fd);
      await fdatasync(fd);
      this.syncedBytes = size;
    }
    const lines = readLines(ops, fd, item);
    if (lines === null) {
      const reason = 'it changed while being read';
      yield { kind: 'damaged', segment, offset, bytes, reason, first: commit, last: commit };
    } else {
      yield { kind: 'commit', segment, offset, commit, crc32, bytes, lineCount, lines };
    }
  }

  /** A start keeps a damaged end of a segment under another name: its commits are missing from the segment. */
  private setAside(): Omit<LogDamage, 'first' | 'last'> | null {
    const names = ops.readdir(this.dataDir).filter(isSetAsideName).sort();
    const name = names.find((found) => found.startsWith(segmentName(this.segment - 1)));
    if (name === undefined) return null;
    return { kind: 'damaged', ...this.place, bytes: 0, reason: `its end is damaged, see ${name}` };
  }

  private *settle(nextCommit: number): Generator<LogDamage, void> {
    if (this.pending !== null) yield this.damageBefore(nextCommit);
    this.pending = null;
  }

  private damageBefore(nextCommit: number): LogDamage {
    return { ...this.pending!, first: this.sequence.last + 1, last: nextCommit - 1 };
  }

  /**
   * Resolves when the log may have grown: soon after a write to the segment, or after `timeoutMs`, or when `signal`
   * aborts.
   */
  changed(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const watcher = this.watch();
      const done = (): void => {
        clearTimeout(timer);
        watcher?.close();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      let timer = setTimeout(done, timeoutMs);
      // Further writes join the same pass.
      const soon = (): void => {
        watcher?.close();
        clearTimeout(timer);
        timer = setTimeout(done, Math.min(timeoutMs, GATHER_MS));
      };
      signal?.addEventListener('abort', done);
      watcher?.once('change', soon).once('error', () => watcher.close());
      if (watcher !== null && this.hasGrown()) soon();
    });
  }

  /** Null where inotify is not available or has no watches left: the timer suffices. */
  private watch(): fs.FSWatcher | null {
    try {
      return fs.watch(join(this.dataDir, segmentName(this.segment)), { persistent: true });
    } catch {
      return null;
    }
  }

  /** Bytes came between the end of the last pass and the start of the watch. */
  private hasGrown(): boolean {
    try {
      return ops.stat(join(this.dataDir, segmentName(this.segment))).size > this.seenBytes;
    } catch {
      return false;
    }
  }
}

/** The place from which a reader finds the commit after `after`: the start of the segment that holds it. */
export function placeAfter(dataDir: string, after: number): LogPlace {
  const sequences = segmentsOf(dataDir);
  let low = 0;
  let high = sequences.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const first = firstCommit(dataDir, sequences[middle]!);
    // A segment without a good commit says nothing: search before it, and read through it.
    if (first !== null && first <= after + 1) low = middle;
    else high = middle - 1;
  }
  return { segment: sequences[low] ?? 0, offset: 0 };
}

/** The number of the first good commit in a segment, or null. */
function firstCommit(dataDir: string, sequence: number): number | null {
  try {
    const fd = ops.open(join(dataDir, segmentName(sequence)), fs.constants.O_RDONLY);
    try {
      for (const item of readSegment(ops, fd)) if (item.kind === 'good') return item.commit;
    } finally {
      ops.close(fd);
    }
  } catch (error) {
    if (!isFileError(error)) throw error;
  }
  return null;
}
