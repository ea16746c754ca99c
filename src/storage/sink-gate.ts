/**
 * Keeps closed segments from retention until every required sink holds them.
 *
 * A sink without a cursor file, or with one of another log, holds nothing: its segments stay. When the disk fills, the
 * server refuses metrics rather than lose some, unless the operator prefers the newest ones.
 */
import { type CursorFile, readCursorFile } from './cursor-file.ts';

export interface SinkGateConfig {
  readonly dataDir: string;
  readonly segmentBytes: number;
  readonly minFreeBytes: number;
  /** Names of sinks, separated by commas. */
  readonly requiredSinks?: string | undefined;
  readonly whenSinksLag?: 'keep' | 'delete' | undefined;
}

/** Room for so many segments above the reserve; below it, `delete` lets retention go on. */
const SPARE_SEGMENTS = 2;

export interface Held {
  /** Segments that stay only because of this sink. */
  readonly segments: number;
  readonly sink: string;
}

export class SinkGate {
  private readonly config: SinkGateConfig;
  private readonly log: string;
  private readonly sinks: readonly string[];

  /** @param log the id of the log */
  constructor(config: SinkGateConfig, log: string) {
    this.config = config;
    this.log = log;
    this.sinks = (config.requiredSinks ?? '').split(',').filter((name) => name !== '');
  }

  get isActive(): boolean {
    return this.sinks.length > 0;
  }

  /**
   * How many of the segments, oldest first, may go, and which sink holds the others.
   * @param lastCommits of each segment; 0 for one whose last bytes hold no seal
   */
  pass(
    lastCommits: readonly number[],
    freeBytes: number,
  ): { count: number; held: Held | null; unshipped: number } {
    const all = lastCommits.length;
    if (all === 0) return { count: all, held: null, unshipped: 0 };
    const { sink, commit } = this.slowest();
    // A segment whose last bytes hold no seal is shipped if a later one is.
    const shipped = lastCommits.findLastIndex((last) => last > 0 && last <= commit) + 1;
    const { whenSinksLag, segmentBytes, minFreeBytes } = this.config;
    const isTight = freeBytes < minFreeBytes + SPARE_SEGMENTS * segmentBytes;
    if (shipped === all) return { count: all, held: null, unshipped: 0 };
    if (whenSinksLag === 'delete' && isTight) return { count: all, held: null, unshipped: all - shipped };
    return { count: shipped, held: { segments: all - shipped, sink }, unshipped: 0 };
  }

  private slowest(): { sink: string; commit: number } {
    const cursors = this.sinks.map((sink) => ({
      sink,
      commit: this.commitOf(readCursorFile(this.config.dataDir, sink)),
    }));
    return cursors.reduce((slowest, cursor) => (cursor.commit < slowest.commit ? cursor : slowest));
  }

  private commitOf(cursor: CursorFile | null): number {
    return cursor !== null && cursor.log === this.log ? cursor.commit : 0;
  }
}
