/**
 * The writer's interface: how lines get from the journals of the serving threads into segment files.
 *
 * An implementation has two ends: `openJournal` in each thread that serves requests, and `createWriter` in the
 * writer thread. `createMemory` allocates once what the ends share.
 */
import type { Bell } from '../base/bell.ts';
import type { Control } from '../base/control.ts';
import type { Breaker } from '../breaker/breaker.ts';
import type { Revert } from '../config/load.ts';
import type { Journal } from '../journal/journal.ts';
import type { RetentionConfig } from '../storage/closed-segments.ts';
import type { DirectoryIdentity } from '../storage/directory-identity.ts';
import type { FileOps } from '../storage/file-ops.ts';
import type { RecoveryReport } from '../storage/recovery.ts';
import type { Histograms } from '../telemetry/histogram.ts';

export interface WriterConfig extends RetentionConfig {
  readonly ack: 'received' | 'written' | 'synced';
  /** A commit that would take a segment past this size begins the next one. */
  readonly segmentBytes: number;
  readonly segmentAgeMs: number;
  /** Longest time that bytes stay unsynced under `received` and `written`. */
  readonly syncIntervalMs: number;
  /** Commits are refused while the file system has fewer free bytes. */
  readonly minFreeBytes: number;
  /** Commits of at least this size go past the page cache; 0 turns that off. */
  readonly directBytes: number;
  /** Longest time that a request waits for storage. */
  readonly requestTimeoutMs: number;
}

export interface WriterMemory {
  /** One journal for each lane. A thread that serves requests holds a lane, one holder at a time. */
  readonly journals: readonly SharedArrayBuffer[];
  /** Memory that all threads of the implementation share besides the journals; may be empty. */
  readonly common: SharedArrayBuffer;
}

export type WriterMessage =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn' | 'error';
      readonly fields: Readonly<Record<string, unknown>>;
      readonly text: string;
    }
  /** Nothing more is stored; the process has to end. `doubtful` is the range that a sync did not confirm. */
  | { readonly kind: 'fatal'; readonly reason: string; readonly doubtful: DoubtfulRange | null };

/** Bytes of a segment that a failed sync leaves in doubt. */
export interface DoubtfulRange {
  readonly segment: string;
  readonly from: number;
  readonly to: number;
  readonly lines: number;
}

/** Which writer of the phase table runs; see src/phases.ts. */
interface Selection {
  readonly phase: number;
  readonly revert: Revert;
  readonly wal?: string;
}

/** The data that the writer thread starts with. */
export interface WriterThreadData {
  readonly config: WriterConfig & Selection;
  readonly memory: WriterMemory;
  readonly bell: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
  readonly breaker: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly histograms: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
  readonly recovered: RecoveryReport;
  /** A `DirectoryIdentity`: the directory whose lock this process holds. */
  readonly directory: SharedArrayBuffer;
}

export interface JournalParts {
  readonly memory: WriterMemory;
  readonly lane: number;
  readonly config: WriterConfig;
  readonly bell: Bell;
  readonly control: Control;
  readonly breaker: Breaker;
  /** The writer's counters and histograms. */
  readonly counters: Float64Array;
  readonly histograms: Histograms;
  readonly ops: FileOps;
}

export interface WriterParts {
  readonly memory: WriterMemory;
  readonly config: WriterConfig;
  readonly bell: Bell;
  readonly control: Control;
  readonly breaker: Breaker;
  readonly counters: Float64Array;
  readonly histograms: Histograms;
  readonly ops: FileOps;
  /** The numbers that the log continues from. */
  readonly recovered: RecoveryReport;
  readonly directory: DirectoryIdentity;
  report(message: WriterMessage): void;
  /** Called about once a second: publishes the thread's own statistics. */
  sample(): void;
}

export interface RunningWriter {
  /** Runs until `control.writerShouldStop` and nothing is left to store; then syncs and closes. */
  run(): Promise<void>;
}

export interface WriterModule {
  /** @param journalBytes a power of two, at least twice the largest claim */
  readonly createMemory: (lanes: number, journalBytes: number) => WriterMemory;
  readonly openJournal: (parts: JournalParts) => Journal;
  /** True when everything that the last holder of the lane committed is settled: another may hold it. */
  readonly isSettled: (memory: WriterMemory, lane: number) => boolean;
  readonly createWriter: (parts: WriterParts) => RunningWriter;
}
